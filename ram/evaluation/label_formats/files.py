"""The label files of a description, and what every format does with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ram.datasets.source import expand, files_under, find_files
from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.labels import Names, read_names
from ram.io.remote import RemotePath


def label_files(description: Description, suffix: str | None = None) -> Iterator[Path | RemotePath]:
    """The files that `labels` names, in order: a folder stands for those in it that end in `suffix`.

    `ValueError` where there is none.
    """
    for pattern in description.labels:
        path = expand(pattern)
        if suffix is not None and path.is_dir():
            inside = [name for name in files_under(path, "**/*") if name.lower().endswith(suffix)]
            if not inside:
                raise ValueError(f"{path} holds no {suffix} file; mend labels of benchmark {description.name}")
            yield from (path / name for name in inside)
        else:
            yield from (expand(name) for name in find_files(pattern))


def names_of(description: Description, wanted_for: str) -> Names:
    """The tag list of a description. `ValueError` where there is none, or it is not as long as the published one."""
    if description.names is None:
        raise ValueError(f"benchmark {description.name} wants its tag list, {wanted_for}: give names")
    path = expand(description.names)
    assert isinstance(path, Path)
    return read_names(path)


def check_length(description: Description, names: Names) -> None:
    """`ValueError` where labels go by number and the list is not the published one: every number could be wrong."""
    if description.num_names not in (None, len(names.listed)):
        raise ValueError(
            f"{description.names} has {len(names.listed)} names, benchmark {description.name} {description.num_names}, "
            "and its labels go by number; give the list that the labels were made with, or set num_names"
        )
