"""Simulations that show how far the numbers of a report can be trusted."""
