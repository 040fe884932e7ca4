"""What MLflow is told: where it is, a finished run with its models, and where the artifacts come from."""
