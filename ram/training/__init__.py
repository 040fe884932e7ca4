"""Training: labels and pictures -> batches -> losses -> steps, resumable and the same on one process or many."""
