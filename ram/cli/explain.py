"""The command `ram explain`: the whole life of one row (image, tag) of this workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ram.pipeline.catalog import artifact


def explain(
    image: Annotated[str, typer.Argument(help="An image: its image_id, or the name of its file or member.")],
    tag: Annotated[str, typer.Argument(help="A tag: its name, a synonym, or its id.")],
    out: Annotated[Path | None, typer.Option(help="Write the image with the region's box here, as PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    params: Annotated[Path, typer.Option("--params", help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Where a tag of an image came from, what spoke for and against it, what became of it, and what is trained on.

    A row that does not exist is told of as well: at which steps it could have come, and why it did not.
    """
    life = life_of(image, tag, Path(), params)
    if out is not None:
        _write_image(out, life, Path())
    if as_json:
        print(json.dumps(life.to_json(), indent=2, ensure_ascii=False))
        return
    from ram.reports.lineage.show import describe

    print("\n".join(describe(life)))
    if out is not None:
        print(f"  {'image at':<26}{out}")


def life_of(image: str, tag: str, workspace: Path, params_path: Path) -> Any:
    """A `ram.reports.lineage.lineage.Life`."""
    from ram.labels import LabelSystem
    from ram.labels.tagging import CaptionTagger
    from ram.labels.wordnet import load_wordnet
    from ram.pipeline.artifacts import read_artifact
    from ram.pipeline.params import load_yaml
    from ram.reports.lineage.find import find_image, find_tag
    from ram.reports.lineage.lineage import naming, tell
    from ram.reports.lineage.why_not import why_not

    def read(name: str) -> Any:
        entry = artifact(name)
        return read_artifact(entry, workspace) if (workspace / entry.path).exists() else None

    sections = load_yaml(params_path)
    label_system = LabelSystem.from_json(read_artifact(artifact("label_system"), workspace))
    found_tag = find_tag(label_system, tag)
    found_image = find_image(read_artifact(artifact("images"), workspace), image)
    tagger = CaptionTagger(label_system, load_wordnet(), **sections["tag_captions"])
    verdict = _verdict(workspace, label_system, found_image["image_id"], found_tag.tag_id)
    life = tell(found_image, found_tag, read, label_system, tagger, verdict, _predicted_targets(sections))
    if life.generated_caption is not None:
        phrases = _parse(life.generated_caption["caption"])
        life.generated_caption["naming"] = naming(phrases, found_tag.tag_id, tagger)
    if life.generated is None and life.cleaned is None:
        score, num_higher = _score(life, label_system, read)
        life = replace(
            life, why_not=why_not(life, score, num_higher, sections["generate_tags"]["max_added"], read("score_report"))
        )
    return life


def _predicted_targets(sections: Mapping[str, Any]) -> dict[str, str]:
    stages = {"retrained": "retrain"} | ({"finetuned": "finetune"} if sections["finetune"]["mix_share"] else {})
    return {model: sections[s]["training"]["batch"].get("predicted_target", "hard") for model, s in stages.items()}


def _verdict(workspace: Path, label_system: Any, image_id: str, tag_id: int) -> dict[str, str] | None:
    from ram.labels.human_labels import VERDICTS_FILE, read_verdicts, resolve

    found, _ = resolve(read_verdicts(workspace / artifact("reviews").path / VERDICTS_FILE), label_system)
    verdict = found.get((image_id, tag_id))
    return None if verdict is None else {"verdict": verdict.verdict, "where": verdict.where}


def _parse(caption: str) -> list[tuple[str, str]]:
    from ram.captions import parse_captions

    return [(phrase.text, phrase.kind) for phrase in parse_captions([caption])[0]]


def _score(life: Any, label_system: Any, read: Any) -> tuple[float | None, int | None]:
    """The generator's kept score of the tag, and how many tags that reach their thresholds have a higher one."""
    scores = read("tag_scores")
    rows = None if scores is None else scores.read(filters=[("image_id", "=", life.image["image_id"])])
    if rows is None or not rows.num_rows:
        return None, None
    kept = dict(zip(rows["tag_ids"][0].as_py(), map(float, rows["scores"][0].as_py()), strict=True))
    score = kept.get(life.tag["tag_id"])
    if score is None:
        return None, None
    thresholds: Mapping[str, Any] = (read("generation_report") or {}).get("thresholds", {})
    num_higher = sum(
        tag.name in thresholds and kept.get(tag.tag_id, 0.0) >= max(thresholds[tag.name]["threshold"], score)
        for tag in label_system
        if tag.tag_id != life.tag["tag_id"]
    )
    return score, num_higher


def _write_image(out: Path, life: Any, workspace: Path) -> None:
    from ram.datasets.image_store import ImageStore
    from ram.pipeline.artifacts import read_artifact
    from ram.reports.lineage.show import image_of

    if out.suffix.lower() != ".png":
        raise ValueError(f"--out must end in .png, got {out}")
    store = ImageStore(*(read_artifact(artifact(name), workspace) for name in ("images", "image_shards")))
    out.parent.mkdir(parents=True, exist_ok=True)
    image_of(store.open(life.image["image_id"]), life).save(out, "PNG")
