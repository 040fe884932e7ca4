"""The same model as `ram.model` makes, arranged for tagging: equal outputs, less work."""
