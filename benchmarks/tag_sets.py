"""What each tag set is worth (RAM, table 5, in small): mAP of models retrained on parsed, generated and cleaned tags.

python -m benchmarks.tag_sets --recipe recipes/flickr8k.yaml --seeds 1 2 3
python -m benchmarks.tag_sets --set retrain.training.epochs=8 --workspace .state/tag_sets_8

Every arm is trained by stage retrain from the same start, for as many epochs on the same images; the last is fine-tuned
from the cleaned one. Prints mAP on the test images, mean ± deviation over the seeds, what each step adds in the same
seed, and what the tag sets hold. Finished stages and arms are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tag_arms import mean_ap, over_seeds, retrain_on, run_to, said_tags
from benchmarks.workspaces import mean_and_spread
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact

ARMS = ("preliminary", "parsed", "+ generated", "+ cleaned", "+ fine-tuned")

Figures = dict[str, dict[str, float]]  # {arm: {benchmark: mAP}}


def run_seed(workspace: Path) -> tuple[Figures, dict[str, Any]]:
    """mAP of every arm, and what the tag sets hold."""
    run_to(workspace, "clean_tags", "check_tables@cleaned_tags")
    tables = {
        "parsed": said_tags(workspace),
        "+ generated": read_artifact(artifact("generated_tags"), workspace),
        "+ cleaned": read_artifact(artifact("cleaned_tags"), workspace),
    }
    found = {"preliminary": mean_ap(workspace, workspace / artifact("preliminary_model").path)}
    for arm, tags in tables.items():
        if arm != "+ cleaned":
            found[arm] = mean_ap(workspace, retrain_on(workspace, tags, arm.removeprefix("+ ")))
    run_to(workspace, "finetune")
    found["+ cleaned"] = mean_ap(workspace, workspace / artifact("retrained_model").path)
    found["+ fine-tuned"] = mean_ap(workspace, workspace / artifact("finetuned_model").path)
    cleaning = read_artifact(artifact("cleaning_report"), workspace)
    return {arm: found[arm] for arm in ARMS}, sets_of(cleaning)


def sets_of(cleaning: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of every origin and how many of them are kept; where labels tell, what was right before and after."""
    rows: dict[str, Any] = {
        f"{origin} rows, kept": f"{counts['num_rows']:,}, {counts['num_kept']:,}"
        for origin, counts in cleaning["by_origin"].items()
    }
    if cleaning["truth"]:
        judged = cleaning["truth"]["all"]
        for name in ("removal_precision", "removal_recall", "precision_after"):
            rows[name] = "–" if judged[name] is None else f"{judged[name]:.3f}"
    return rows


def print_table(found: Sequence[Figures], sets: Sequence[Mapping[str, Any]]) -> None:
    for benchmark in found[0][ARMS[0]]:
        print(f"\n{benchmark:14} mAP, mean ± deviation      step, paired            each seed")
        before: list[float] | None = None
        for arm in ARMS:
            values = [figures[arm][benchmark] for figures in found]
            mean, spread = mean_and_spread(values)
            step = ""
            if before is not None:
                gain, gain_spread = mean_and_spread([b - a for a, b in zip(before, values, strict=True)])
                step = f"{gain:+.4f} ± {gain_spread:.4f}"
            print(f"{arm:14} {mean:.4f} ± {spread:.4f}           {step:22}  {'  '.join(f'{v:.4f}' for v in values)}")
            before = values
    print()
    for name in sets[0]:
        print(f"{name:32} {'   '.join(str(mine.get(name, '–')) for mine in sets)}")


def main() -> None:
    rows = over_seeds(__doc__, "flickr8k", run_seed)
    print_table([figures for figures, _ in rows], [sets for _, sets in rows])


if __name__ == "__main__":
    main()
