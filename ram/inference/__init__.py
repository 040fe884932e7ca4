"""From a checkpoint and images to scores, and to tags."""
