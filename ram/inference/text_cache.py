"""Text embeddings of new tag names, kept on disk: a process that asks for a name again loads no text encoder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ram.io.tables import temporary_path
from ram.model.packages import is_package_spec, package_path
from ram.model.templates import fill_templates

FOLDER_VARIABLE = "RAM_TEXT_CACHE"  # the folder; `off`: nothing is kept
MAX_ENTRIES = 20_000  # files of one to three kilobytes
_FORMAT = "1"

# E text embedding width


class TextCache:
    """A folder of one file a name and text encoder; the entries that were not asked for longest go first.

    A file that is broken, or of another name, counts as none. A folder that cannot be written is read alone, after one
    warning.
    """

    def __init__(self, directory: Path | None, max_entries: int = MAX_ENTRIES) -> None:
        """`directory` None: nothing is kept, nothing found."""
        if max_entries < 1:
            raise ValueError(f"max_entries must be at least 1, got {max_entries}")
        self.directory = directory
        self.max_entries = max_entries
        self._can_write = True

    def get(self, names: Sequence[str], fingerprint: str | None) -> dict[str, np.ndarray]:
        """The rows, float32 of length 1, of those names that are here; none where the encoder is not known again."""
        if self.directory is None or fingerprint is None:
            return {}
        found = {name: _read(self._path(name, fingerprint), name) for name in names}
        return {name: row for name, row in found.items() if row is not None}

    def put(self, rows: Mapping[str, np.ndarray], fingerprint: str | None) -> None:
        """Keep these rows, each file in one step, and no more than `max_entries` files in all."""
        if self.directory is None or fingerprint is None or not rows or not self._can_write:
            return
        try:
            (self.directory / fingerprint).mkdir(parents=True, exist_ok=True)
            for name, row_E in rows.items():
                path = self._path(name, fingerprint)
                temporary = temporary_path(path)
                try:
                    save_file({"embedding_E": np.ascontiguousarray(row_E)}, temporary, {"name": name})
                    temporary.replace(path)
                finally:
                    temporary.unlink(missing_ok=True)
            self._drop_oldest()
        except (
            OSError,
            SafetensorError,
        ) as error:  # safetensors reports a full or read-only disk as an error of its own
            warnings.warn(
                f"text embeddings are not kept in {self.directory}: {error}; set {FOLDER_VARIABLE} to a folder that can "
                "be written, or to off",
                RuntimeWarning,
                stacklevel=2,
            )
            self._can_write = False

    def _path(self, name: str, fingerprint: str) -> Path:
        assert self.directory is not None
        return self.directory / fingerprint / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.safetensors"

    def _drop_oldest(self) -> None:
        assert self.directory is not None
        files = list(self.directory.glob("*/*.safetensors"))
        if len(files) > self.max_entries:
            for path in sorted(files, key=_last_used)[: len(files) - self.max_entries]:
                path.unlink(missing_ok=True)  # another process may have been quicker


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # removed by another process since it was listed
        return 0.0


def _read(path: Path, name: str) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            row_E = file.get_tensor("embedding_E") if (file.metadata() or {}).get("name") == name else None
    except (SafetensorError, OSError):  # cut off or overwritten: embedded anew, and written over
        return None
    if row_E is None or row_E.ndim != 1 or row_E.dtype != np.float32 or not abs(np.linalg.norm(row_E) - 1) < 1e-3:
        return None
    with contextlib.suppress(OSError):  # of a folder that can only be read
        os.utime(path)
    return row_E


def default_text_cache() -> TextCache:
    """The cache of the environment variable `RAM_TEXT_CACHE`, else of the user's cache folder; made when first written."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named == "off":
        return TextCache(None)
    if named:
        return TextCache(Path(named).expanduser())
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return TextCache(Path(home).expanduser() / "ram" / "text_embeddings")


def encoder_fingerprint(spec: str, templates: str) -> str | None:
    """16 hex digits of the prompts, and of the names, sizes and times of the text encoder's files.

    None for an encoder whose files are not found without loading it: what it gives is then not kept.
    """
    files = list(_files(spec))
    if not files:
        return None
    facts = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    text = json.dumps([_FORMAT, spec, fill_templates("name", templates), facts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(spec: str) -> Iterator[Path]:
    """The files that an encoder is made of, sorted; none where they cannot be told."""
    _, _, source = spec.partition(":")
    if not source:  # no text encoder at all
        return
    if is_package_spec(spec):
        try:
            folder = package_path(spec)
        except ValueError:  # not installed: the encoder says so itself, when it is wanted
            return
    elif Path(source).is_dir():
        folder = Path(source)
    else:
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(source, "config.json") if source.count("/") == 1 else None
        if not isinstance(config, str):
            return
        folder = Path(config).parent
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
