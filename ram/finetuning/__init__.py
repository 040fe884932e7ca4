"""Fine-tuning a model on one's own tags: a table of pictures and tags in, a checkpoint out."""
