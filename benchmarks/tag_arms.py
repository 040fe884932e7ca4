"""What benchmarks of tag sets share: a seed's workspace on tables that all seeds share, models retrained on any tag set."""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from benchmarks.model_ablation import link
from benchmarks.workspaces import ROOT, draws_its_data, machine, open_workspace, run_stages, stages, with_seed
from ram.io.tables import Table, move_into_place, write_json, write_part
from ram.model.checkpoint import checkpoint_version
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import evaluate, retrain, stage_call

Result = TypeVar("Result")
SAID = ("caption", "implied", "human")  # origins of what captions and people say
SHARED = "embed_images"  # it and what stands before it depend on no training


def over_seeds(doc: str | None, recipe: str, run_seed: Callable[[Path], Result]) -> list[Result]:
    """What `run_seed` finds in the workspace of each seed that the command line names; prints what was asked for."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / f"{recipe}.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.PARAM=VALUE", dest="parameters")
    parser.add_argument("--workspace", type=Path, default=None, help="a folder of its own for each recipe and --set")
    args = parser.parse_args()
    root = (args.workspace or ROOT / ".state" / "tag_sets" / args.recipe.stem).resolve()
    start = time.monotonic()
    found = [run_seed(seed_workspace(root, args.recipe.resolve(), args.parameters, seed)) for seed in args.seeds]
    asked = " ".join([args.recipe.stem, *args.parameters])
    print(f"{asked}, seeds {args.seeds}, {machine()}, {time.monotonic() - start:.0f} s")
    return found


def with_params(params: Mapping[str, Any], parameters: Sequence[str]) -> dict[str, Any]:
    """The recipe with `section.parameter=value` changed, values as in YAML; `ValueError` for a parameter that it has not."""
    changed: dict[str, Any] = copy.deepcopy(dict(params))
    for parameter in parameters:
        name, found, value = parameter.partition("=")
        *sections, last = name.split(".")
        place = changed
        for section in sections:
            place = place.get(section, {}) if isinstance(place, dict) else {}
        if not found or not isinstance(place, dict) or last not in place:
            raise ValueError(f"{parameter!r} is no parameter of the recipe; write section.parameter=value")
        place[last] = yaml.safe_load(value)
    return changed


def seed_workspace(root: Path, recipe: Path, parameters: Sequence[str], seed: int) -> Path:
    """The workspace of a seed. Where data do not depend on the seed, what comes before training is made once for all."""
    params = with_params(with_seed(load_yaml(recipe), seed), parameters)
    workspace = root / f"seed-{seed}"
    open_workspace(workspace, params)
    if draws_its_data(params):
        return workspace
    names = stages()
    shared = names[: names.index(SHARED) + 1]
    upstream = root / "upstream"
    open_workspace(upstream, {**params, "seed": 1})
    run_stages(upstream, shared)
    for name in shared:
        for entry in stage_call(name).outputs().values():
            link(upstream / entry.path, workspace / entry.path)
    done = workspace / "done"
    if not done.is_file():
        done.write_text("".join(f"{name}\n" for name in shared))
    return workspace


def run_to(workspace: Path, *targets: str) -> None:
    """Run what leads to these stages, but for what is finished."""
    names = stages()
    producer = {entry.path: name for name in names for entry in stage_call(name).outputs().values()}
    wanted: set[str] = set()

    def want(name: str) -> None:
        if name not in wanted:
            wanted.add(name)
            for entry in stage_call(name).inputs().values():
                if entry.path in producer:
                    want(producer[entry.path])

    for target in targets:
        want(target)
    run_stages(workspace, [name for name in names if name in wanted])


def retrain_on(workspace: Path, tags: Table, name: str, parameters: Sequence[str] = ()) -> Path:
    """The model that stage retrain makes of `tags`, in the folder `arms/NAME` of the workspace; made once.

    `parameters` as of `with_params`; `name` must tell them.
    """
    folder = workspace / "arms" / name
    if (folder / "model").is_dir():
        return folder / "model"
    print(f"{workspace.name}: retraining on {name}", file=sys.stderr, flush=True)
    sections = with_params(load_yaml(workspace / "params.yaml"), parameters)
    params = stage_params(sections, "retrain", retrain.Params)
    given = {
        field: read_artifact(artifact(field), workspace)
        for field in retrain.Inputs._fields
        if field not in ("tags", "tags_check", "scratch")
    }
    (folder / "work").mkdir(parents=True, exist_ok=True)
    inputs = retrain.Inputs(**given, tags=tags, tags_check={"passed": True, "failures": []}, scratch=folder / "work")
    move_into_place(retrain.run(inputs, params).model, folder / "model")
    shutil.rmtree(folder / "work")
    return folder / "model"


def said_tags(workspace: Path) -> Table:
    """The rows of generated_tags that captions and people say: the parsed tag set, with all that retrain reads."""
    source = read_artifact(artifact("generated_tags"), workspace)
    target = workspace / "arms" / "parsed_tags"
    for index, path in enumerate(source.part_paths):
        rows = pq.read_table(path)
        said = pc.is_in(rows["origin"].cast(pa.string()), pa.array(SAID))
        write_part(rows.filter(said), target, index, source.schema)
    return Table(target, source.schema)


def mean_ap(workspace: Path, model: Path) -> dict[str, float]:
    """{benchmark: mAP} of a model on the test images, as stage evaluate has it; kept beside the model, with its version."""
    kept, version = model.parent / f"{model.name}.mAP.json", checkpoint_version(model)
    if kept.is_file() and (known := json.loads(kept.read_text())).get("version") == version:
        return dict(known["mAP"])
    sections = load_yaml(workspace / "params.yaml")
    params = stage_params(sections, "evaluate", evaluate.Params)
    plain = ("images", "image_shards", "image_features", "labels", "benchmarks", "parsed_tags", "preliminary_model")
    given: dict[str, Any] = {name: read_artifact(artifact(name), workspace) for name in plain}
    models: dict[str, Any] = dict.fromkeys(("retrained_uncleaned_model", "retrained_model", "finetuned_model"), model)
    inputs = evaluate.Inputs(**given, **models, thresholds={})
    found = evaluate.evaluate_models(inputs, params, ["retrained"]).evaluation["retrained"]
    result = {name: float(facts["mAP"]) for name, facts in found.items()}
    write_json({"version": version, "mAP": result}, kept)
    return result
