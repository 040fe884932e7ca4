"""The life of one row (image, tag): where it came from, what spoke for and against it, what became of it."""
