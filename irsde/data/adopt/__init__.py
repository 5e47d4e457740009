"""Data sets that lie in other folders, recognised and put in place."""
