"""Which tags are wrong? Every row's evidence, put together as a probability, and the rules that remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ram.data_engine.detectors import DETECTORS, DetectorParams, judge, ranks
from ram.data_engine.probe import TRUSTED_ORIGINS
from ram.pipeline.catalog import ORIGINS

# R rows, one (image, tag) each

NEVER_REMOVED = ("human",)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceParams:
    """How sure is it that a row is wrong? Log odds: of its origin, plus what each witness adds."""

    noise: Mapping[str, float]  # share of wrong rows to expect, by origin
    foreign_share: float  # of the captions belong to another image altogether: all their tags fall together
    word_weight: float  # of what the caption's other words say of that; they overlap with each other
    caption_weight: float  # of the evidence on the whole caption, which is in log odds already
    probe_weight: float  # of the held-out evidence, which is in log odds already
    outlier_weight: float  # log odds between the most typical and the most outlying region of a tag
    region_weight: float  # log odds between the highest and the lowest region score of a tag
    image_weight: float  # log odds between the highest and the lowest image score of a tag

    def __post_init__(self) -> None:
        if unknown := set(self.noise) - set(ORIGINS):
            raise ValueError(f"noise has the unknown origin {unknown.pop()!r}; known: {', '.join(ORIGINS)}")
        if missing := set(ORIGINS) - set(NEVER_REMOVED) - set(self.noise):
            raise ValueError(f"noise lacks the origins {', '.join(sorted(missing))}")
        if not all(0 < share < 1 for share in self.noise.values()):
            raise ValueError(f"the shares of noise must lie between 0 and 1, got {dict(self.noise)}")
        if not 0 <= self.foreign_share < 1:
            raise ValueError(f"foreign_share must be in [0, 1), got {self.foreign_share}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleParams:
    """What is removed: a row that any of these rules names. A null switches a rule off."""

    max_wrong_probability: float | None  # rows that are likelier wrong than this
    outlier_share: float | None  # of each tag's regions, the most outlying (the paper: 0.1)
    min_outlier_score: float | None  # rows from this outlier score on; with outlier_share: those of the share alone
    min_region_score: float | None  # rows whose region the model scores below this (the paper: not predicted)

    def __post_init__(self) -> None:
        for parameter in ("max_wrong_probability", "outlier_share", "min_outlier_score", "min_region_score"):
            value = getattr(self, parameter)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{parameter} must be in [0, 1], got {value}")


def witnesses_of_bucket(path: Path, params: DetectorParams, seed: int) -> pa.Table:
    """For every row of a bucket of tags, what the detectors say of it, and its ranks among its tag's rows.

    outlier_score and outlier are those of `Judgement`, detector is the position in DETECTORS (-1: not judged); ranks lie
    between 0 and 1, highest score highest.
    """
    table = pq.read_table(path)
    width = len(table["feature"][0])
    feature_RD = table["feature"].combine_chunks().flatten().to_numpy().reshape(-1, width)
    tag_R, row_R = table["tag_id"].to_numpy(), table["row"].to_numpy()
    region_R, image_R = table["region_score"].to_numpy(), table["image_score"].to_numpy()
    evidence_R = table["held_out_evidence"].to_numpy()
    trusted_R = pc.is_in(table["origin"].cast(pa.string()), pa.array(TRUSTED_ORIGINS)).to_numpy()
    columns = ("outlier_score", "outlier", "detector", "region", "image")
    found = {c: np.empty(len(tag_R), dtype=np.float32) for c in columns}
    for tag in np.unique(tag_R):
        mine = np.flatnonzero(tag_R == tag)
        judgement = judge(feature_RD[mine], evidence_R[mine], trusted_R[mine], params, seed)
        found["outlier_score"][mine] = judgement.score_N
        found["outlier"][mine] = judgement.outlier_N
        found["detector"][mine] = judgement.detector_N
        found["region"][mine] = ranks(region_R[mine])
        found["image"][mine] = ranks(image_R[mine])
    return pa.table({"row": row_R} | found)


def wrong_probability(rows: pd.DataFrame, params: EvidenceParams) -> tuple[np.ndarray, np.ndarray]:
    """The probability that each row is wrong, and whether its region's outlyingness weighed most towards that.

    `rows` are all rows of some images: image_id, origin, held_out_evidence, caption_evidence (NaN: of no caption), and
    the ranks outlier, region, image.
    """
    probe_R = -params.probe_weight * rows["held_out_evidence"].to_numpy(dtype=np.float64)
    outlier_R = params.outlier_weight * (rows["outlier"].to_numpy(dtype=np.float64) - 0.5)
    model_R = params.region_weight * (0.5 - rows["region"].to_numpy(dtype=np.float64))
    model_R += params.image_weight * (0.5 - rows["image"].to_numpy(dtype=np.float64))
    odds_R = _logit(_prior(rows, probe_R, params)) + probe_R + outlier_R + model_R
    probability_R = np.where(rows["origin"].isin(NEVER_REMOVED), 0.0, _sigmoid(odds_R))
    return probability_R, outlier_R > np.maximum(probe_R + model_R, 0)


def _prior(rows: pd.DataFrame, against_R: np.ndarray, params: EvidenceParams) -> np.ndarray:
    """Share of wrong rows to expect, by origin; of words of captions, more where the image's other ones do not fit."""
    prior_R = rows["origin"].map({**dict.fromkeys(NEVER_REMOVED, 0.5), **params.noise}).to_numpy(dtype=np.float64)
    if params.foreign_share == 0:
        return prior_R
    said_R, bounded_R = _said(rows, against_R)
    others_R = pd.Series(bounded_R).groupby(rows["image_id"].to_numpy(), sort=False).transform("sum").to_numpy()
    foreign_R = _foreign(others_R - bounded_R, rows, params)
    given_R = said_R | (rows["origin"] == "implied").to_numpy()
    return np.where(given_R, foreign_R + (1 - foreign_R) * prior_R, prior_R)


def _said(rows: pd.DataFrame, against_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are words of a caption, and what speaks against them: bounded, as one may not decide for all."""
    said_R = (rows["origin"] == "caption").to_numpy()
    return said_R, np.where(said_R, np.clip(against_R, -3, 3), 0)


def _foreign(against_R: np.ndarray, rows: pd.DataFrame, params: EvidenceParams) -> np.ndarray:
    """The probability that the caption is foreign, from what speaks against its words and from the evidence on it."""
    caption_R = params.caption_weight * np.nan_to_num(rows["caption_evidence"].to_numpy(dtype=np.float64), nan=0.0)
    return _sigmoid(_logit(params.foreign_share) + params.word_weight * against_R - caption_R)


def foreign_probability(captions: pd.DataFrame, rows: pd.DataFrame, params: EvidenceParams) -> np.ndarray:
    """The probability that each caption belongs to another image, (len(captions),), from its words and as a whole.

    `captions` has caption_evidence, and image_id by which `rows`, as in `wrong_probability`, are its words.
    """
    against_R = -params.probe_weight * rows["held_out_evidence"].to_numpy(dtype=np.float64)
    words = pd.Series(_said(rows, against_R)[1]).groupby(rows["image_id"].to_numpy()).sum()
    return _foreign(words.reindex(captions["image_id"]).fillna(0.0).to_numpy(), captions, params)


def removals(rows: pd.DataFrame, evidence: EvidenceParams, rules: RuleParams) -> pd.DataFrame:
    """The columns kept, reason (None where kept) and wrong_probability of `rows`: those of `wrong_probability`, with
    outlier_score (NaN: not judged), detector (position in DETECTORS) and region_score."""
    probability_R, outlying_R = wrong_probability(rows, evidence)
    by_cluster_R = np.zeros(len(rows), dtype=bool)
    contrary_R = np.zeros(len(rows), dtype=bool)
    if rules.max_wrong_probability is not None:
        likely_R = probability_R > rules.max_wrong_probability
        by_cluster_R |= likely_R & outlying_R
        contrary_R |= likely_R & ~outlying_R
    far_R = _outlying(rows, rules)
    # Evidence of the probe is a prediction that says no, whatever asked for it.
    by_probe_R = (rows["detector"] == list(DETECTORS).index("confident_learning")).to_numpy()
    by_cluster_R |= far_R & ~by_probe_R
    contrary_R |= far_R & by_probe_R
    if rules.min_region_score is not None:
        contrary_R |= (rows["region_score"] < rules.min_region_score).to_numpy()
    removed_R = (by_cluster_R | contrary_R) & ~rows["origin"].isin(NEVER_REMOVED).to_numpy()
    reason_R = np.where(by_cluster_R, "cluster_outlier", "contrary_prediction").astype(object)
    reason_R[~removed_R] = None
    return pd.DataFrame(
        {
            "kept": ~removed_R,
            "reason": pd.Series(reason_R, dtype=object, index=rows.index),
            "wrong_probability": probability_R.astype(np.float32),
        },
        index=rows.index,
    )


def _outlying(rows: pd.DataFrame, rules: RuleParams) -> np.ndarray:
    """The rows that the rules on outlier scores name; none where both are off, and none that was not judged."""
    if rules.outlier_share is None and rules.min_outlier_score is None:
        return np.zeros(len(rows), dtype=bool)
    far_R = ~np.isnan(rows["outlier_score"].to_numpy(dtype=np.float64))
    if rules.outlier_share is not None:
        far_R &= (rows["outlier"] > 1 - rules.outlier_share).to_numpy()
    if rules.min_outlier_score is not None:
        far_R &= (rows["outlier_score"] >= rules.min_outlier_score).to_numpy()
    return far_R


def _logit(share: np.ndarray | float) -> np.ndarray:
    share = np.clip(share, 1e-9, 1 - 1e-9)
    return np.log(share) - np.log1p(-share)


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
