"""Metrics, the protocols that apply them, and the statistics of their values."""
