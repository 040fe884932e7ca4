from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evaluated import World, make_world

from ram.evaluation.average_precision import average_precisions
from ram.evaluation.baselines import Settings, make_scorer
from ram.evaluation.judge import Options
from ram.evaluation.label_formats import describe
from ram.inference.tagger import load
from ram.reports import comparison as module
from ram.reports.comparison import Comparison, compare, open_benchmark
from ram.reports.comparison_page import as_page, as_text

OPTIONS = Options(num_resamples=10, thresholds=(0.3,))


@pytest.fixture
def world(drawn_workspace: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "world", drawn_workspace)


def run(
    world: World, *models: str, mapping: Path | None = None, options: Options = OPTIONS, **fields: object
) -> Comparison:
    scorers = [make_scorer(model.replace("MODEL", str(world.model)), Settings()) for model in models or ("MODEL",)]
    paths = {"images": str(world.images), "captions": str(world.captions)}
    description = describe("table", labels=[str(world.labels)], **(paths | fields))
    looks = any(scorer.looks_at_images for scorer in scorers)
    return compare(scorers, open_benchmark(description, with_images=looks), mapping, Settings(), options)


def truth(world: World, model: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, scores and labels, straight from the tagger and the table."""
    rows = pd.read_csv(world.labels)
    names, files = sorted(rows["tag"].unique()), list(dict.fromkeys(rows["image"]))
    positive = np.array([[((rows["image"] == f) & (rows["tag"] == n)).any() for n in names] for f in files])
    return names, load(model).scores([world.images / f for f in files], names), positive


def test_the_figures_are_those_of_the_taggers_scores(world: World) -> None:
    found = run(world)
    names, scores, positive = truth(world, world.model)
    values, _ = average_precisions(scores, positive)
    rows = found.per_name.set_index("name")
    np.testing.assert_allclose(rows.loc[names, "average_precision"], values, atol=1e-6)
    assert found.document["models"][0]["mAP"] == pytest.approx(np.nanmean(values))
    assert found.document["mapping"] == "proposed, not reviewed"
    assert rows.loc["trees", ["tags", "how"]].tolist() == ["tree", "form"]


def test_all_models_are_judged_on_the_same_images(world: World) -> None:
    (world.images / sorted(p.name for p in world.images.iterdir())[0]).write_bytes(b"no image")
    (world.images / sorted(p.name for p in world.images.iterdir())[1]).unlink()
    found = run(world, "MODEL", "prior:MODEL", "captions:MODEL")
    problems = found.document["problems"]
    assert {reason: facts["num"] for reason, facts in problems.items()} == {"missing_image": 1, "broken_image": 1}
    assert {model["num_images"] for model in found.document["models"]} == {16}
    prior = found.document["models"][1]
    assert prior["mAP"] == pytest.approx(prior["chance_mAP"])  # all its images tie
    assert prior["difference_from_first"]["mAP"] == pytest.approx(prior["mAP"] - found.document["models"][0]["mAP"])
    captions = found.document["models"][2]
    assert captions["mAP"] > 0.9  # the drawings' captions name shape and color
    assert captions["recall_macro"] > 0.9  # any caption that says so is a yes


def test_baselines_that_look_at_no_image_need_none(world: World) -> None:
    found = run(world, "captions:MODEL", images=None)
    assert found.document["models"][0]["num_images"] == 18
    with pytest.raises(ValueError, match="these models look at images"):
        run(world, images=None)


def test_a_reviewed_mapping_decides(world: World, tmp_path: Path) -> None:
    names, scores, positive = truth(world, world.model)
    rows = [f"{n},{'-' if n == 'red' else 'box' if n == 'ball' else ''},reviewed" for n in names]
    (tmp_path / "m.csv").write_text("\n".join(["name,tag,how", *rows]))
    found = run(world, mapping=tmp_path / "m.csv")
    assert found.document["left_out"] == ["red"]
    table = found.per_name.set_index("name")
    assert "red" not in table.index
    as_box = average_precisions(scores[:, [names.index("box")]], positive[:, [names.index("ball")]])[0][0]
    assert table.loc["ball", "average_precision"] == pytest.approx(as_box)


def test_unseen_names_that_are_tags_are_reported_as_leaks(world: World) -> None:
    found = run(world, unseen=("box", "green"))
    unseen = found.document["models"][0]["unseen"]
    # Fine-tuning is on record to have held green out.
    assert unseen == {"num": 2, "leaks": [{"name": "box", "tag": "box", "how": "name"}]}
    table = found.per_name.set_index("name")["average_precision"]
    assert found.document["models"][0]["mAP_unseen_without_leaks"] == pytest.approx(table["green"])
    assert "1 of 2 names called unseen are among its training tags: box (box, by name)" in as_text(found.document)
    with pytest.raises(ValueError, match=r"unseen names \['bx'\] are no names"):
        run(world, unseen=("bx",))


def test_scores_that_do_not_fit_memory_lie_in_a_file_and_give_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(world, "MODEL", "captions:MODEL")
    monkeypatch.setattr(module, "_BYTES_IN_MEMORY", 0)
    filed = run(world, "MODEL", "captions:MODEL")
    assert whole.document == filed.document
    pd.testing.assert_frame_equal(whole.per_name, filed.per_name)


def test_another_number_of_names_than_published_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    run(world, num_names=80, num_images=18)
    assert "table: 7 names, the published benchmark has 80; figures do not compare" in capsys.readouterr().err


def test_the_text_has_every_model_threshold_and_group(world: World) -> None:
    found = run(world, "MODEL", "prior:MODEL")
    text = as_text(found.document)
    for model in found.document["models"]:
        assert f"{model['model']}, one threshold for all names" in text
        line = next(line for line in text.splitlines() if line.startswith(model["model"]))
        assert f"{model['mAP']:.3f}" in line
    for group in found.document["models"][0]["per_kind"]:
        assert any(line.startswith(group) for line in text.splitlines())


def test_the_page_has_the_figures_and_needs_no_network(world: World) -> None:
    from ram.validation.data_docs import external_references

    found = run(world, "MODEL", "prior:MODEL")
    page = as_page(found.document, found.per_name)
    assert not external_references(page)
    for model in found.document["models"]:
        assert f"{model['mAP']:.3f}" in page
        assert f"<h2>{model['model']}</h2>" in page
    without = run(world, options=Options(num_resamples=0))
    assert f"{without.document['models'][0]['mAP']:.3f}" in as_page(without.document, without.per_name)
