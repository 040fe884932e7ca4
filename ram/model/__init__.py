"""The model: one file a box of the figure in the RAM paper (arXiv 2306.03514, figure 3)."""
