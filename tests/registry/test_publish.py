from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ram.cli.labels import read_label_system
from ram.io.tables import content_hash, write_json, write_table
from ram.pipeline.catalog import CHECKED_TABLES, artifact
from ram.registry import packaging, publish
from ram.registry.promotion.decision import DECISIONS_DIR, PAGE_PATH
from ram.tracking.server import champion_dir, connect, model_dir

Make = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("fake_tagger")


@pytest.fixture(autouse=True)
def _quick_packaging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload the bare checkpoint: what MLflow adds takes seconds, and has tests of its own."""

    def save(checkpoint: Path, path: Path, description: object) -> None:
        shutil.copytree(checkpoint, path / "artifacts" / packaging.CHECKPOINT)

    monkeypatch.setattr(packaging, "save", save)
    monkeypatch.setattr(packaging, "try_out", lambda path: None)


def _register(make: Make, mean_ap: float, weights: bytes, **others: int) -> tuple[Path, str]:
    workspace = make(mean_ap, weights, **others)
    return workspace, publish.register(workspace)


def _promote(make: Make, mean_ap: float, weights: bytes, **others: int) -> dict:
    workspace, _ = _register(make, mean_ap, weights, **others)
    return publish.promote(workspace)


def _aliases(workspace: Path) -> dict[str, str]:
    client, _ = connect(workspace)
    return {alias: str(version) for alias, version in client.get_registered_model(publish.MODEL_NAME).aliases.items()}


def test_the_same_model_twice_is_one_version_and_another_model_is_another(finished_workspace: Make) -> None:
    assert [_register(finished_workspace, 0.5, w)[1] for w in (b"one", b"one", b"two")] == ["1", "1", "2"]
    workspace = finished_workspace(0.5, b"one")
    assert publish.register(workspace) == "1"
    assert _aliases(workspace) == {"challenger": "1"}


def test_a_version_says_where_it_comes_from_and_what_was_measured(finished_workspace: Make) -> None:
    workspace, _ = _register(finished_workspace, 0.5, b"one")
    [row] = publish.list_models(workspace)
    assert row["aliases"] == ["challenger"]
    assert row["metrics"] == {"drawn/mAP": 0.5, "drawn/F1": 0.25, "drawn/num_tags": 4.0}
    labels = json.loads((workspace / artifact("label_system").path).read_text())
    assert (row["label_system_version"], row["git_revision"]) == (labels["version"], "none")
    assert len(row["dvc_lock"]) == 16


def test_the_first_model_becomes_champion_only_above_the_minimum(finished_workspace: Make) -> None:
    refused = _promote(finished_workspace, 0.2, b"weak")
    assert (refused["outcome"], refused["champion"]) == ("refused", None)
    assert refused["failures"] == ["minimum drawn/mAP: 0.2000 against 0.3"]
    first = _promote(finished_workspace, 0.4, b"fair")
    assert (first["outcome"], first["version"], first["champion"], first["previous"]) == ("first", "2", "2", None)


def test_only_a_better_model_replaces_the_champion(finished_workspace: Make) -> None:
    _promote(finished_workspace, 0.5, b"one")
    for mean_ap, outcome in ((0.45, "refused"), (0.5, "refused"), (0.6, "promoted")):
        decision = _promote(finished_workspace, mean_ap, str(mean_ap).encode())
        assert decision["outcome"] == outcome, decision
    assert _aliases(finished_workspace(0.6, b"0.6")) == {"challenger": "4", "champion": "4", "previous": "1"}


def test_a_refusal_names_every_rule_that_was_broken(finished_workspace: Make) -> None:
    _promote(finished_workspace, 0.5, b"one")
    decision = _promote(finished_workspace, 0.2, b"two", test_images=4)
    assert [finding["rule"] for finding in decision["rules"] if not finding["passed"]] == [
        "minimum drawn/mAP",
        "same evaluation on drawn",
        "better drawn/mAP",
        "drawn/F1 does not fall",
    ]


def test_scores_on_other_images_do_not_count_until_the_champion_is_scored_on_them(finished_workspace: Make) -> None:
    _promote(finished_workspace, 0.5, b"one")
    assert _promote(finished_workspace, 0.9, b"two", test_images=4)["outcome"] == "refused"
    _register(finished_workspace, 0.55, b"one", test_images=4)  # the champion, evaluated anew
    assert _promote(finished_workspace, 0.9, b"two", test_images=4)["outcome"] == "promoted"


def test_a_person_may_override_the_rules_and_the_decision_says_so(finished_workspace: Make) -> None:
    _promote(finished_workspace, 0.5, b"one")
    workspace, _ = _register(finished_workspace, 0.45, b"two")
    decision = publish.promote(workspace, override="half the size")
    assert (decision["outcome"], decision["champion"], decision["override"]) == ("promoted", "2", "half the size")
    assert decision["failures"]
    assert _aliases(workspace)["champion"] == "2"


def test_the_same_question_gives_the_recorded_answer(finished_workspace: Make) -> None:
    _promote(finished_workspace, 0.5, b"one")
    refused = _promote(finished_workspace, 0.4, b"two")
    again = _promote(finished_workspace, 0.4, b"two")
    assert again["decided_at"] == json.loads(Path(refused["path"]).read_text())["decided_at"]
    workspace = finished_workspace(0.5, b"one")
    publish.register(workspace)
    assert publish.promote(workspace)["outcome"] == "unchanged"
    assert len(list((workspace / DECISIONS_DIR).iterdir())) == 2
    rows = {row["version"]: row for row in publish.list_models(workspace)}
    assert rows["2"]["decision_outcome"] == "refused"
    assert rows["1"]["decision_outcome"] == "first"


def test_a_rollback_restores_the_champion_before_and_the_one_taken_back_stays_away(finished_workspace: Make) -> None:
    for mean_ap in (0.5, 0.6, 0.7):
        _promote(finished_workspace, mean_ap, str(mean_ap).encode())
    workspace = finished_workspace(0.7, b"0.7")
    decision = publish.rollback(workspace, "tags dogs as cats")
    assert (decision["outcome"], decision["version"], decision["champion"]) == ("rolled_back", "3", "2")
    assert _aliases(workspace) == {"challenger": "3", "champion": "2", "previous": "1"}
    refused = publish.promote(workspace)
    assert refused["failures"] == ["not rolled back before: it was taken back: tags dogs as cats"]
    publish.rollback(workspace)
    assert _aliases(workspace) == {"challenger": "3", "champion": "1"}
    with pytest.raises(ValueError, match="no previous champion"):
        publish.rollback(workspace)


def test_the_champion_comes_as_the_folder_that_was_registered(finished_workspace: Make) -> None:
    workspace, version = _register(finished_workspace, 0.5, b"one")
    publish.promote(workspace)
    directory = champion_dir(workspace)
    assert {p.name for p in directory.iterdir()} == {
        "model.safetensors",
        "config.json",
        "label_system.json",
        "thresholds.json",
    }
    assert (directory / "model.safetensors").read_bytes() == b"one"
    client, _ = connect(workspace)
    assert content_hash(directory) == client.get_model_version(publish.MODEL_NAME, version).tags["content"]
    (directory / "kept").touch()
    for uri in ("1", "challenger", "models:/ram-tagger@champion", "models:/ram-tagger/1"):
        assert (model_dir(uri, workspace) / "kept").exists()


def _scored(workspace: Path, scores: list[list[float]]) -> None:
    """Replace the test scores; images take turns in showing a cat."""
    rows = [
        {"benchmark": "drawn", "image_id": f"drawn/{i}", "scores": row, "positive": [i % 2 == 0, i % 2 == 1]}
        for i, row in enumerate(scores)
    ]
    entry = artifact("test_scores")
    assert entry.schema is not None
    shutil.rmtree(workspace / entry.path)
    write_table(rows, workspace / entry.path, entry.schema)


def _with_params(workspace: Path, **parameters: object) -> None:
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["promotion"] |= parameters
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))


def test_a_gain_that_the_images_do_not_bear_out_is_refused_and_one_that_they_do_is_promoted(
    finished_workspace: Make,
) -> None:
    right = [[0.9, 0.1] if i % 2 == 0 else [0.1, 0.9] for i in range(60)]
    half = [row if i % 3 else row[::-1] for i, row in enumerate(right)]
    for mean_ap, weights, scores in ((0.5, b"one", half), (0.6, b"two", half), (0.6, b"three", right)):
        workspace = finished_workspace(mean_ap, weights)
        _with_params(workspace, confidence=0.95, num_bootstrap=50)
        _scored(workspace, scores)
        publish.register(workspace)
        decision = publish.promote(workspace)
        if weights == b"two":  # its mAP is said to be higher, its answers are the same
            assert [f["rule"] for f in decision["rules"] if not f["passed"]] == ["better with confidence 0.95"]
    assert (decision["outcome"], decision["champion"]) == ("promoted", "3")


def test_every_decision_is_a_page_a_tag_and_an_event(finished_workspace: Make) -> None:
    _promote(finished_workspace, 0.5, b"one")
    decision = _promote(finished_workspace, 0.2, b"two")
    workspace = finished_workspace(0.2, b"two")
    page = (workspace / PAGE_PATH).read_text()
    assert all(finding["rule"] in page for finding in decision["rules"])
    assert page.count("class=no") == len(decision["failures"])
    events = [json.loads(line) for line in (workspace / ".state" / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["first", "refused"]
    assert events[1]["decision"]["failures"] == decision["failures"]
    [row, _] = publish.list_models(workspace)
    assert row["decision_failures"] == decision["failures"]


def test_a_version_has_what_it_is_judged_by(finished_workspace: Make) -> None:
    workspace = finished_workspace(0.5, b"one")
    write_json({"sources": []}, workspace / artifact("sources").path)
    for table in CHECKED_TABLES:
        write_json({"passed": table != "pairs"}, workspace / artifact(f"{table}_check").path)
    publish.register(workspace)
    [row] = publish.list_models(workspace)
    assert row["data_checks"] == {"pairs": False, "parsed_tags": True, "generated_tags": True, "cleaned_tags": True}
    assert row["calibration_error"]["drawn"] == pytest.approx(0.1)  # scores of 0.9 and 0.1 that are always right
    assert float(row["latency_ms"]) >= 0
    assert float(row["size_mib"]) > 0
    assert row["data_hash"] == content_hash(workspace / artifact("sources").path)[:16]
    _with_params(workspace, require_checks=True, max_size_mib=0, max_calibration_error=0.05)
    failures = publish.promote(workspace)["failures"]
    assert [failure.partition(":")[0] for failure in failures] == ["calibration error", "size", "data checks"]


def test_an_evaluation_of_another_model_than_the_workspace_has_is_not_registered(finished_workspace: Make) -> None:
    workspace = finished_workspace(0.5, b"one")
    lock = yaml.safe_load((workspace / "dvc.lock").read_text())
    made = lock["stages"]["finetune"]["outs"][0]
    lock["stages"]["evaluate"] = {"cmd": "true", "deps": [{**made, "md5": "0" * 32 + ".dir"}]}
    (workspace / "dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(ValueError, match="evaluate ran on other inputs than the workspace has now"):
        publish.register(workspace)


def test_nothing_is_registered_before_the_model_is_evaluated(finished_workspace: Make) -> None:
    workspace = finished_workspace()
    (workspace / "reports" / "evaluate.json").write_text("{}")
    with pytest.raises(ValueError, match="run the stage evaluate"):
        publish.register(workspace)
    (workspace / "data" / "thresholds.json").unlink()
    with pytest.raises(ValueError, match="no challenger"):
        publish.promote(workspace)


def test_a_wrong_param_of_the_promotion_is_named(finished_workspace: Make) -> None:
    workspace, _ = _register(finished_workspace, 0.5, b"one")
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["promotion"]["min_gain"] = -0.1
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ValueError, match="promotion: min_gain must be at least 0"):
        publish.promote(workspace)


def test_the_label_system_of_a_registered_model_is_read_complete(
    finished_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = finished_workspace()
    publish.register(workspace)
    monkeypatch.chdir(workspace)
    labels = read_label_system("challenger")
    assert {tag.name: tag.threshold for tag in labels} == {"cat": 0.5, "dog": 0.25}
    assert labels.version == read_label_system(".").version
