"""Degradations that turn a clean photograph into its degraded partner."""
