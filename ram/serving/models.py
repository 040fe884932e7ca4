"""The models that answer: what the server asks of a tagger, and how another one takes its place."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from ram.inference.tagger import Tagger, load
from ram.model.precision import Precision
from ram.serving.limits import Refused
from ram.serving.localization import places

NAMES = ("champion", "challenger")
_NO_SUCH_ALIAS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's, by its kinds of store

_logger = logging.getLogger("ram.serving")


@dataclass(frozen=True, slots=True)
class Options:
    """How images are to be tagged. Those of the same options may share a batch."""

    tags: tuple[str, ...] | None = None
    threshold: float | None = None
    top_k: int | None = None
    num_explained: int = 0


class ServedModel:
    """One loaded checkpoint. This class alone calls the tagger; all but `labels` on the model's thread."""

    def __init__(
        self, directory: Path, device: str = "cpu", precision: Precision = "fp32", shortlist: int | None = None
    ) -> None:
        self.directory = directory
        self._tagger: Tagger = load(directory, device, precision=precision, shortlist=shortlist)
        self.preprocess = self._tagger.checkpoint.model.preprocess
        self.version = self._tagger.version
        size = self.preprocess.image_size
        self.tag([Image.new("RGB", (size, size))], Options(top_k=1))  # the first call is slow: not a client's

    def tag(self, images: Sequence[Image.Image], options: Options) -> list[list[dict[str, Any]]]:
        """The tags of every image, best first. Raises `ValueError` for options that the tagger refuses."""
        tags = None if options.tags is None else list(options.tags)
        found = self._tagger(
            list(images), tags=tags, threshold=options.threshold, top_k=options.top_k, batch_size=max(len(images), 1)
        )
        answers = []
        for image, scores in zip(images, found, strict=True):
            rows: list[dict[str, Any]] = [
                {
                    "name": tag.name,
                    "score": round(tag.score, 5),
                    "threshold": round(tag.threshold, 5),
                    "kind": None if tag.is_new else tag.kind,
                    "tag_id": tag.tag_id,
                }
                for tag in scores
            ]
            explained = rows[: options.num_explained]
            for row, place in zip(explained, places(self._tagger, image, [r["name"] for r in explained]), strict=True):
                row["place"] = {"box": place.box, "cells": place.cells}
            answers.append(rows)
        return answers

    def find(self, name: str) -> None:
        """Raises `ValueError` for a text that can be no tag."""
        self._tagger.label_system.find(name)

    @cached_property
    def labels(self) -> bytes:
        """JSON: the tags of the model with their thresholds."""
        thresholds = self._tagger.thresholds
        labels = [
            {
                "tag_id": tag.tag_id,
                "name": tag.name,
                "kind": tag.kind,
                "synonyms": list(tag.synonyms),
                "parents": list(tag.parents),
                "threshold": round(thresholds.of(tag), 5),
            }
            for tag in self._tagger.label_system.tags
        ]
        document = {
            "model_version": self.version,
            "label_system_version": self._tagger.label_system.version,
            "open_set_threshold": round(thresholds.of(None), 5),
            "labels": labels,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


Find = Callable[[], Path | None]  # the checkpoint folder of now; None where there is no such model
Load = Callable[[Path], ServedModel]


class Models:
    """The models by name. A new one takes its place between two batches: who was asked before answers to the end."""

    def __init__(
        self, find: Mapping[str, Find], load: Load, on_reload: Callable[[str, str], None] = lambda name, outcome: None
    ) -> None:
        if unknown := set(find) - set(NAMES):
            raise ValueError(f"unknown models {sorted(unknown)}; known: {', '.join(NAMES)}")
        self._find, self._load, self._on_reload = find, load, on_reload
        self._served: dict[str, ServedModel] = {}

    def load(self) -> None:
        """Load what there is. Raises `ValueError` where there is no champion."""
        for name, find in self._find.items():
            if (directory := find()) is not None:
                self._served[name] = self._loaded(directory)
        if "champion" not in self._served:
            raise ValueError(
                "there is no champion to serve; `ram models promote` makes one, or name a checkpoint folder"
            )

    def get(self, name: str) -> ServedModel:
        """Raises `Refused` (422) for a model that is not served."""
        if name not in self._served:
            raise Refused(422, f"no model {name!r} is served here; there is {', '.join(self._served)}")
        return self._served[name]

    def versions(self) -> dict[str, str]:
        """The version of every model that is served."""
        return {name: served.version for name, served in self._served.items()}

    async def follow(self, every_s: float) -> None:
        """Ask again and again whether a model has moved; load it beside the old one, then exchange them. Never ends."""
        while True:
            await asyncio.sleep(every_s)
            for name in self._find:
                try:
                    await self.refresh(name)
                except Exception:  # the registry is away, or the new model is broken: the old one goes on answering
                    _logger.exception("%s was not reloaded; the old one goes on", name)
                    self._on_reload(name, "failed")

    async def refresh(self, name: str) -> bool:
        """Whether the model had moved, in which case the new one is in its place."""
        directory = await asyncio.to_thread(self._find[name])
        old = self._served.get(name)
        if directory == (old.directory if old else None):
            return False
        if directory is None:
            if name == "champion":
                raise ValueError("the registry has no champion any more")
            del self._served[name]
        else:
            self._served[name] = await asyncio.to_thread(self._loaded, directory)
            _logger.info("%s is now %s", name, self._served[name].version)
        self._on_reload(name, "loaded" if directory else "removed")
        return True

    def _loaded(self, directory: Path) -> ServedModel:
        """One that is served under another name is not loaded twice."""
        same = [served for served in self._served.values() if served.directory == directory]
        return same[0] if same else self._load(directory)


def from_folder(directory: Path) -> Find:
    """A checkpoint folder, which stays what it is."""
    return lambda: directory


def from_registry(alias: str, workspace: Path) -> Find:
    """What the registry's alias points to, downloaded when it has moved; None where there is no such alias."""

    def find() -> Path | None:
        from ram.tracking.server import model_dir

        try:
            return model_dir(alias, workspace)
        except ValueError as error:
            # A registry that is away is another matter: what was loaded from it is kept.
            if getattr(error.__cause__, "error_code", None) in _NO_SUCH_ALIAS:
                return None
            raise

    return find
