"""Fine-tuning a model on one's own tags: a table of images and tags in, a checkpoint out."""
