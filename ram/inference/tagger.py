"""Images in, tags out: `load` a checkpoint, call the tagger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ram.inference.heatmaps import Place, places, relevance_kind
from ram.inference.hierarchy import HIERARCHIES, Hierarchy, TagHierarchy
from ram.inference.image_inputs import ImageLike, Images, NamedImage, each_image, name_of, read_image
from ram.inference.postprocess import Query, choose, tag_scores
from ram.inference.prefetch import read_ahead
from ram.inference.resolve_checkpoint import checkpoint_dir
from ram.inference.results import ImageTags, Result, TagScore
from ram.inference.runtimes.decoder import PreparedTags
from ram.inference.runtimes.model import FastModel
from ram.inference.runtimes.shortlist import load_shortlist, shortlisted_scores
from ram.inference.tag_query import NewNames, Wanted, wanted_tags
from ram.inference.text_cache import TextCache, default_text_cache
from ram.inference.thresholds import DEFAULT_THRESHOLD, THRESHOLDS_FILE, Thresholds, limits_of, thresholds_in
from ram.io.images import MAX_PIXELS
from ram.labels import LabelSystem
from ram.model.checkpoint import Checkpoint, load_checkpoint
from ram.model.precision import Precision
from ram.model.text_encoder import make_text_encoder

# B images, K tags, N image tokens, D token width, E text embedding width

_NUM_BEAMS, _MIN_CAPTION_TOKENS, _LENGTH_PENALTY = 3, 5, 1.0


class Tagger:
    """Calls give, for every image, the tags whose score reaches their threshold, the highest score first."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        thresholds: Thresholds | None = None,
        *,
        precision: Precision = "fp32",
        shortlist: int | None = None,
        max_pixels: int = MAX_PIXELS,
        text_cache: TextCache | None = None,
    ) -> None:
        """An image of more than `max_pixels` is refused. `text_cache` None: that of the environment.

        `precision` "bf16" is about twice as fast where the processor has it, and changes few decisions. `shortlist`: of
        the model's own tags, decode that many an image, those that `ram shortlist` taught to be worth it.
        """
        self.checkpoint = checkpoint
        self.thresholds = thresholds or Thresholds()
        self.max_pixels = max_pixels
        self.fast = FastModel(checkpoint.model.eval(), precision)
        self._num_shortlisted, self._shortlist = shortlist or 0, None
        if shortlist is not None:
            if shortlist < 1:
                raise ValueError(f"shortlist must be at least 1 tag, got {shortlist}")
            self._shortlist = load_shortlist(checkpoint.directory, checkpoint.version, self.fast.device)
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
        images: Images,
        tags: Sequence[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        top_k: int | None = None,
        batch_size: int = 16,
        *,
        hierarchy: Hierarchy = "all",
        explain: bool | str = False,
        captions: bool = False,
    ) -> list[ImageTags]:
        """One list of `TagScore` an image; of an iterable of images, batch after batch.

        Images are paths, bytes, PIL images, arrays (H × W × 3) or tensors (C × H × W), of uint8 or of floats from 0
        to 1. `tags`: score these names alone, tags of the model (or synonyms of theirs) and new ones alike; new ones
        are embedded by the text encoder that the model was trained with. `threshold` replaces every tag's own, or, as
        a mapping of names, those that it names. `top_k`: at most so many an image. `hierarchy`: `all` that reach
        their thresholds; without those that another is a kind of, `most_specific`; or with what they imply,
        `add_implied`, of `tags` where these are given. `explain`: each tag's map of relevance and box. `captions`: a
        caption each. Raises `ImageError` or `OSError` for the first image that cannot be read, `ValueError` for
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
        images: Images,
        batch_size: int = 16,
        tags: Sequence[str] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        top_k: int | None = None,
        *,
        hierarchy: Hierarchy = "all",
        explain: bool | str = False,
        captions: bool = False,
    ) -> Iterator[Result]:
        """As calling it, one `Result` an image, in order: one that cannot be read has an error, and the rest go on.

        No more than two batches are read ahead of what is asked for. Wrong arguments are refused at once.
        """
        return self._stream(images, self._query(tags, threshold, top_k, hierarchy, explain, captions), batch_size)

    def scores(self, images: Sequence[ImageLike], tags: Sequence[str] | None = None) -> np.ndarray:
        """scores_BK, float32 in 0 … 1, of every tag, in the order of `tags` or of the label system; no threshold."""
        wanted = self._own if tags is None else self._wanted(tags)
        if len(images) == 0:
            return np.empty((0, len(wanted.names)), np.float32)
        tokens_BND, _ = self.fast.encode(torch.stack([self.decode(image) for image in images]))
        return self.fast.scores(tokens_BND, self._prepared(wanted))

    def embeddings(self, tags: Sequence[str]) -> Tensor:
        """embedding_KE of tags of the model, synonyms and new names; `ValueError` as of a call with these tags."""
        return self._wanted(tags).embedding_KE

    def logits(self, images_BCHW: Tensor) -> Tensor:
        """logits_BK of the model's own tags, of images that `checkpoint.model.preprocess` has normalized."""
        return self.fast.tag_logits(self.fast.encode(images_BCHW)[0])

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
        return Query(wanted, self._prepared(wanted), limits_K, top_k, hierarchy, kind, captions)

    def _wanted(self, names: Sequence[str]) -> Wanted:
        return wanted_tags(names, self.label_system, self._own.embedding_KE, self._new)

    def _prepared(self, wanted: Wanted) -> PreparedTags:
        return self.fast.own_tags if wanted is self._own else self.fast.prepare(wanted.embedding_KE)

    def decode(self, image: ImageLike) -> Tensor:
        """The image as the model reads it, C × H × W; raises as `read_image`."""
        preprocess = self.checkpoint.model.preprocess
        return preprocess(read_image(image, preprocess.image_size, self.max_pixels))

    def _stream(self, images: Images, query: Query, batch_size: int) -> Iterator[Result]:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return self._results(each_image(images), query, batch_size)

    def _results(self, images: Iterator[ImageLike], query: Query, batch_size: int) -> Iterator[Result]:
        index = 0
        for batch in read_ahead(images, self.decode, batch_size):
            decoded = [found for _, found in batch if not isinstance(found, OSError)]
            answers = iter(self._tag(torch.stack(decoded), query) if decoded else [])
            for i, (image, found) in enumerate(batch, index):
                error = found if isinstance(found, OSError) else None
                yield Result(i, name_of(image, i), image, next(answers) if error is None else None, error)
            index += len(batch)

    def _scores(self, tokens_BND: Tensor, query: Query) -> np.ndarray:
        if self._shortlist is None or query.wanted is not self._own:
            return self.fast.scores(tokens_BND, query.prepared)
        return shortlisted_scores(self.fast, self._shortlist, self._num_shortlisted, tokens_BND, query.limits_K)

    def _tag(self, images_BCHW: Tensor, query: Query) -> list[ImageTags]:
        tokens_BND, grid = self.fast.encode(images_BCHW)
        chosen = [choose(scores_K, query, self._hierarchy) for scores_K in self._scores(tokens_BND, query)]
        found: list[list[Place]] = [[] for _ in chosen]
        if query.relevance is not None:
            rows = [one.rows for one in chosen]
            with torch.inference_mode():
                found = places(
                    query.relevance, self.checkpoint.model, tokens_BND, rows, query.wanted.embedding_KE, grid
                )
        answers = [ImageTags(tag_scores(*both, query, self.thresholds)) for both in zip(chosen, found, strict=True)]
        if query.captions:
            for tags, caption in zip(answers, self._captions(tokens_BND, answers), strict=True):
                tags.caption = caption
        return answers

    def _captions(self, tokens_BND: Tensor, answers: list[ImageTags]) -> list[str]:
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
    precision: Precision = "fp32",
    shortlist: int | None = None,
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
    options = {"precision": precision, "shortlist": shortlist, "max_pixels": max_pixels, "text_cache": text_cache}
    return Tagger(checkpoint, thresholds_in(directory), **options)  # type: ignore[arg-type]


__all__ = [
    "DEFAULT_THRESHOLD",
    "THRESHOLDS_FILE",
    "NamedImage",
    "ImageLike",
    "ImageTags",
    "Result",
    "TagScore",
    "Tagger",
    "Thresholds",
    "load",
    "read_image",
]
