"""From a checkpoint and pictures to scores, and to tags."""
