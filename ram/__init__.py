"""Train image taggers from image–caption pairs by the recipe of RAM (Recognize Anything, arXiv 2306.03514).

`ram.load(...)` gives a tagger; `python -m ram --help` lists the commands; `ls ram/stages` is the pipeline.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ram.inference.tagger import load

try:
    __version__ = version("ram-tagger")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import: `import ram` alone must not pay for it.
    if name == "load":
        from ram.inference.tagger import load

        return load
    raise AttributeError(f"module 'ram' has no attribute {name!r}")
