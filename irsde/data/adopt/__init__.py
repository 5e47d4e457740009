"""Data sets in other folders, recognised and put in place."""
