"""What the parts of the model are worth (RAM, table 4, in small): the preliminary model of a recipe, part by part.

Prints a table a benchmark: mAP on the test images, of names that are trained tags and of unseen names, mean ± standard
deviation over the seeds. What comes before the training is made once for each world; finished parts are kept.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.workspaces import (
    ROOT,
    draws_its_data,
    machine,
    mean_and_spread,
    open_workspace,
    run_stages,
    stages,
    with_seed,
)
from ram.io.tables import read_json, write_json
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml
from ram.stages import stage_call

RESULT = "result.json"

# N images, K names


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of the table: what the model has of RAM's parts."""

    key: str
    title: str
    queries: str  # learned or text
    captioning: bool
    distillation: bool = False

    def applied(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe with these parts alone, with the recipe's own weights of their losses."""
        changed: dict[str, Any] = copy.deepcopy(dict(params))
        model, loss = changed["model"], changed["pretrain"]["training"]["loss"]
        model["tag_queries"] = self.queries
        if self.captioning and not (model.get("caption") and loss.get("caption_weight")):
            raise ValueError(f"{self.title!r} wants a recipe with model.caption and a caption_weight in pretrain")
        if not self.captioning:
            model["caption"] = None
            loss |= {"caption_weight": 0.0, "balance": False}
        if self.distillation and not (loss.get("alignment_weight") or loss.get("distillation_weight")):
            raise ValueError(f"{self.title!r} wants a recipe with an alignment_weight or a distillation_weight")
        if not self.distillation:
            model["text_alignment"] = False
            loss |= {"alignment_weight": 0.0, "distillation_weight": 0.0}
        return changed


VARIANTS = (
    Variant("learned", "learned queries, tagging only", "learned", False),
    Variant("learned_captioning", "learned queries + captioning (Tag2Text)", "learned", True),
    Variant("textual", "textual queries, tagging only", "text", False),
    Variant("textual_captioning", "textual queries + captioning (RAM)", "text", True),
    Variant("distillation", "textual queries + captioning + distillation", "text", True, True),
)


class Row(Protocol):
    """A row of a table: `applied` makes a recipe of it from the recipe."""

    @property
    def key(self) -> str: ...

    @property
    def title(self) -> str: ...

    def applied(self, params: Mapping[str, Any]) -> dict[str, Any]: ...


def train_and_measure(params: Mapping[str, Any], variant: Row, upstream: Path, workspace: Path) -> None:
    """Train the variant in its workspace on the tables of `upstream`, and write what it is worth beside it."""
    if (workspace / RESULT).is_file():
        return
    print(f"{workspace.parent.name}: {variant.title}", file=sys.stderr, flush=True)
    open_workspace(workspace, variant.applied(params))
    for entry in stage_call("pretrain").inputs().values():
        link(upstream / entry.path, workspace / entry.path)
    run_stages(workspace, ["pretrain"])
    write_json(
        measure(upstream, workspace / artifact("preliminary_model").path, params["evaluate"]), workspace / RESULT
    )


def link(source: Path, target: Path) -> None:
    """`target` stands for `source`; what a killed run linked is linked already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(source)


def measure(upstream: Path, model_dir: Path, params: Mapping[str, Any]) -> dict[str, Any]:
    """{benchmark: its figures} on the test images; None as `unseen` where the model can score no other names."""
    from ram.evaluation.benchmarks import load_benchmarks
    from ram.evaluation.scoring import BenchmarkScorer

    images, shards, features, labels, benchmarks = (
        read_artifact(artifact(name), upstream)
        for name in ("images", "image_shards", "image_features", "labels", "benchmarks")
    )
    scorer = BenchmarkScorer(model_dir, images, shards, features, params["batch_size"])
    trained = trained_tags(upstream, scorer.checkpoint.label_system)
    learned = scorer.checkpoint.model.tag_decoder.learns_tags
    found = {}
    for benchmark in load_benchmarks(benchmarks, images, labels, "test"):
        tags = [scorer.checkpoint.label_system.find(name) for name in benchmark.names]
        seen_K = np.array(
            [
                name not in benchmark.unseen and tag is not None and tag.tag_id in trained
                for name, tag in zip(benchmark.names, tags, strict=True)
            ]
        )
        found[benchmark.name] = {
            "num_images": len(benchmark.image_ids),
            "trained": group(scorer, benchmark, seen_K, params["use_children"] == "always"),
            "unseen": None if learned else group(scorer, benchmark, ~seen_K, params["use_children"] != "never"),
        }
    return found


def trained_tags(upstream: Path, label_system: Any) -> set[int]:
    """The ids of the tags that a caption of split train names."""
    from ram.evaluation.benchmarks import tags_with_positives

    images = read_artifact(artifact("images"), upstream).to_pandas(["image_id", "split"])
    rows = read_artifact(artifact("parsed_tags"), upstream).batches(["image_id", "tag_id"])
    train_ids = images["image_id"][images["split"] == "train"]
    return tags_with_positives((batch.to_pandas() for batch in rows), train_ids) & set(range(len(label_system)))


def group(scorer: Any, benchmark: Any, chosen_K: np.ndarray, use_children: bool) -> dict[str, Any] | None:
    """mAP of these names of the benchmark, what random scores reach, and how many names there are."""
    from ram.evaluation.average_precision import average_precisions, mean_of

    if not chosen_K.any():
        return None
    names = [name for name, chosen in zip(benchmark.names, chosen_K, strict=True) if chosen]
    positive_NK = benchmark.positive_NK[:, chosen_K]
    scored = scorer(dataclasses.replace(benchmark, names=names, positive_NK=positive_NK), f"test of {benchmark.name}")
    values_K, _ = average_precisions(scored.best_NK if use_children else scored.own_NK, positive_NK)
    known_K = positive_NK.any(axis=0)
    chance = float(positive_NK[:, known_K].mean()) if known_K.any() else None
    return {"mAP": mean_of(values_K), "chance_mAP": chance, "num_names": int(known_K.sum())}


def print_tables(results: Mapping[str, Mapping[int, Mapping[str, Any]]], variants: Sequence[Row] = VARIANTS) -> None:
    """A Markdown table a benchmark, of {variant key: {seed: what `measure` found}}."""
    for benchmark in sorted({name for seeds in results.values() for result in seeds.values() for name in result}):
        of_any = [result[benchmark] for seeds in results.values() for result in seeds.values()]
        print(f"\n{benchmark}, {of_any[0]['num_images']} test images\n")
        print("| model | mAP, trained tags | by seed | mAP, unseen names | by seed |\n|---|---|---|---|---|")
        for variant in variants:
            figures = [result[benchmark] for _, result in sorted(results.get(variant.key, {}).items())]
            cells = [*cell(figures, "trained"), *cell(figures, "unseen")]
            print(f"| {variant.title} | {' | '.join(cells)} |")
        chances = [mean_text([f[which]["chance_mAP"] for f in of_any if f[which]]) for which in ("trained", "unseen")]
        print(f"| random scores | {chances[0]} | | {chances[1]} | |")


def cell(figures: Sequence[Mapping[str, Any]], which: str) -> tuple[str, str]:
    """Mean ± deviation, and the values."""
    if not figures:
        return "not run", ""
    values = [figure[which]["mAP"] for figure in figures if figure[which]]
    if not values:
        return "not possible", ""
    mean, spread = mean_and_spread(values)
    return f"{mean:.3f} ± {spread:.3f}", ", ".join(f"{value:.3f}" for value in values)


def mean_text(values: Sequence[float]) -> str:
    return f"{mean_and_spread(values)[0]:.3f}" if values else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "sample.yaml")
    run_table(parser, VARIANTS, ROOT / ".state" / "model_ablation")


def run_table(parser: argparse.ArgumentParser, variants: Sequence[Row], workspace: Path, **changes: Any) -> None:
    """Train and measure every row with every seed, but for what is finished, and print the table.

    `changes` are made to section `model` of the recipe that all rows start from.
    """
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workspace", type=Path, default=workspace)
    parser.add_argument("--only", nargs="+", choices=[v.key for v in variants], default=[v.key for v in variants])
    parser.add_argument("--print-only", action="store_true", help="print what is finished, run nothing")
    args = parser.parse_args()
    start, params = time.monotonic(), load_yaml(args.recipe)
    params["model"] |= changes
    root = args.workspace.resolve() / args.recipe.stem
    if not args.print_only:
        every = stages()
        before = every[: every.index("pretrain")]
        for seed in args.seeds:
            seeded, of_seed = with_seed(params, seed), root / f"seed-{seed}"
            upstream = of_seed / "upstream" if draws_its_data(params) else root / "upstream"
            open_workspace(upstream, seeded if draws_its_data(params) else params)
            run_stages(upstream, before)
            for variant in variants:
                if variant.key in args.only:
                    train_and_measure(seeded, variant, upstream, of_seed / variant.key)
    results = {
        v.key: {s: read_json(p) for s in args.seeds if (p := root / f"seed-{s}" / v.key / RESULT).is_file()}
        for v in variants
    }
    print(f"{args.recipe.stem}, seeds {args.seeds}, {machine()}, {time.monotonic() - start:.0f} s")
    print_tables(results, variants)


if __name__ == "__main__":
    main()
