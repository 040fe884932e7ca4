"""Does the engine's judgement agree with people's? Captions that people judged for images, accepted or not.

Every judged caption is assigned to its image as if it came with it; its parsed tags and the caption itself get what the
engine gives rows of captions: the probes' held-out evidence, regions, clusters, and from them the probability to be right.
Nothing of the judged images is trained on, and no judgement is read before the end. Prints a line a witness, and last a JSON
object with caption_auc (accepted by most: yes against no) and tag_auc (named by an accepted caption: yes against no).

The model is the preliminary one of --workspace; where there is none, the recipe is run there as far as that.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.workspaces import ROOT, machine, open_workspace, run_stages, stages
from ram.data_engine.caption_probe import CaptionBatch
from ram.data_engine.clean import EvidenceParams, foreign_probability, wrong_probability
from ram.data_engine.detectors import DetectorParams, judge, ranks
from ram.data_engine.localize import Finder, LocaliserParams, Sources
from ram.data_engine.probe import Batch, fit
from ram.data_engine.regions import RegionEmbedder, RegionParams
from ram.data_engine.tag_lists import TagLists
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.datasets.source import MAX_IMAGE_BYTES
from ram.inference.scorer import Scorer
from ram.io.tars import each_member
from ram.model.checkpoint import load_checkpoint
from ram.model.text_encoder import make_text_encoder
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.params import from_mapping, load_yaml
from ram.pipeline.runner import PROVIDED
from ram.stages import judge_captions

READ = ["list_sources", "ingest_pairs", "check_tables@pairs", "parse_captions", "tag_captions", "embed_images"]
_NUM_RESAMPLES = 1000

# J judgements (a caption of an image), C captions, B images, R rows (one tag of one image)


def read_pairs(path: Path) -> pd.DataFrame:
    """Columns image, caption, yes, no; one row a pair. `ValueError` names the line that is none."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows.append((str(row["image"]), str(row["caption"]), int(row["yes"]), int(row["no"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: wants a JSON object with image, caption, yes, no: {error}"
            ) from error
    if not rows:
        raise ValueError(f"{path} has no judgements; it wants a JSON object a line")
    pairs = pd.DataFrame(rows, columns=["image", "caption", "yes", "no"])
    return pairs.groupby(["image", "caption"], sort=False, as_index=False).sum()


def write_judged(images: Path, pairs: pd.DataFrame, out: Path) -> None:
    """A WebDataset shard of the judged images, each with its judged captions, from a tar by its members' names."""
    captions = pairs.groupby("image")["caption"].agg(list)
    found = set()
    unfinished = out.with_suffix(".partial")
    with images.open("rb") as stream, tarfile.open(unfinished, "w") as target:
        for member in each_member(stream):
            name = PurePosixPath(member.name)
            if name.suffix.lower() in (".jpg", ".jpeg", ".png") and name.stem in captions.index:
                text = json.dumps({"captions": captions[name.stem]}).encode()
                for suffix, content in ((name.suffix.lower(), member.read(MAX_IMAGE_BYTES)), (".json", text)):
                    info = tarfile.TarInfo(name.stem + suffix)
                    info.size = len(content)
                    target.addfile(info, io.BytesIO(content))
                found.add(name.stem)
    if missing := sorted(set(captions.index) - found):
        raise ValueError(f"{images} lacks {len(missing)} of the judged images, like {missing[0]}")
    unfinished.replace(out)


def ensure_model(workspace: Path, recipe: Path) -> None:
    """Run the recipe as far as the preliminary model, where that is not there."""
    if not (workspace / artifact("preliminary_model").path).is_dir():
        every = stages()
        open_workspace(workspace, load_yaml(recipe))
        run_stages(workspace, every[: every.index("pretrain") + 1])


def read_judged(workspace: Path, trained: Path, args: argparse.Namespace, pairs: pd.DataFrame) -> None:
    """The judged images and captions through the pipeline's own first stages, with the label system of the training."""
    params = load_yaml(trained / "params.yaml")
    shard = workspace / "judged.tar"
    source = {"name": "judged", "kind": "webdataset", "path": str(shard), "split": "train"}
    params["list_sources"]["sources"] = [source]
    bounds = {"min_rows": 1, "max_captions": 10_000, "max_share_of_one_caption": 1.0, "max_share_refused": 1.0}
    params["check_tables"]["pairs"] |= bounds
    params["ingest_pairs"]["max_hash_distance"] = None  # every image is judged, be it like another
    open_workspace(workspace, params)
    if not shard.is_file():
        write_judged(args.images, pairs, shard)
    label_system = workspace / artifact("label_system").path
    if not label_system.exists():
        label_system.symlink_to((trained / artifact("label_system").path).resolve())
    run_stages(workspace, READ)


class Judged(NamedTuple):
    """The judged images, and every judgement with the position of its image and the index of its caption there."""

    image_ids: list[str]
    judgements: pd.DataFrame  # image_id, image, caption_index, caption, yes, no
    rows: pd.DataFrame  # image_id, image, tag_id, origin, caption_indices; in the order of the images


def match(workspace: Path, pairs: pd.DataFrame) -> Judged:
    """Judgements and parsed tags by image. What was refused on the way in is counted on stderr."""
    said = read_artifact(artifact("pairs"), workspace).to_pandas()
    image_ids = sorted(said["image_id"].unique())
    position = {image_id: i for i, image_id in enumerate(image_ids)}
    said["image"] = said["image_id"].str.rpartition("/")[2]
    judgements = said[["image_id", "image", "caption_index", "caption"]].merge(pairs, on=["image", "caption"])
    if len(judgements) < len(pairs):
        print(f"{len(pairs) - len(judgements)} judgements lie on images that were refused", file=sys.stderr)
    judgements["image_index"] = judgements["image_id"].map(position)
    judgements = judgements.sort_values(["image_index", "caption_index"], ignore_index=True)
    rows = read_artifact(artifact("parsed_tags"), workspace).to_pandas()
    rows = rows.assign(image_index=rows["image_id"].map(position), origin=rows["origin"].astype(str))
    return Judged(image_ids, judgements, rows.sort_values(["image_index", "tag_id"], ignore_index=True))


def witnesses(
    judged: Judged, workspace: Path, trained: Path, params: Mapping[str, Any]
) -> tuple[pd.DataFrame, np.ndarray]:
    """`judged.rows` with the columns that the cleaning reads but caption_evidence, and evidence_J of the whole captions."""
    checkpoint = load_checkpoint(trained / artifact("preliminary_model").path)
    store = ImageStore(*(read_artifact(artifact(n), workspace) for n in ("images", "image_shards")))
    scorer = Scorer(checkpoint, store, FeatureStore(read_artifact(artifact("image_features"), workspace)))
    localizer = from_mapping(LocaliserParams, params["embed_regions"]["localizer"], "localizer")
    region = from_mapping(RegionParams, params["embed_regions"]["region"], "region")
    finder = Finder(Sources(scorer.model, checkpoint.label_system, store), localizer)
    rows = judged.rows.copy()
    row_R, tag_R = rows["image_index"].to_numpy(), rows["tag_id"].to_numpy()
    embedder = RegionEmbedder(scorer, finder, region, params["embed_regions"]["batch_size"])
    found = list(embedder.run(judged.image_ids, row_R, tag_R))
    summary_BS = np.concatenate([part.summary_BS for part in found])
    feature_RD = np.concatenate([part.feature_RD for part in found])
    score_BK = np.concatenate([scores for _, scores in scorer.scores(judged.image_ids)])
    probe, caption_probe = probes(trained, scorer.model.num_tags, params)
    unseen_B = np.full(len(judged.image_ids), -1)
    rows["held_out_evidence"] = probe.evidence(summary_BS, unseen_B, row_R, tag_R)
    region_R, image_R = np.concatenate([part.score_R for part in found]), score_BK[row_R, tag_R]
    detectors = from_mapping(DetectorParams, params["clean_tags"]["detectors"], "detectors")
    for name in ("outlier", "region", "image"):
        rows[name] = np.float32(0.5)
    for tag in np.unique(tag_R):
        mine = np.flatnonzero(tag_R == tag)
        evidence_M = rows["held_out_evidence"].to_numpy()[mine]
        judgement = judge(feature_RD[mine], evidence_M, np.ones(len(mine), bool), detectors, params["seed"])
        rows.loc[mine, "outlier"] = judgement.outlier_N
        rows.loc[mine, "region"], rows.loc[mine, "image"] = ranks(region_R[mine]), ranks(image_R[mine])
    said = judged.judgements
    batch = CaptionBatch(
        summary_BS, unseen_B, said["image_index"].to_numpy(), embedded(said["caption"], checkpoint.params.text_encoder)
    )
    return rows, caption_probe.evidence(batch)


def embedded(captions: pd.Series, text_encoder: str) -> np.ndarray:
    """embedding_CE of length 1; every different caption is encoded once."""
    different, inverse = np.unique(captions.to_numpy(dtype=str), return_inverse=True)
    embedding_CE = make_text_encoder(text_encoder).embed_captions(different.tolist())
    return embedding_CE.astype(np.float32)[inverse]


def probes(trained: Path, num_tags: int, params: Mapping[str, Any]) -> tuple[Any, Any]:
    """The probes of tags and of captions, fitted on the training images and their own captions."""
    scratch = trained / ".state" / "human_judgements"
    scratch.mkdir(parents=True, exist_ok=True)
    inputs = {f: read_artifact(artifact(f), trained) for f in judge_captions.Inputs._fields if f not in PROVIDED}
    sections = {"seed": params["seed"], **params["judge_captions"]}
    chosen = from_mapping(judge_captions.Params, sections, "judge_captions")
    caption_probe, images = judge_captions.fitted(judge_captions.Inputs(**inputs, scratch=scratch), chosen)
    parsed = TagLists(read_artifact(artifact("parsed_tags"), trained), images.image_ids)

    def batches() -> Any:
        for start, batch in images:
            image_R, tag_R, _ = parsed.of(start, start + len(batch.feature_BD))
            yield Batch(batch.feature_BD, batch.fold_B, image_R, tag_R)

    probe = fit(batches(), num_tags, chosen.probe)
    probe.calibrate(batches(), chosen.probe.prior_weight)
    return probe, caption_probe


def keep_scores(judged: Judged, rows: pd.DataFrame, evidence_J: np.ndarray, params: EvidenceParams) -> tuple[Any, Any]:
    """keep_J of the captions, and a table of the tags that each caption names: judgement, tag_id and keep."""
    said = judged.judgements
    number = pd.DataFrame(
        {"image_index": said["image_index"], "caption_index": said["caption_index"], "judgement": np.arange(len(said))}
    )
    named = rows.explode("caption_indices").rename(columns={"caption_indices": "caption_index"})
    named["caption_index"] = named["caption_index"].astype(np.int64)
    named = named.merge(number, on=["image_index", "caption_index"]).sort_values("judgement", ignore_index=True)
    # Every caption stands as if it were its image's only one.
    alone = named.assign(image_id=named["judgement"], caption_evidence=evidence_J[named["judgement"].to_numpy()])
    wrong_R, _ = wrong_probability(alone, params)
    bare = pd.DataFrame({"image_id": np.arange(len(said)), "caption_evidence": evidence_J})
    foreign_J = foreign_probability(bare, alone, params)
    return 1 - foreign_J, named[["judgement", "image_index", "tag_id"]].assign(keep=1 - wrong_R)


def report(judged: Judged, evidence_J: np.ndarray, keep_J: np.ndarray, tags: pd.DataFrame) -> dict[str, Any]:
    """The areas under the ROC curves, with 95 % intervals over resampled images."""
    from sklearn.metrics import roc_auc_score

    said = judged.judgements
    accepted_J = (said["yes"] > said["no"]).to_numpy()
    tags = tags.assign(right=accepted_J[tags["judgement"].to_numpy()])
    by_tag = tags.groupby(["image_index", "tag_id"], as_index=False).agg(right=("right", "max"), keep=("keep", "max"))
    mean_keep = tags.groupby("judgement")["keep"].mean().reindex(range(len(said)), fill_value=0.5).to_numpy()
    print(f"caption probe alone           {roc_auc_score(accepted_J, evidence_J):.4f}")
    print(f"mean keep score of its tags   {roc_auc_score(accepted_J, mean_keep):.4f}")
    counts = (len(judged.image_ids), len(said), int(accepted_J.sum()))
    found: dict[str, Any] = dict(zip(("num_images", "num_captions", "num_accepted"), counts, strict=True))
    for name, image, right, keep in (
        ("caption_auc", said["image_index"].to_numpy(), accepted_J, keep_J),
        ("tag_auc", by_tag["image_index"].to_numpy(), by_tag["right"].to_numpy(), by_tag["keep"].to_numpy()),
    ):
        low, high = interval(image, right, keep)
        print(f"{name} {roc_auc_score(right, keep):.4f}, 95 % of resamples in {low:.4f} … {high:.4f}")
        found[name] = round(float(roc_auc_score(right, keep)), 4)
    return found


def interval(image: np.ndarray, right: np.ndarray, keep: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 % of the areas under the curve when whole images are drawn with replacement."""
    from sklearn.metrics import roc_auc_score

    rng, num_images = np.random.default_rng(0), int(image.max()) + 1
    areas = []
    for _ in range(_NUM_RESAMPLES):
        weight = np.bincount(rng.integers(num_images, size=num_images), minlength=num_images)[image]
        if weight[right].sum() and weight[~right].sum():
            areas.append(roc_auc_score(right, keep, sample_weight=weight))
    return float(np.quantile(areas, 0.025)), float(np.quantile(areas, 0.975))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a tar with the judged images")
    parser.add_argument(
        "--pairs", type=Path, required=True, help="JSON lines: image (member without suffix), caption, yes, no"
    )
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "flickr8k.yaml")
    parser.add_argument("--workspace", type=Path, default=ROOT / ".state" / "human_judgements" / "flickr8k")
    args = parser.parse_args()
    pairs, trained = read_pairs(args.pairs), args.workspace.resolve()
    ensure_model(trained, args.recipe)
    params = load_yaml(args.recipe)
    workspace = trained / ".state" / "judged" / judged_name(args)
    read_judged(workspace, trained, args, pairs)
    judged = match(workspace, pairs)
    rows, evidence_J = witnesses(judged, workspace, trained, params)
    evidence = from_mapping(EvidenceParams, params["clean_tags"]["evidence"], "evidence")
    found = report(judged, evidence_J, *keep_scores(judged, rows, evidence_J, evidence))
    print(f"{args.recipe.stem}, {machine()}")
    print(json.dumps(found))


def judged_name(args: argparse.Namespace) -> str:
    """One folder a judged set: what was read of another one is not taken for this one's."""
    stats = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in (args.images, args.pairs)]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:12]


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
