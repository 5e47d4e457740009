"""Weights made from pairs."""
