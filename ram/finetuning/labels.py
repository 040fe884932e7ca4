"""Which labels of a table train and judge a model: the images are read, and tags that teach nothing are set aside."""

# B images, K tags of the table

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ram.finetuning.images import check_images, split_of
from ram.finetuning.table import Labels, read_table, resolve, set_aside, trimmed
from ram.io.tables import write_text
from ram.labels import LabelSystem
from ram.training.examples import UNKNOWN


@dataclass(frozen=True)
class Prepared:
    """Labels that can be used, the hash of every image of theirs, and whether what is not named is absent."""

    labels: Labels
    hash_of: dict[str, str]
    complete: bool

    @property
    def tag_ids(self) -> list[int]:
        """The tags of the table, ascending."""
        return sorted(self.labels.rows["tag_id"].unique().tolist())

    def targets(self) -> pd.DataFrame:
        """image_id, tag_id and target of every pair that is named."""
        rows, unknown = self.labels.rows, self.labels.unknown
        named = rows.assign(target=rows["positive"].astype(np.float32))[["image", "tag_id", "target"]]
        found = pd.concat([named, unknown.assign(target=np.float32(UNKNOWN))], ignore_index=True)
        return found.rename(columns={"image": "image_id"}).astype({"tag_id": np.int32, "target": np.float32})

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives of each of `tag_ids`, over all images."""
        targets = self.targets()
        targets = targets[targets["image_id"].isin(self.hash_of.keys())]
        positives, negatives, unknown = (
            targets[targets["target"].eq(value)].groupby("tag_id").size().reindex(self.tag_ids, fill_value=0).to_numpy()
            for value in (1, 0, UNKNOWN)
        )
        if self.complete:
            negatives = len(self.hash_of) - positives - unknown
        return positives, negatives

    def truth(self, image_ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """positive_BK and known_BK of these images and the table's tags."""
        targets = self.targets()
        place = pd.Index(image_ids).get_indexer(pd.Index(targets["image_id"]))
        column = pd.Index(self.tag_ids).get_indexer(pd.Index(targets["tag_id"]))
        kept = (place >= 0) & (column >= 0)
        target_BK = np.full((len(image_ids), len(self.tag_ids)), 0 if self.complete else UNKNOWN, np.float32)
        target_BK[place[kept], column[kept]] = targets["target"].to_numpy()[kept]
        return target_BK > 0, target_BK >= 0


def prepare(
    table: Path, images: Path, start: LabelSystem, quarantine: Path, *, complete: bool, dev_share: float
) -> Prepared:
    """The labels of a table that can be used. The others are written to `quarantine`, a CSV, where there are any.

    A tag whose labels on the images to train on are all of one kind is set aside, since it would be learned as
    always or never there. `ValueError` where nothing is left to learn or, with a dev share, nothing to judge by.
    """
    labels = resolve(read_table(table), start)
    if not complete:
        require_negatives(labels, table, "a model taught only those says yes to everything")
    labels, hash_of = with_images(labels, images)
    # An image whose rows name none but one-sided tags still shows none of the others, where rows are complete.
    used = set(labels.rows["image"])
    labels = _without_one_sided(labels, complete, dev_share)
    write_quarantine(labels, table, quarantine)
    labels = trimmed(labels, start)
    used = used if complete else set(labels.rows["image"])
    prepared = Prepared(labels, {path: digest for path, digest in hash_of.items() if path in used}, complete)
    dev = [path for path in used if split_of(path, dev_share) == "dev"]
    if dev_share and not prepared.truth(dev)[0].any():
        raise ValueError(
            f"none of the {len(dev)} images held out of {len(used)} has a tag, so nothing can be judged; raise "
            f"--dev-share ({dev_share:g}), or give 0 to hold out none and keep the start's thresholds"
        )
    return prepared


def require_negatives(labels: Labels, table: Path, consequence: str) -> None:
    """`ValueError`, with what follows from it, for labels that are there and are all positives."""
    if labels.rows["positive"].all() and len(labels.rows):
        raise ValueError(
            f"every label of {table} is a positive, and {consequence}; add a column label with rows of 0 for what a "
            "image does not show, or say --complete if the rows of an image name every tag of the table that it shows"
        )


def with_images(labels: Labels, images: Path) -> tuple[Labels, dict[str, str]]:
    """The labels whose image decodes whole, the others set aside; and the hash of every image that does."""
    hash_of, refused = check_images(images, sorted(labels.rows["image"].unique()))
    for reason in ("missing_image", "broken_image"):
        details = {path: detail for path, (why, detail) in refused.items() if why == reason}
        labels = set_aside(labels, labels.rows["image"].map(details), reason)
    return labels, hash_of


def write_quarantine(labels: Labels, table: Path, quarantine: Path) -> None:
    """Write the rows that are set aside, where there are any; `ValueError` where no other row is left."""
    quarantine.unlink(missing_ok=True)
    if len(labels.quarantine):
        write_text(labels.quarantine.to_csv(index=False), quarantine)
    if labels.rows.empty:
        counts = ", ".join(f"{num} {reason}" for reason, num in Counter(labels.quarantine["reason"]).most_common())
        raise ValueError(f"no row of {table} can be used ({counts}); {quarantine} has each with its reason")


def _without_one_sided(labels: Labels, complete: bool, dev_share: float) -> Labels:
    is_train = labels.rows["image"].map(lambda path: split_of(path, dev_share) != "dev").astype(bool)
    train = labels.rows[is_train]
    num_positives = train[train["positive"]].groupby("tag_id").size()
    if complete:
        names = pd.concat([train[train["positive"]], labels.unknown])
        named = names[names["image"].isin(set(train["image"]))].groupby("tag_id").size()
        num_images = train["image"].nunique()
        num_negatives = {tag: num_images - named.get(tag, 0) for tag in labels.rows["tag_id"].unique()}
    else:
        num_negatives = train[~train["positive"]].groupby("tag_id").size().to_dict()
    details = {}
    for tag_id in labels.rows["tag_id"].unique():
        positives, negatives = int(num_positives.get(tag_id, 0)), int(num_negatives.get(tag_id, 0))
        if not positives or not negatives:
            details[tag_id] = f"{positives} positives and {negatives} negatives among the images to train on"
    return set_aside(labels, labels.rows["tag_id"].map(details), "one_sided_tag")
