"""Where a checkpoint's folder is: on this disk, in the registry, or on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from ram.inference.thresholds import THRESHOLDS_FILE
from ram.model.checkpoint import CONFIG, LABELS, WEIGHTS, WORD_PIECES

FILES = (CONFIG, WEIGHTS, LABELS, WORD_PIECES, THRESHOLDS_FILE)
_HUB_ID = re.compile(r"(?P<hub>hub:)?(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_PUBLISHED = (".pth", ".pt", ".safetensors")


def checkpoint_dir(source: str | Path = "champion", *, download: bool = False) -> Path:
    """The folder of a checkpoint.

    `source` is a folder, or the weights or the configuration in one; `champion`, a version or `models:/…` of the
    registry; or `owner/name` or `owner/name@revision` on the hub, which is looked for in the hub's cache on this
    machine, and with `download` fetched. What is on the disk goes first; `hub:owner/name` is never taken for a path.
    Raises `ValueError` that says what is wrong with it.
    """
    directory = Path(source)
    hub = None if isinstance(source, Path) else _HUB_ID.fullmatch(source)
    if hub is not None and hub["hub"]:
        return _from_hub(hub["repo"], hub["revision"], download)
    if directory.is_file():
        return _of_file(directory)
    if (directory / CONFIG).is_file():
        return directory
    if isinstance(source, Path) or directory.is_dir():
        raise ValueError(f"{source} is no checkpoint: it has no {CONFIG}; name a checkpoint folder, or champion")
    if hub is not None and not source.startswith("models:"):
        return _from_hub(hub["repo"], hub["revision"], download)
    if len(directory.parts) > 1 and ":" not in source:
        raise ValueError(f"{source} is no checkpoint: there is no such folder; name a checkpoint folder, or champion")
    from ram.tracking.server import model_dir

    return model_dir(source)


def _of_file(path: Path) -> Path:
    if path.name in FILES and (path.parent / CONFIG).is_file():
        return path.parent
    if path.suffix in _PUBLISHED:
        raise ValueError(
            f"{path} is no checkpoint folder; if it is a published file of RAM, RAM++ or Tag2Text, turn it into one: "
            f"ram import-checkpoint {path} --out FOLDER"
        )
    raise ValueError(f"{path} is no checkpoint: name a folder, or {WEIGHTS} in one")


def _from_hub(repo: str, revision: str | None, download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    shown = f"{repo}@{revision}" if revision else repo
    try:
        found = snapshot_download(repo, revision=revision, allow_patterns=list(FILES), local_files_only=not download)
    except LocalEntryNotFoundError as error:
        remedy = "is it reachable?" if download else "download=True (--download) fetches it from the hub"
        raise ValueError(
            f"{shown} is no folder here, and the hub's cache on this machine does not have it; {remedy}"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"the hub does not give {shown}: {error}") from error
    for name in (CONFIG, WEIGHTS, LABELS):
        if not Path(found, name).is_file():
            raise ValueError(
                f"{shown} on the hub is no checkpoint of ours: it has no {name}. Of a published RAM, RAM++ or Tag2Text "
                "take the file, and turn it into a folder: ram import-checkpoint FILE --out FOLDER"
            )
    return Path(found)
