"""The tagger as MLflow packages it: this file is the model's code, the checkpoint its data, no pickle.

Input: column `image`, an image as base64 or as a data URI; as a path too where the operator says so when loading,
`mlflow.pyfunc.load_model(uri, model_config={"allow_paths": True})`, since whoever may name a path may read files.
Output: for every row its `tags` with `scores`, best first; or why it has none, in `error`: one bad row spoils no batch.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

BATCH_SIZE = 32


class PackagedTagger(PythonModel):
    """`predict` tags the images of a data frame."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint and its thresholds."""
        from ram.inference.tagger import load

        self._tagger = load(context.artifacts["checkpoint"])
        self._allow_paths = bool((context.model_config or {}).get("allow_paths", False))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """{"tags", "scores", "error"} for every row; `params`: threshold, top_k and tags as the tagger takes them."""
        options = _options(params or {})
        answers: dict[int, dict[str, Any]] = {}
        for start in range(0, len(model_input), BATCH_SIZE):
            images: dict[int, Image] = {}
            for row, value in enumerate(model_input["image"].iloc[start : start + BATCH_SIZE], start):
                try:
                    images[row] = read_image(value, self._allow_paths)
                except (ValueError, OSError) as error:  # the sender's mistake: it is the answer to this row alone
                    answers[row] = _answer(error=str(error))
            answers |= self._tag(images, options)
        return [answers[row] for row in range(len(model_input))]

    def _tag(self, images: Mapping[int, Image], options: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
        if not images:
            return {}
        try:
            found = self._tagger(list(images.values()), **options)
        except ValueError as error:  # wrong options: every row gets the message instead of a trace of our code
            return {row: _answer(error=str(error)) for row in images}
        return {row: _answer(tags) for row, tags in zip(images, found, strict=True)}


def _options(params: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are set: the schema of MLflow gives an empty list and 0 for those left out."""
    tags, top_k = list(params.get("tags") or []), params.get("top_k")
    return {"tags": tags or None, "top_k": int(top_k) if top_k else None, "threshold": params.get("threshold")}


def _answer(tags: Sequence[Any] = (), error: str | None = None) -> dict[str, Any]:
    return {"tags": [tag.name for tag in tags], "scores": [float(tag.score) for tag in tags], "error": error}


def read_image(value: Any, allow_paths: bool = False) -> Image:
    """The image that one row holds; a `ValueError` or `OSError` that says what is wrong with it."""
    from ram.io.images import open_image

    return open_image(_image_bytes(value, allow_paths))


def _image_bytes(value: Any, allow_paths: bool) -> bytes:
    from ram.io.images import read_file

    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"image must be text, got {type(value).__name__}")
    if allow_paths and len(value) < 4096 and Path(value).is_file():
        return read_file(Path(value))
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        wanted = "base64, a data URI or the path of an image" if allow_paths else "base64 or a data URI"
        raise ValueError(f"image must be {wanted}, got {value[:40]!r}: {error}") from error


set_model(PackagedTagger())
