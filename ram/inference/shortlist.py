"""A shortlist for a model, fitted on images of the kind that it will tag; no label is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from ram.inference.image_inputs import ImageLike, name_of
from ram.inference.prefetch import read_ahead
from ram.inference.runtimes.shortlist import Exactness, Shortlist, fit
from ram.inference.tagger import Tagger
from ram.io.progress import track

SIZES = (100, 200, 500, 1000)
MAX_IMAGES = 4000  # more teach little, and the logits of all of them are held in memory
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Fitted:
    """A shortlist, what it keeps by its number of tags, and the images that could not be read, with the reason."""

    shortlist: Shortlist
    measured: list[Exactness]
    num_images: int
    refused: list[str]


def make_shortlist(
    tagger: Tagger, images: Iterator[ImageLike], sizes: Sequence[int] = SIZES, max_images: int = MAX_IMAGES
) -> Fitted:
    """The shortlist for the tagger's own tags and thresholds. `ValueError` for fewer than 20 images."""
    pooled, logits, refused = [], [], []
    batches = read_ahead(islice(images, max_images), tagger.decode, _BATCH)
    for batch in track(batches, "shortlist", unit="batch"):
        refused += [f"{name_of(image, 0)}: {found}" for image, found in batch if isinstance(found, OSError)]
        decoded = [found for _, found in batch if not isinstance(found, OSError)]
        if decoded:
            tokens_BTD, _ = tagger.fast.encode(torch.stack(decoded))
            pooled.append(tokens_BTD[:, 0].cpu())
            logits.append(tagger.fast.tag_logits(tokens_BTD).cpu())
    if not pooled:
        raise ValueError("a shortlist is fitted on images, and none could be read")
    limits_K = torch.tensor([tagger.thresholds.of(tag) for tag in tagger.label_system.tags]).logit().clamp(-30, 30)
    known_sizes = [size for size in sizes if size < len(limits_K)]
    shortlist, measured = fit(torch.cat(pooled), torch.cat(logits), limits_K, tagger.version, known_sizes)
    return Fitted(shortlist, measured, sum(map(len, pooled)), refused)
