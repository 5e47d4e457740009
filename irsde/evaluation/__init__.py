"""Scores of restored test images."""
