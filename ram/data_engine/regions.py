"""For every (image, tag): the region that shows it, what that looks like, and whether the model sees the tag there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ram.data_engine.boxes import box_weights, roi_align, sub_box_weights
from ram.data_engine.localize import Finder, Rows
from ram.inference.scorer import Scorer

# B images, R rows (one (image, tag) each), N spatial tokens of a map H × W, S parts of a region (or width of a summary),
# D token width


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionParams:
    """How a region is described and scored."""

    view: str  # tokens: mean of the image's tokens in the box; roi_align: read between them; crop: encoded anew
    num_parts: int  # tokens, roi_align: the box is seen as num_parts² tokens of equal size
    padding: float  # crop: added on every side, in shares of the box's size

    def __post_init__(self) -> None:
        if self.view not in ("tokens", "roi_align", "crop"):
            raise ValueError(f"view must be tokens, roi_align or crop, got {self.view!r}")
        if self.num_parts < 1 or self.padding < 0:
            raise ValueError(f"num_parts must be 1 or more and padding 0 or more, got {self.num_parts}, {self.padding}")


@dataclass(frozen=True, slots=True)
class Regions:
    """Of the rows of a batch of images."""

    boxes_R4: np.ndarray  # fractions of width and height
    found_by_R: np.ndarray  # names of localizers; whole where the region is the whole image
    score_R: np.ndarray  # of the row's tag on the region alone
    feature_RD: np.ndarray
    summary_BS: np.ndarray  # of the whole images: what the probe sees


class RegionEmbedder:
    """Localizes, describes and scores the tags of images, all tags of an image in one pass."""

    _ROWS_AT_ONCE = 256

    def __init__(self, scorer: Scorer, finder: Finder, params: RegionParams, batch_size: int) -> None:
        self._scorer, self._model = scorer, scorer.model
        self._finder, self._params, self._batch_size = finder, params, batch_size

    @torch.inference_mode()
    def run(self, image_ids: Sequence[str], images: np.ndarray, tag_ids: np.ndarray) -> Iterator[Regions]:
        """Batches of regions, in the order of the rows; `images` are positions in `image_ids`, ascending."""
        start = 0
        for ids, tokens_BND, grid in self._scorer.tokens(image_ids, self._batch_size):
            first, last = np.searchsorted(images, [start, start + len(ids)])
            image_R = torch.as_tensor(images[first:last] - start, device=tokens_BND.device)
            tag_R = torch.as_tensor(tag_ids[first:last].astype(np.int64), device=tokens_BND.device)
            yield self._batch(Rows(ids, tokens_BND, grid, image_R, tag_R))
            start += len(ids)

    def _batch(self, rows: Rows) -> Regions:
        boxes_R4, found_by_R = self._finder(rows)
        tokens_BND, tag_R = rows.tokens_BND, rows.tag_R
        map_BHWD = tokens_BND[:, 1:].unflatten(1, rows.grid)
        scores, features = [], []
        for some in torch.arange(len(tag_R), device=tag_R.device).split(self._ROWS_AT_ONCE):
            image = rows.image_R[some]
            if self._params.view == "crop":
                tokens = self._crop_tokens([rows.image_ids[i] for i in image.tolist()], boxes_R4[some])
            else:
                tokens = self._region_tokens(map_BHWD[image], boxes_R4[some])
            scores.append(self._own_scores(tokens, tag_R[some]))
            features.append(tokens[:, 0])
        width = tokens_BND.shape[2]
        return Regions(
            boxes_R4=boxes_R4.cpu().numpy(),
            found_by_R=found_by_R,
            score_R=torch.cat(scores).cpu().numpy() if scores else np.empty(0, np.float32),
            feature_RD=torch.cat(features).float().cpu().numpy() if features else np.empty((0, width), np.float32),
            summary_BS=summary_of(self._scorer, rows.image_ids, tokens_BND),
        )

    def _region_tokens(self, map_RHWD: Tensor, boxes_R4: Tensor) -> Tensor:
        """The tokens of the box alone, their mean first as the model wants the pooled token."""
        if self._params.view == "roi_align":
            parts_RSD = roi_align(map_RHWD, boxes_R4, self._params.num_parts)
            return torch.cat([parts_RSD.mean(1, keepdim=True), parts_RSD], dim=1)
        height, width = map_RHWD.shape[1:3]
        weights_RSHW = sub_box_weights(boxes_R4, self._params.num_parts, height, width)
        parts_RSD = torch.einsum("rshw,rhwd->rsd", weights_RSHW, map_RHWD)
        mean_RD = torch.einsum("rhw,rhwd->rd", box_weights(boxes_R4, height, width), map_RHWD)
        return torch.cat([mean_RD[:, None], parts_RSD], dim=1)

    def _crop_tokens(self, image_ids: Sequence[str], boxes_R4: Tensor) -> Tensor:
        if self._scorer.images is None:
            raise ValueError("embed_regions.region.view is crop, which needs the images; give an image store")
        crops = []
        for image_id, (x0, y0, x1, y1) in zip(image_ids, boxes_R4.tolist(), strict=True):
            image = self._scorer.images.open(image_id)
            pad_x, pad_y = self._params.padding * (x1 - x0), self._params.padding * (y1 - y0)
            left, top = max(x0 - pad_x, 0) * image.width, max(y0 - pad_y, 0) * image.height
            right, bottom = min(x1 + pad_x, 1) * image.width, min(y1 + pad_y, 1) * image.height
            box = (int(left), int(top), max(round(right), int(left) + 1), max(round(bottom), int(top) + 1))
            crops.append(self._model.preprocess(image.crop(box)))
        return self._model.encode(torch.stack(crops).to(self._model.device))

    def _own_scores(self, tokens_RND: Tensor, tag_R: Tensor) -> Tensor:
        """The score of each row's own tag on its own tokens."""
        score_R = torch.empty(len(tag_R), device=tag_R.device)
        for tag in tag_R.unique():
            mine = tag_R == tag
            logits_R1 = self._model.tag_logits(tokens_RND[mine], self._model.tag_embedding_KE[tag][None])
            score_R[mine] = logits_R1[:, 0].float().sigmoid()
        return score_R


@torch.inference_mode()
def summary_of(scorer: Scorer, image_ids: Sequence[str], tokens_BND: Tensor) -> np.ndarray:
    """Mean and maximum of the images' tokens, (B, S) float32, averaged over the views that are stored of them.

    Small things show in the maximum, and views average out what is chance in one.
    """
    summaries = [_mean_and_max(tokens_BND)]
    features = scorer.features
    if features is not None:
        for view in range(1, features.num_views):
            if features.covers(image_ids, view):
                stored = torch.from_numpy(features.read(image_ids, view)).to(scorer.model.device, torch.float32)
                summaries.append(_mean_and_max(scorer.model.tail(stored)))
    return torch.stack(summaries).mean(0).cpu().numpy()


def _mean_and_max(tokens_BND: Tensor) -> Tensor:
    return torch.cat([tokens_BND[:, 0], tokens_BND[:, 1:].amax(1)], dim=1).float()
