"""What MLflow is given of a finished run beyond its parameters, metrics and files: figures, confusions, resources, tags."""
