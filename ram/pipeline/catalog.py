"""The catalog: every artifact of the pipeline, its path, its format and, for tables, its schema.

A stage names its inputs and outputs by the names that stand here; only the runner turns a name into a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa


class Format(StrEnum):
    """How an artifact lies on disk, and so what a stage receives and returns for it."""

    TABLE = "table"  # a folder of Parquet parts: ram.io.tables.Table
    JSON = "json"  # one JSON document: dict
    CSV = "csv"  # one small table for people or plots: pandas.DataFrame
    DIRECTORY = "directory"  # anything else: pathlib.Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One artifact: `path` is relative to the workspace; `schema` is set for tables alone."""

    name: str
    path: Path
    format: Format
    doc: str
    schema: pa.Schema | None = None


SPLITS = ("train", "dev", "finetune", "test")
ORIGINS = ("caption", "generated_caption", "predicted", "implied", "human")
REASONS = ("cluster_outlier", "contrary_prediction", "human_verdict")
KINDS = ("object", "scene", "attribute", "action")

_BOX = [pa.field(side, pa.float32()) for side in ("x0", "y0", "x1", "y1")]  # fractions of width and height, or null


def _required(name: str, dtype: pa.DataType) -> pa.Field:
    return pa.field(name, dtype, nullable=False)


_IMAGE_ID = _required("image_id", pa.string())
_TAG_ROW = [
    _IMAGE_ID,
    _required("tag_id", pa.int32()),
    _required("origin", pa.dictionary(pa.int8(), pa.string())),
    _required("score", pa.float32()),  # 1 for words of a caption, else the model's score
]

_TABLES: dict[str, tuple[str, list[pa.Field]]] = {
    "images": (
        "one row an accepted image",
        [
            _IMAGE_ID,
            _required("source", pa.string()),
            _required("split", pa.string()),
            _required("shard", pa.string()),  # file name under image_shards
            _required("member", pa.string()),  # member name in that tar
            _required("offset", pa.int64()),  # of the image's bytes in the tar
            _required("num_bytes", pa.int64()),
            _required("width", pa.int32()),
            _required("height", pa.int32()),
            _required("sha256", pa.string()),  # of the encoded bytes
            _required("perceptual_hash", pa.string()),  # 64 bits as 16 hex digits
        ],
    ),
    "pairs": (
        "one row a caption of an accepted image",
        [
            _IMAGE_ID,
            _required("split", pa.string()),
            _required("caption_index", pa.int16()),
            _required("caption", pa.string()),
        ],
    ),
    "labels": (
        "one row a human (or drawn) label: this name is in this image",
        [_IMAGE_ID, _required("benchmark", pa.string()), _required("name", pa.string()), *_BOX],
    ),
    "quarantine": (
        "what was refused, and why",
        [
            _required("source", pa.string()),
            _required("key", pa.string()),
            _required("reason", pa.string()),
            _required("detail", pa.string()),
        ],
    ),
    "caption_phrases": (
        "one row a phrase found in a caption",
        [
            _IMAGE_ID,
            _required("split", pa.string()),
            _required("caption_index", pa.int16()),
            _required("phrase", pa.string()),  # lemmatised, lower case
            _required("kind", pa.dictionary(pa.int8(), pa.string())),
        ],
    ),
    "skipped_captions": (
        "captions that were not parsed, and why",
        [
            _IMAGE_ID,
            _required("caption_index", pa.int16()),
            _required("reason", pa.string()),
            _required("detail", pa.string()),
        ],
    ),
    "caption_embeddings": (
        "one row a caption of split train, in the order of pairs: its text embedding",
        [
            _IMAGE_ID,
            _required("caption_index", pa.int16()),
            _required("text_encoder", pa.dictionary(pa.int8(), pa.string())),
            _required("embedding", pa.list_(pa.float16())),  # of length 1
        ],
    ),
    "parsed_tags": (
        "one row an (image, tag) found in that image's captions",
        [*_TAG_ROW, _required("caption_indices", pa.list_(pa.int16()))],
    ),
    "tag_scores": (
        "one row per image of split train, and a labeled one of split dev: the generator's highest scores",
        [
            _IMAGE_ID,
            _required("split", pa.string()),
            # the highest first, as many as score_images.top_k that reach its floor; then those of other tags it has
            _required("tag_ids", pa.list_(pa.int32())),
            _required("scores", pa.list_(pa.float16())),
            _required("model_version", pa.string()),  # content hash of the generator
        ],
    ),
    "generated_captions": (
        "one generated caption a train image",
        [_IMAGE_ID, _required("caption", pa.string()), _required("log_probability", pa.float32())],
    ),
    "generated_tags": (
        "parsed tags, and what the generator adds to them",
        [
            *_TAG_ROW,
            _required("image_score", pa.float32()),  # the generator's score of the tag on the whole image; 0: not kept
            _required("model_version", pa.string()),  # content hash of the generator
        ],
    ),
    "caption_evidence": (
        "one row a caption of a train image: does it belong to it?",
        [
            _IMAGE_ID,
            _required("caption_index", pa.int16()),
            _required("evidence", pa.float32()),  # natural log of: likelier its image's caption than another one's
        ],
    ),
    "region_features": (
        "one row a generated tag: the region that shows it, described",
        [
            _IMAGE_ID,
            _required("tag_id", pa.int32()),
            *_BOX,
            _required("found_by", pa.dictionary(pa.int8(), pa.string())),  # the localizer; whole: the whole image
            _required("region_score", pa.float32()),  # the model's score of the tag on the region alone
            _required("held_out_evidence", pa.float32()),  # log-likelihood ratio of a probe that did not see the image
            _required("feature", pa.list_(pa.float32())),
        ],
    ),
    "cleaned_tags": (
        "every generated tag, kept or removed with its reason",
        [
            *_TAG_ROW,
            _required("kept", pa.bool_()),
            pa.field("reason", pa.string()),  # null where kept
            pa.field("outlier_score", pa.float32()),  # 0 typical … 1 outlying; null where its tag was not judged
            pa.field("detector", pa.string()),  # whose outlier score it is, or weighed most; null where not judged
            # Null in a row that is there on a person's word alone, and that the engine did not look at:
            pa.field("image_score", pa.float32()),
            pa.field("region_score", pa.float32()),
            pa.field("held_out_evidence", pa.float32()),
            _required(
                "wrong_probability", pa.float32()
            ),  # the cleaning's estimate from all of these; a person's word: 0 or 1
            *_BOX,
        ],
    ),
    "per_tag_metrics": (
        "average precision of every evaluated tag",
        [
            _required("model", pa.string()),
            _required("benchmark", pa.string()),
            _required("name", pa.string()),
            _required("seen", pa.bool_()),
            _required("num_positives", pa.int64()),
            pa.field("average_precision", pa.float32()),  # null without positives
            pa.field("precision", pa.float32()),  # at the tag's threshold
            pa.field("recall", pa.float32()),
        ],
    ),
    "test_scores": (
        "one row a test image of a benchmark: what the finetuned model says of every name of it",
        [
            _required("benchmark", pa.string()),
            _IMAGE_ID,
            _required("scores", pa.list_(pa.float32())),  # in the order of the benchmark's names
            _required("positive", pa.list_(pa.bool_())),  # the labels, in the same order
        ],
    ),
}

CHECKED_TABLES = ("pairs", "parsed_tags", "generated_tags", "cleaned_tags")
MODELS = ("preliminary", "retrained", "retrained_uncleaned", "finetuned")

_OTHERS: list[tuple[str, str, Format, str]] = [
    ("sources", "data/sources.json", Format.JSON, "every file of every source, with size and content hash"),
    ("vocabularies", "data/vocabularies", Format.DIRECTORY, "tag lists in git, and where they come from"),
    ("reviews", "data/reviews", Format.DIRECTORY, "a person's verdicts on single rows of tags, in git"),
    ("image_shards", "data/image_shards", Format.DIRECTORY, "the accepted images, as WebDataset tar shards"),
    ("benchmarks", "data/benchmarks.json", Format.JSON, "{benchmark: {names, unseen, sources}}: what was labeled, completely"),
    ("phrase_table", "data/phrase_table.json", Format.JSON, "the dictionary of the caption parser, where that is its parser"),
    ("label_system", "data/label_system.json", Format.JSON, "the tags, with synonyms, kinds, parents and sources"),
    ("label_system_report", "reports/label_system.json", Format.JSON, "coverage of every vocabulary by the label system"),
    ("label_suggestions", "data/label_suggestions.csv", Format.CSV, "what a person may decide about tags: rows of a review file"),
    ("tag_neighbors", "data/tag_neighbors.csv", Format.CSV, "tags whose embeddings are close: rows of a review file"),
    ("tag_embeddings", "data/tag_embeddings", Format.DIRECTORY, "text embeddings of the tags: safetensors and its provenance"),
    ("image_features", "data/image_features", Format.DIRECTORY, "outputs of the frozen part of the image encoder, view by view"),
    ("generator_model", "data/models/generator", Format.DIRECTORY, "the model that proposes tags: the preliminary or another"),
    ("score_report", "reports/scores.json", Format.JSON, "what was scored by which model, and how much of it was kept"),
    ("generation_report", "reports/generation.json", Format.JSON, "thresholds and counts of the generation"),
    ("region_report", "reports/regions.json", Format.JSON, "how many regions each localizer found"),
    ("cleaning_report", "reports/cleaning.json", Format.JSON, "counts of the cleaning by origin and reason"),
    ("review_gallery", "data/review_gallery", Format.DIRECTORY, "one self-contained HTML page: rows to look at and judge"),
    ("balance", "reports/balance.json", Format.JSON, "tags and pairs of tags before and after generation and cleaning"),
    ("thresholds", "data/thresholds.json", Format.JSON, "per-tag thresholds and the score calibration"),
    ("evaluation", "reports/evaluate.json", Format.JSON, "{model: {benchmark: {mAP, …}}}"),
    ("report", "data/report", Format.DIRECTORY, "one self-contained HTML page"),
]  # fmt: skip


def _build() -> dict[str, Artifact]:
    artifacts = [
        Artifact(name=name, path=Path("data", name), format=Format.TABLE, doc=doc, schema=pa.schema(fields))
        for name, (doc, fields) in _TABLES.items()
    ]
    artifacts += [Artifact(name=name, path=Path(path), format=fmt, doc=doc) for name, path, fmt, doc in _OTHERS]
    for model in MODELS:
        artifacts += [
            Artifact(
                name=f"{model}_model",
                path=Path("data", "models", model),
                format=Format.DIRECTORY,
                doc=f"the {model} model: safetensors, configuration, label system",
            ),
            Artifact(
                name=f"{model}_curves",
                path=Path("reports", "curves", f"{model}.csv"),
                format=Format.CSV,
                doc=f"losses and metrics while the {model} model trained",
            ),
        ]
    for table in CHECKED_TABLES:
        artifacts += [
            Artifact(
                name=f"{table}_check",
                path=Path("reports", "checks", f"{table}.json"),
                format=Format.JSON,
                doc=f"whether {table} passed its expectations",
            ),
            Artifact(
                name=f"{table}_docs",
                path=Path("data", "data_docs", table),
                format=Format.DIRECTORY,
                doc=f"Data Docs of {table}: static HTML",
            ),
        ]
    return {artifact.name: artifact for artifact in artifacts}


CATALOG: dict[str, Artifact] = _build()


def artifact(name: str) -> Artifact:
    """The artifact called `name`; a `ValueError` that lists the known ones where there is none."""
    if name not in CATALOG:
        raise ValueError(f"unknown artifact {name!r}; the catalog has {', '.join(sorted(CATALOG))}")
    return CATALOG[name]
