"""The MLflow store and what it shows."""
