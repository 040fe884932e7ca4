"""Training: labels and images -> batches -> losses -> steps, resumable and the same on one process or many."""
