"""Tagging for others: the model that MLflow serves."""
