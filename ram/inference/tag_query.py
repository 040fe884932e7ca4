"""The tag names of one call -> the model's own tags and new ones, each with its embedding."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ram.inference.text_cache import TextCache, encoder_fingerprint
from ram.labels import LabelSystem, Tag
from ram.labels.forms import normalize
from ram.model.checkpoint import Checkpoint
from ram.model.text_encoder import TextEncoder

MAX_NAME_LENGTH = 200  # letters; text encoders would cut longer ones off without a word
_MAX_KEPT = 10_000  # new names in memory: a server is asked for others every day

# K tags, E text embedding width


@dataclass(frozen=True)
class Wanted:
    """The tags of one call: what each is called, what it is in the label system, and its embedding."""

    names: list[str]
    tags: list[Tag | None]
    embedding_KE: torch.Tensor


class NewNames:
    """Embeddings of names that are no tags, in the form of the model's own tags: of memory, of disk, else made.

    Threads may share it.
    """

    def __init__(self, checkpoint: Checkpoint, make: Callable[[str], TextEncoder], cache: TextCache) -> None:
        """`make` gives the text encoder of a spec; it is called when a name first needs it."""
        self._checkpoint = checkpoint
        self._make = make
        self._cache = cache
        self._encoder: TextEncoder | None = None
        self._fingerprint: str | None = None
        self._rows: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """A row a name, on the model's device. `ValueError` as of the text encoder, or where there is none."""
        if not names:
            return {}
        with self._lock:
            missing = sorted(set(names) - self._rows.keys())
            if missing:
                self._rows |= self._made(missing)
            found = {name: self._rows[name] for name in names}
            for name in found:
                self._rows.move_to_end(name)
            while len(self._rows) > _MAX_KEPT:
                self._rows.popitem(last=False)
            return found

    def _made(self, names: list[str]) -> dict[str, torch.Tensor]:
        params, model = self._checkpoint.params, self._checkpoint.model
        if self._fingerprint is None:
            self._fingerprint = encoder_fingerprint(params.text_encoder, params.templates)
        rows = self._cache.get(names, self._fingerprint)
        if missing := [name for name in names if name not in rows]:
            if self._encoder is None:
                self._encoder = self._make(params.text_encoder)
            made = dict(zip(missing, self._encoder.embed(missing, params.templates), strict=True))
            self._cache.put(made, self._fingerprint)
            rows |= made
        rows_KE = torch.from_numpy(np.stack([rows[name] for name in names])).to(model.device)
        return dict(zip(names, model.tag_decoder.from_text(rows_KE, model.tag_embedding_KE), strict=True))


def wanted_tags(names: Sequence[str], label_system: LabelSystem, own_KE: torch.Tensor, new: NewNames) -> Wanted:
    """What these names mean. `ValueError` for no names, names that cannot be, and one tag named twice."""
    names = checked_names(names)
    tags = [label_system.find(name) for name in names]
    _check_each_once(names, tags)
    rows = new.embed([name for name, tag in zip(names, tags, strict=True) if tag is None])
    embeddings = [rows[name] if tag is None else own_KE[tag.tag_id] for name, tag in zip(names, tags, strict=True)]
    return Wanted(names, tags, torch.stack(embeddings))


def checked_names(names: Sequence[str]) -> list[str]:
    """The names as a list; `ValueError` for none, and for one that is no text, has no letter or is too long."""
    if isinstance(names, str | bytes):
        raise ValueError(f"tags must be a list of names, got the text {names!r}")
    names = list(names)
    if not names:
        raise ValueError("tags is empty; name at least one tag, or leave it out for all of the model's")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"tags must be a list of names, got {name!r} in it")
        if not any(letter.isalnum() for letter in name):
            raise ValueError(f"a tag name must have at least one letter, got {name!r}")
        if len(name) > MAX_NAME_LENGTH:
            raise ValueError(
                f"a tag name has at most {MAX_NAME_LENGTH} letters, got {len(name)} in {name[:40]!r}…; shorten it"
            )
    return names


def _check_each_once(names: Sequence[str], tags: Sequence[Tag | None]) -> None:
    seen: dict[str, str] = {}
    for name, tag in zip(names, tags, strict=True):
        key = normalize(name) if tag is None else f"#{tag.tag_id}"
        if key in seen:
            both = f" (both are the tag {tag.name!r})" if tag is not None and seen[key] != name else ""
            raise ValueError(f"tags names {name!r} twice, first as {seen[key]!r}{both}; name it once")
        seen[key] = name
