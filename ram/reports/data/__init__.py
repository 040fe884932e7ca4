"""How good the data of a run are, and how that changed over the runs: measures, their history, and a page of both.

It is no stage: a stage's outputs depend on its inputs alone, and this looks back at earlier runs.
"""

from pathlib import Path

PAGE = Path("data", "quality", "index.html")
