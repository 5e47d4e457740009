"""Weights applied to images."""
