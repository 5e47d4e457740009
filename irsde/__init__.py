"""Reproducible benchmarks of image restoration with mean-reverting SDEs."""

__version__ = "0.2.0"
