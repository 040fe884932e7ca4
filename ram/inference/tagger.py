"""Pictures in, tags out: `load` a checkpoint, call the tagger."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ram.decoding import MAX_PIXELS
from ram.engine.local import available_cores
from ram.inference.answers import PictureTags, Result, TagScore
from ram.inference.choose import Query, choose, tag_scores
from ram.inference.evidence import Place, places, relevance_kind
from ram.inference.find import checkpoint_dir
from ram.inference.hierarchy import HIERARCHIES, Hierarchy, TagHierarchy
from ram.inference.names import NewNames, Wanted, wanted_tags
from ram.inference.pictures import NamedPicture, Picture, Pictures, each_picture, name_of, read_picture
from ram.inference.text_cache import TextCache, default_text_cache
from ram.inference.thresholds import DEFAULT_THRESHOLD, THRESHOLDS_FILE, Thresholds, limits_of
from ram.label_system import LabelSystem
from ram.model.checkpoint import Checkpoint, load_checkpoint
from ram.model.folding import folded
from ram.model.text_encoder import make_text_encoder
from ram.storage import read_json

# B pictures, K tags, N image tokens, D token width, E text embedding width

_NUM_BEAMS, _MIN_CAPTION_TOKENS, _LENGTH_PENALTY = 3, 5, 1.0
_BATCHES_AHEAD = 1  # that are decoded while the model is busy with one


class Tagger:
    """Calls give, for every picture, the tags whose score reaches their threshold, the highest score first."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        thresholds: Thresholds | None = None,
        *,
        max_pixels: int = MAX_PIXELS,
        text_cache: TextCache | None = None,
    ) -> None:
        """A picture of more than `max_pixels` is refused. `text_cache` None: that of the environment."""
        self.checkpoint = checkpoint
        self.thresholds = thresholds or Thresholds()
        self.max_pixels = max_pixels
        self._encoder = folded(checkpoint.model.image_encoder, checkpoint.params.image_size)
        self._own = Wanted(
            [tag.name for tag in self.label_system.tags],
            list(self.label_system.tags),
            checkpoint.model.tag_embedding_KE.detach(),
        )
        self._hierarchy = TagHierarchy(self.label_system)
        self._new = NewNames(
            checkpoint, lambda spec: make_text_encoder(spec), default_text_cache() if text_cache is None else text_cache
        )

    @property
    def label_system(self) -> LabelSystem:
        """The tags that the model was trained on."""
        return self.checkpoint.label_system

    @property
    def version(self) -> str:
        """12 hex digits of the checkpoint's content."""
        return self.checkpoint.version

    def __call__(
        self,
        images: Pictures,
        tags: Sequence[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        top_k: int | None = None,
        batch_size: int = 16,
        *,
        hierarchy: Hierarchy = "all",
        explain: bool | str = False,
        captions: bool = False,
    ) -> list[PictureTags]:
        """One list of `TagScore` a picture; of an iterable of pictures, batch after batch.

        Pictures are paths, bytes, PIL images, arrays (H × W × 3) or tensors (C × H × W), of uint8 or of floats from 0
        to 1. `tags`: score these names alone, tags of the model (or synonyms of theirs) and new ones alike; new ones
        are embedded by the text encoder that the model was trained with. `threshold` replaces every tag's own, or, as
        a mapping of names, those that it names. `top_k`: at most so many a picture. `hierarchy`: `all` that reach
        their thresholds; without those that another is a kind of, `most_specific`; or with what they imply,
        `add_implied`, of `tags` where these are given. `explain`: each tag's map of relevance and box. `captions`: a
        caption each. Raises `PictureError` or `OSError` for the first picture that cannot be read, `ValueError` for
        wrong arguments.
        """
        found = []
        for result in self._stream(
            images, self._query(tags, threshold, top_k, hierarchy, explain, captions), batch_size
        ):
            if result.error is not None:
                raise result.error
            assert result.tags is not None
            found.append(result.tags)
        return found

    def stream(
        self,
        images: Pictures,
        batch_size: int = 16,
        tags: Sequence[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        top_k: int | None = None,
        *,
        hierarchy: Hierarchy = "all",
        explain: bool | str = False,
        captions: bool = False,
    ) -> Iterator[Result]:
        """As calling it, one `Result` a picture, in order: one that cannot be read has an error, and the rest go on.

        No more than two batches are read ahead of what is asked for. Wrong arguments are refused at once.
        """
        return self._stream(images, self._query(tags, threshold, top_k, hierarchy, explain, captions), batch_size)

    def scores(self, images: Sequence[Picture], tags: Sequence[str] | None = None) -> np.ndarray:
        """scores_BK, float32 in 0 … 1, of every tag, in the order of `tags` or of the label system; no threshold."""
        wanted = self._own if tags is None else self._wanted(tags)
        if len(images) == 0:
            return np.empty((0, len(wanted.names)), np.float32)
        tokens_BND, _ = self._tokens(torch.stack([self._decode(image) for image in images]))
        return self._scores(tokens_BND, wanted)

    def logits(self, images_BCHW: Tensor) -> Tensor:
        """logits_BK of the model's own tags, of pictures that `checkpoint.model.preprocess` has normalised."""
        model = self.checkpoint.model
        with torch.inference_mode():
            return model.tag_logits(self._encoder(images_BCHW.to(model.device)))

    def _query(
        self,
        tags: Sequence[str] | None,
        threshold: float | Mapping[str, float] | None,
        top_k: int | None,
        hierarchy: Hierarchy,
        explain: bool | str,
        captions: bool,
    ) -> Query:
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        if hierarchy not in HIERARCHIES:
            raise ValueError(f"unknown hierarchy {hierarchy!r}; known: {', '.join(HIERARCHIES)}")
        model = self.checkpoint.model
        if captions and model.caption_branch is None:
            raise ValueError(
                "this model cannot caption: its checkpoint has no caption branch. Train with model.caption set, or import "
                "a published RAM or Tag2Text with --captions"
            )
        kind = relevance_kind(explain, model)
        wanted = self._own if tags is None else self._wanted(tags)
        limits_K = limits_of(self.thresholds, wanted.tags, wanted.names, threshold, self.label_system)
        return Query(wanted, limits_K, top_k, hierarchy, kind, captions)

    def _wanted(self, names: Sequence[str]) -> Wanted:
        return wanted_tags(names, self.label_system, self._own.embedding_KE, self._new)

    def _decode(self, picture: Picture) -> Tensor:
        preprocess = self.checkpoint.model.preprocess
        return preprocess(read_picture(picture, preprocess.image_size, self.max_pixels))

    def _stream(self, images: Pictures, query: Query, batch_size: int) -> Iterator[Result]:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return self._results(each_picture(images), query, batch_size)

    def _results(self, pictures: Iterator[Picture], query: Query, batch_size: int) -> Iterator[Result]:
        waiting: deque[list[tuple[Picture, Future[Tensor]]]] = deque()
        index = 0
        with ThreadPoolExecutor(available_cores()) as pool:
            try:
                while True:
                    batch = [(picture, pool.submit(self._decode, picture)) for picture in islice(pictures, batch_size)]
                    if batch:
                        waiting.append(batch)
                    if not waiting:
                        return
                    if not batch or len(waiting) > _BATCHES_AHEAD:
                        done = waiting.popleft()
                        yield from self._answers(done, query, index)
                        index += len(done)
            finally:
                for _, future in (item for batch in waiting for item in batch):
                    future.cancel()

    def _answers(self, batch: list[tuple[Picture, Future[Tensor]]], query: Query, start: int) -> list[Result]:
        decoded: list[Tensor] = []
        errors: list[OSError | None] = []
        for _, future in batch:
            try:
                decoded.append(future.result())
                errors.append(None)
            except OSError as error:  # the picture's fault: it is reported as this picture's answer
                errors.append(error)
        found = iter(self._tag(torch.stack(decoded), query) if decoded else [])
        return [
            Result(i, name_of(picture, i), picture, next(found) if error is None else None, error)
            for i, ((picture, _), error) in enumerate(zip(batch, errors, strict=True), start)
        ]

    def _tokens(self, images_BCHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
        with torch.inference_mode():
            features = self._encoder.trunk(images_BCHW.to(self.checkpoint.model.device))
            return self._encoder.tail(features), self._encoder.grid(features)

    def _scores(self, tokens_BND: Tensor, wanted: Wanted) -> np.ndarray:
        with torch.inference_mode():
            return self.checkpoint.model.tag_logits(tokens_BND, wanted.embedding_KE).float().sigmoid().cpu().numpy()

    def _tag(self, images_BCHW: Tensor, query: Query) -> list[PictureTags]:
        tokens_BND, grid = self._tokens(images_BCHW)
        chosen = [choose(scores_K, query, self._hierarchy) for scores_K in self._scores(tokens_BND, query.wanted)]
        found: list[list[Place]] = [[] for _ in chosen]
        if query.relevance is not None:
            rows = [one.rows for one in chosen]
            with torch.inference_mode():
                found = places(
                    query.relevance, self.checkpoint.model, tokens_BND, rows, query.wanted.embedding_KE, grid
                )
        answers = [PictureTags(tag_scores(*both, query, self.thresholds)) for both in zip(chosen, found, strict=True)]
        if query.captions:
            for tags, caption in zip(answers, self._captions(tokens_BND, answers), strict=True):
                tags.caption = caption
        return answers

    def _captions(self, tokens_BND: Tensor, answers: list[PictureTags]) -> list[str]:
        """Captions that are told the found tags, as the caption branch was trained."""
        left_out = set(self.checkpoint.extra.get("not_in_captions", ()))
        texts = [[tag.tag or tag.name for tag in tags if tag.tag_id not in left_out] for tags in answers]
        with torch.inference_mode():
            captions, _ = self.checkpoint.model.generate_captions(
                tokens_BND,
                texts,
                num_beams=_NUM_BEAMS,
                min_tokens=_MIN_CAPTION_TOKENS,
                length_penalty=_LENGTH_PENALTY,
            )
        return captions


def load(
    source: str | Path = "champion",
    device: str | torch.device = "cpu",
    *,
    download: bool = False,
    max_pixels: int = MAX_PIXELS,
    text_cache: TextCache | None = None,
) -> Tagger:
    """The tagger of a checkpoint: a folder or its weights; `champion`, a version, `models:/…`; or `owner/name` of the hub.

    A hub id is read from the hub's cache on this machine; `download` fetches it. Thresholds are those of
    `thresholds.json` in the folder; where it has none, 0.5 for every tag. `ValueError` where there is no such model.
    """
    directory = checkpoint_dir(source, download=download)
    checkpoint = load_checkpoint(directory, device)
    path = directory / THRESHOLDS_FILE
    thresholds = Thresholds.from_json(read_json(path)) if path.is_file() else None
    return Tagger(checkpoint, thresholds, max_pixels=max_pixels, text_cache=text_cache)


__all__ = [
    "DEFAULT_THRESHOLD",
    "THRESHOLDS_FILE",
    "NamedPicture",
    "Picture",
    "PictureTags",
    "Result",
    "TagScore",
    "Tagger",
    "Thresholds",
    "load",
    "read_picture",
]
