"""Data sets: the catalogue, fetching, adopting and checking them, and the pairs made of them."""
