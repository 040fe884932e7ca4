"""`ram quality`: the page of the data's quality over the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def quality(
    runs: Annotated[int, typer.Option(min=1, help="Earlier runs that trends go back to.")] = 30,
    images: Annotated[int, typer.Option(min=1, help="Images shown of each reason of the quarantine.")] = 6,
    max_seconds: Annotated[float, typer.Option(min=0, help="To read one source for images that were refused.")] = 20,
) -> None:
    """Measure the data of this workspace, compare them with earlier runs, and write a page. Twice changes nothing."""
    from ram.reports.data.page import make_page

    print(make_page(Path(), runs, images, max_seconds))
