"""What the preliminary model adds to the tags of the captions, and what is then found wrong and removed."""
