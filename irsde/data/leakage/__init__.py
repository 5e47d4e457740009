"""Test images that the training data show."""
