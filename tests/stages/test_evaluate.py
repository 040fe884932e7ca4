from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ram.io.tables import as_arrow
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.stages import stage_call
from ram.stages.evaluate import MODELS, Inputs, Outputs, Params, run

THRESHOLDS = {"default": 0.5, "open_set": 0.4, "tags": {"ball": 0.3}}
PARAMS = Params(seed=0, use_children="unseen", num_bootstrap=10)


def inputs_of(workspace: Path) -> Inputs:
    entries = stage_call("evaluate").inputs()
    return Inputs(
        **{f: THRESHOLDS if f == "thresholds" else read_artifact(entry, workspace) for f, entry in entries.items()}
    )


@pytest.fixture(scope="module")
def outputs(drawn_workspace: Path) -> Outputs:
    return run(inputs_of(drawn_workspace), PARAMS)


def test_every_model_is_judged_on_every_benchmark(outputs: Outputs) -> None:
    assert list(outputs.evaluation) == list(MODELS)
    found = outputs.evaluation["preliminary"]["drawn"]
    assert found["num_images"] == 18
    assert found["num_tags"] == 8
    assert found["num_tags_without_positives"] == 1
    low, high = found["mAP_ci95"]
    assert 0 <= low <= found["mAP"] <= high <= 1
    json.dumps(outputs.evaluation, allow_nan=False)


def test_map_is_that_of_scikit_learn_over_scores_of_the_tagger(outputs: Outputs, drawn_workspace: Path) -> None:
    """The whole way, done again by other means: the tagger's scores, scikit-learn's average precision."""
    from sklearn.metrics import average_precision_score

    from ram.datasets.image_store import ImageStore
    from ram.evaluation.benchmarks import load_benchmarks
    from ram.inference.tagger import load

    inputs = inputs_of(drawn_workspace)
    (benchmark,) = load_benchmarks(inputs.benchmarks, inputs.images, inputs.labels, "test")
    store = ImageStore(inputs.images, inputs.image_shards)
    scores = load(str(inputs.retrained_model)).scores(
        [store.read_bytes(i) for i in benchmark.image_ids], benchmark.names
    )
    expected = {
        name: average_precision_score(benchmark.positive_NK[:, k], scores[:, k])
        for k, name in enumerate(benchmark.names)
        if benchmark.positive_NK[:, k].any()
    }
    rows = outputs.per_tag_metrics.query("model == 'retrained'").set_index("name")["average_precision"]
    for name in ("ball", "trees", "red", "blue", "green"):
        assert rows[name] == pytest.approx(expected[name], abs=1e-6)


def test_seen_means_named_by_captions_or_labeled_and_not_declared_unseen(outputs: Outputs) -> None:
    def seen(model: str) -> set[str]:
        rows = outputs.per_tag_metrics.query(f"model == '{model}'")
        return set(rows["name"][rows["seen"]])

    assert seen("preliminary") == {"ball", "trees", "red", "blue", "green"}
    assert seen("finetuned") == seen("preliminary") | {"hexagon"}


def test_being_in_the_label_system_is_judged_before_fine_tuning(outputs: Outputs) -> None:
    counts = {model: outputs.evaluation[model]["drawn"]["num_tags_in_label_system"] for model in MODELS}
    assert set(counts.values()) == {7}


def test_unseen_names_are_listed_with_what_training_met_of_them(outputs: Outputs) -> None:
    unseen = outputs.evaluation["finetuned"]["drawn"]["unseen"]
    assert unseen == {"names": ["box"], "leaked_by_labels": [], "leaked_by_synonym": [], "in_train_captions": ["box"]}


def test_the_mapping_tells_how_names_were_scored(outputs: Outputs) -> None:
    mapping = outputs.evaluation["preliminary"]["drawn"]["mapping"]
    assert mapping == {"synonym": {"trees": "tree"}, "text": ["hexagon"], "children": {"toy": ["ball"]}}


def test_held_out_names_are_averaged_apart(outputs: Outputs) -> None:
    rows = outputs.per_tag_metrics.query("model == 'finetuned'").set_index("name")["average_precision"]
    assert outputs.evaluation["finetuned"]["drawn"]["mAP_held_out"] == pytest.approx(rows["green"])


def test_only_the_finetuned_model_uses_the_thresholds_of_its_tags(outputs: Outputs) -> None:
    origin = {model: outputs.evaluation[model]["drawn"]["thresholds"]["from"] for model in MODELS}
    assert origin["finetuned"] == "thresholds.json, a name each"
    assert origin["retrained"] == "the best F1 on dev, one for all names"


def test_children_are_used_as_the_param_says(drawn_workspace: Path, outputs: Outputs) -> None:
    never = run(inputs_of(drawn_workspace), Params(seed=0, use_children="never", num_bootstrap=0))
    assert never.evaluation["preliminary"]["drawn"]["mapping"]["children"] == {}
    assert never.evaluation["preliminary"]["drawn"]["mAP_ci95"] is None
    # Either way the other number is there as well.
    both = [o.evaluation["preliminary"]["drawn"]["mAP_with_children"] for o in (never, outputs)]
    assert both[0] == both[1]


def test_the_table_has_the_columns_of_the_catalog(outputs: Outputs) -> None:
    table = as_arrow(outputs.per_tag_metrics, artifact("per_tag_metrics").schema)
    assert table.num_rows == 4 * 8
    assert np.isnan(outputs.per_tag_metrics.set_index("name").loc["hexagon", "average_precision"]).all()


def test_a_workspace_without_test_images_has_no_metrics(drawn_workspace: Path) -> None:
    outputs = run(inputs_of(drawn_workspace)._replace(benchmarks={}), PARAMS)
    assert outputs.evaluation == {model: {} for model in MODELS}
    assert as_arrow(outputs.per_tag_metrics, artifact("per_tag_metrics").schema).num_rows == 0
