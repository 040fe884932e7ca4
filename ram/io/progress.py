"""Progress of long work: a bar on a terminal, a line every few seconds in a log, nothing where nobody asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_LOG_EVERY_S = 10.0


def track(
    items: Iterable[T],
    description: str,
    total: int | None = None,
    unit: str = "it",
    status: Callable[[], str] | None = None,
) -> Iterator[T]:
    """Yield `items`, showing how many are done, at which rate, what remains, and what `status()` says of the work."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True) as bar:
            for item in bar:
                yield item
                if status:
                    bar.set_postfix_str(status(), refresh=False)
        return
    start = last = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += 1
        now = time.monotonic()
        if now - last >= _LOG_EVERY_S:
            last = now
            print(_line(description, count, total, unit, now - start, status), file=sys.stderr, flush=True)
    elapsed_s = time.monotonic() - start
    if elapsed_s >= _LOG_EVERY_S:
        print(_line(description, count, total, unit, elapsed_s, status), file=sys.stderr, flush=True)


def _line(
    description: str, count: int, total: int | None, unit: str, elapsed_s: float, status: Callable[[], str] | None
) -> str:
    rate = count / max(elapsed_s, 1e-9)
    said = f", {status()}" if status else ""
    if not total:
        return f"{description}: {count} {unit}, {rate:.1f} {unit}/s{said}"
    remaining_s = (total - count) / max(rate, 1e-9)
    return f"{description}: {count}/{total} {unit}, {rate:.1f} {unit}/s, {remaining_s:.0f} s left{said}"
