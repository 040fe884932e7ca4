"""A small workspace in which the pipeline has run, by hand: drawn images, four untrained models, every table."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from ram.io.tables import Table, write_json, write_part, write_table
from ram.labels import LabelSystem, Tag
from ram.pipeline.catalog import artifact

SHAPES = ["ball", "box", "tree"]
COLORS = {"red": (220, 60, 50), "blue": (50, 90, 210), "green": (50, 170, 80)}
TAGS = [
    ("ball", "object", ("toy",)), ("box", "object", ()), ("tree", "object", ()), ("toy", "object", ()),
    ("red", "attribute", ()), ("blue", "attribute", ()), ("green", "attribute", ()), ("roll", "action", ()),
]  # fmt: skip
NAMES = [
    "ball",
    "box",
    "trees",
    "toy",
    "red",
    "blue",
    "green",
    "hexagon",
]  # "trees": by its singular; "hexagon": no tag
SPLITS = {"train": 24, "finetune": 6, "dev": 18, "test": 18}


def label_system() -> LabelSystem:
    tags = [
        Tag(tag_id=i, name=name, kind=kind, parents=parents, frequency=10 - i, sources=("captions",))
        for i, (name, kind, parents) in enumerate(TAGS)
    ]
    return LabelSystem(tags)


class Drawn:
    """Images of one colored shape each, with boxes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        generator = np.random.default_rng(0)
        self.images: list[dict[str, Any]] = []
        self.shapes: dict[str, tuple[str, str, tuple[float, ...]]] = {}
        shards = root / artifact("image_shards").path
        shards.mkdir(parents=True)
        with tarfile.open(shards / "0.tar", "w") as tar:
            for number, split in enumerate(s for s, n in SPLITS.items() for _ in range(n)):
                self._draw(tar, number, split, generator)
        with tarfile.open(shards / "0.tar") as tar:
            offsets = {member.name: member.offset_data for member in tar}
        for row in self.images:
            row["offset"] = offsets[row["member"]]

    def _draw(self, tar: tarfile.TarFile, number: int, split: str, generator: np.random.Generator) -> None:
        shape, color = SHAPES[number % 3], list(COLORS)[generator.integers(3)]
        x, y, size = (*generator.integers(8, 40, 2).tolist(), int(generator.integers(30, 48)))
        image = Image.new("RGB", (96, 96), (235, 230, 220))
        draw, box = ImageDraw.Draw(image), (x, y, x + size, y + size)
        if shape == "ball":
            draw.ellipse(box, fill=COLORS[color])
        elif shape == "box":
            draw.rectangle(box, fill=COLORS[color])
        else:
            draw.polygon([(x + size / 2, y), (x, y + size), (x + size, y + size)], fill=COLORS[color])
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        info = tarfile.TarInfo(f"{number:03}.jpg")
        info.size = len(stream.getvalue())
        tar.addfile(info, io.BytesIO(stream.getvalue()))
        image_id = f"drawn/{number:03}"
        self.shapes[image_id] = (shape, color, tuple(v / 96 for v in box))
        self.images.append(
            {
                "image_id": image_id, "source": "drawn", "split": split, "shard": "0.tar", "member": info.name,
                "offset": 0,
                "num_bytes": info.size, "width": 96, "height": 96, "sha256": "0" * 64, "perceptual_hash": "0" * 16,
            }
        )  # fmt: skip

    def of(self, split: str) -> list[str]:
        return [row["image_id"] for row in self.images if row["split"] == split]

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        schema = artifact(name).schema
        # Columns that do not matter here: 0.5 where the schema wants a number.
        filler = {column.name: None if column.nullable else 0.5 for column in schema}
        write_table([filler | row for row in rows], self.root / artifact(name).path, schema)

    def write_labels(self) -> None:
        boxless = dict.fromkeys(("x0", "y0", "x1", "y1"))
        rows = []
        for image_id, (shape, color, _) in self.shapes.items():
            for name in {shape, color, "toy" if shape == "ball" else color}:
                rows.append(
                    {
                        "image_id": image_id,
                        "benchmark": "drawn",
                        "name": NAMES[2] if name == "tree" else name,
                        **boxless,
                    }
                )
        self.write("labels", rows)
        facts = {"sources": ["drawn"], "names": NAMES, "unseen": ["box"], "description": "drawn shapes"}
        write_json({"drawn": facts}, self.root / artifact("benchmarks").path)

    def write_tags(self) -> None:
        system = label_system()
        ids = {tag.name: tag.tag_id for tag in system}
        parsed, generated, cleaned, regions = [], [], [], []
        for n, image_id in enumerate(self.of("train")):
            shape, color, box = self.shapes[image_id]
            found = [(shape, "caption", 1.0), (color, "caption", 1.0)]
            parsed += [self._tag(image_id, ids[t], o, s, caption_indices=[0]) for t, o, s in found]
            if n % 2:
                found += [("roll", "predicted", 0.7), ("toy", "generated_caption", 0.8)]
            for tag, origin, score in found:
                row = self._tag(image_id, ids[tag], origin, score)
                generated.append({**row, "image_score": score * 0.9, "model_version": "0" * 12})
                region = {**dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)), "region_score": score * 0.5}
                regions.append({**row, **region, "found_by": "attention", "feature": [float(SHAPES.index(shape)), 1.0]})
                reason = {"roll": "contrary_prediction", "toy": "cluster_outlier"}.get(tag) if n % 3 else None
                cleaned.append(
                    {
                        **row, "kept": reason is None, "reason": reason, "outlier_score": 0.9 if reason else 0.1,
                        "detector": "hdbscan", "image_score": score * 0.9, **region,
                        "held_out_evidence": 0.5,
                    }
                )  # fmt: skip
        parsed.append(self._tag(self.of("test")[0], ids["ball"], "caption", 1.0, caption_indices=[0]))
        for name, rows in (("parsed_tags", parsed), ("generated_tags", generated), ("cleaned_tags", cleaned)):
            self.write(name, rows)
        evidence = [{"image_id": i, "caption_index": 0, "evidence": 1.0} for i in self.of("train")]
        self.write("caption_evidence", evidence)
        self.write("region_features", [{k: v for k, v in r.items() if k not in ("origin", "score")} for r in regions])

    @staticmethod
    def _tag(image_id: str, tag_id: int, origin: str, score: float, **more: Any) -> dict[str, Any]:
        return {"image_id": image_id, "tag_id": tag_id, "origin": origin, "score": score, **more}

    def write_captions(self) -> None:
        pairs, captions, phrases = [], [], []
        for row in self.images:
            shape, color, _ = self.shapes[row["image_id"]]
            text = f"a {color} {shape} on paper"
            own = {"image_id": row["image_id"], "split": row["split"], "caption_index": 0}
            phrases += [own | {"phrase": color, "kind": "attribute"}, own | {"phrase": shape, "kind": "object"}]
            pairs.append({"image_id": row["image_id"], "split": row["split"], "caption_index": 0, "caption": text})
            if row["split"] == "train":
                captions.append({"image_id": row["image_id"], "caption": f"a {shape}", "log_probability": -2.5})
        self.write("pairs", pairs)
        embed_pairs(self.root / artifact("pairs").path, self.root / artifact("caption_embeddings").path)
        self.write("caption_phrases", phrases)
        self.write("generated_captions", captions)
        self.write(
            "quarantine", [{"source": "drawn", "key": "x", "reason": "broken_image", "detail": "ends early"}] * 3
        )
        self.write(
            "skipped_captions", [{"image_id": "drawn/000", "caption_index": 3, "reason": "too_long", "detail": "90"}]
        )

    def write_scores(self) -> None:
        """Of every tag but the last two, in falling order; of half of the images of `roll` too."""
        rows = []
        for split in ("train", "dev"):
            for n, image_id in enumerate(self.of(split)):
                tag_ids = [*range(6), 7] if n % 2 else list(range(6))
                scores = np.linspace(0.9, 0.3, len(tag_ids)).astype(np.float16)
                rows.append({"image_id": image_id, "split": split, "tag_ids": tag_ids, "scores": scores})
        self.write("tag_scores", [row | {"model_version": "0" * 12} for row in rows])
        report = {"model_version": "0" * 12, "top_k": 7, "floor": 0.02, "num_images": {"train": 24, "dev": 18}}
        write_json(report, self.root / artifact("score_report").path)

    def write_models(self) -> None:
        import torch

        from ram.model.build import ModelParams, build_model
        from ram.model.checkpoint import save_checkpoint
        from ram.model.text_encoder import make_text_encoder

        params = ModelParams(
            image_encoder="resnet10t", image_size=32, token_width=16, width=16, num_heads=2, ffn_ratio=2.0,
            text_encoder="package:wordllama", templates="plain",
        )  # fmt: skip
        before = label_system()
        after = before.extended(NAMES)
        embedding_KE = torch.from_numpy(make_text_encoder(params.text_encoder).embed(after.names, "plain"))
        model = build_model(params, embedding_KE)
        finetuned = {"finetuned_tags": ["ball", "red", "hexagon"], "held_out_names": ["green"]}
        save_checkpoint(self.root / artifact("finetuned_model").path, model, after, finetuned)
        model.set_tags(embedding_KE[: len(before)])
        for name in ("preliminary", "generator", "retrained_uncleaned", "retrained"):
            save_checkpoint(self.root / artifact(f"{name}_model").path, model, before, {"stage": "pretrain"})
        features = self.root / artifact("image_features").path
        features.mkdir(parents=True)
        write_json({"enabled": False}, features / "manifest.json")


def write_reports(drawn: Drawn) -> None:
    root, system = drawn.root, label_system()
    write_json(system.to_json(), root / artifact("label_system").path)
    kinds = {kind: sum(tag.kind == kind for tag in system) for kind in ("object", "scene", "attribute", "action")}
    report = {
        "num_tags": len(system), "num_tags_by_kind": kinds, "num_synonyms": 4, "num_phrases": 20, "num_mentions": 90,
        "num_mentions_tagged": 80, "coverage": {"coco": {"num_names": 80, "num_found": 61, "missing": ["hair drier"]}},
        "top_tags": {"object": [["ball", 10], ["box", 9]]},
        "dropped": {"rare": {"num_phrases": 5, "num_mentions": 6, "top": [["gizmo", 2]]}},
    }  # fmt: skip
    write_json(report, root / artifact("label_system_report").path)
    agreement = {"num_captions": 50, "precision": 0.9375, "recall": 0.875, "f1": 0.9052}
    table = {"parser": "dictionary", "num_distilled": 950, "agreement": agreement, "table": None}
    write_json(table, root / artifact("phrase_table").path)
    reviews = root / artifact("reviews").path
    reviews.mkdir()
    (reviews / "verdicts.csv").write_text("image_id,tag,verdict\ndrawn/001,toys,keep\nlost/1,unicorn,wrong\n")
    threshold = {"threshold": 0.6, "estimated_precision": 0.4, "basis": "labels", "num_predicted": 12}
    generation = {"num_images": 24, "num_tags_by_origin": {"caption": 48}, "thresholds": {"roll": threshold}}
    write_json(generation, root / artifact("generation_report").path)
    write_json({"num_removed": 16}, root / artifact("cleaning_report").path)
    for table in ("pairs", "parsed_tags", "generated_tags", "cleaned_tags"):
        rule = {
            "name": "score_range", "description": "score lies between 0 and 1", "passed": table != "parsed_tags",
            "severity": "critical", "observed": "0 unexpected", "num_unexpected": 0, "examples": [],
        }  # fmt: skip
        failures = [] if rule["passed"] else ["score lies between 0 and 1: 1 of 9 rows do not"]
        check = {"table": table, "passed": rule["passed"], "num_rows": 9, "expectations": [rule], "failures": failures, "warnings": [], "notes": []}  # fmt: skip  # noqa: E501
        write_json(check, root / artifact(f"{table}_check").path)
    for model in ("preliminary", "retrained_uncleaned", "retrained", "finetuned"):
        steps = np.arange(1, 60)
        curves = pd.concat(
            [
                pd.DataFrame({"step": steps, "split": "train", "metric": "loss", "value": 9 / steps}),
                pd.DataFrame({"step": [20, 40, 59], "split": "dev", "metric": "mAP/drawn", "value": [0.2, 0.4, 0.5]}),
            ]
        ).assign(epoch=1)
        path = root / artifact(f"{model}_curves").path
        path.parent.mkdir(parents=True, exist_ok=True)
        curves.to_csv(path, index=False)


def embed_pairs(pairs: Path, target: Path) -> Table:
    """The caption_embeddings of a table of pairs, as stage embed_captions has them of the models' text encoder."""
    from ram.stages.embed_captions import embed_part

    schema = artifact("caption_embeddings").schema
    assert schema is not None
    for index, path in enumerate(sorted(pairs.glob("part-*.parquet"))):
        write_part(embed_part(path, "package:wordllama"), target, index, schema)
    return Table(target, schema)


def draw_workspace(root: Path) -> None:
    """Everything but thresholds, evaluation, report and what stands beside it."""
    drawn = Drawn(root)
    drawn.write("images", drawn.images)
    drawn.write_labels()
    drawn.write_tags()
    drawn.write_captions()
    drawn.write_scores()
    drawn.write_models()
    write_reports(drawn)
