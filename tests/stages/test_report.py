from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ram.io.tables import write_json
from ram.pipeline.artifacts import read_artifact
from ram.pipeline.catalog import artifact
from ram.registry.promotion.decision import PAGE_PATH
from ram.registry.rounds.page import PAGE_PATH as ROUNDS_PAGE_PATH
from ram.stages import run_stage, stage_call
from ram.stages.report import Inputs, Params, plain_facts, run
from ram.validation.data_docs import external_references

PARAMS = "\n  ".join(["report:", "num_images: 4", "thumbnail_size: 64", "num_tags_shown: 3"])
STAGES = """seed: 0
calibrate_thresholds: {target: f1, min_precision: 0.5, prior_positives: 5.0, min_kind_positives: 1,
  min_open_set_positives: 50,
  open_set_factor: 0.8, calibration: platt}
evaluate: {use_children: unseen, num_bootstrap: 20}
compare_tags: {max_inflation: 10.0, num_paired_tags: 10, min_pair_images: 1, num_shown: 5}
review_gallery: {num_tags: 2, rows_per_tag: 4, sampled_share: 0.5, num_looks: 2, context: 0.5, thumbnail_size: 32,
  image_size: 0}
"""


@pytest.fixture(scope="module")
def workspace(drawn_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages before the report run by the runner, and then the report."""
    root = tmp_path_factory.mktemp("report") / "workspace"
    shutil.copytree(drawn_workspace, root)
    params = root / "params.yaml"
    params.write_text(STAGES + PARAMS + "\n")
    for stage in ("compare_tags", "review_gallery", "calibrate_thresholds", "evaluate", "report"):
        run_stage(stage, params, root)
    return root


@pytest.fixture(scope="module")
def page(workspace: Path) -> str:
    return (workspace / artifact("report").path / "index.html").read_text(encoding="utf-8")


def test_the_page_needs_no_network_and_no_script(page: str) -> None:
    assert not external_references(page)
    assert "<script" not in page


def test_images_are_in_the_page_at_the_size_asked_for(page: str) -> None:
    uris = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(uris) == 8
    assert {Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris} == {(64, 64)}


def test_the_page_shows_what_was_added_and_removed_and_where(page: str) -> None:
    for words in ("outlier in its cluster", "not seen on its region", "<rect", "generated: <q>a ball</q>", "on paper"):
        assert words in page, words


def test_the_page_counts_the_tags_of_every_step(page: str) -> None:
    assert re.search(r"parsed <b>48</b>", page)
    assert re.search(r"generated <b>72</b>", page)
    assert re.search(r"cleaned <b>56</b> <small>− 16 removed", page)


def test_the_page_names_failed_checks_refusals_and_models(page: str) -> None:
    for words in (
        "3 of 4",
        "1 of 9 rows do not",
        "broken image",
        "too long",
        "+ fine-tuning",
        "hexagon",
        "Data Docs",
    ):
        assert words in page, words
    assert "../data_docs/cleaned_tags/index.html" in page


def test_the_page_shows_the_balance_of_the_tags_and_leads_to_the_gallery(page: str) -> None:
    for words in ("50.0%</div>", "12 of 24", "Pairs that came together", 'class="line-cleaned"'):
        assert words in page, words
    assert 'href="../review_gallery/index.html"' in page


def test_the_page_shows_the_rounds_and_the_last_decision_on_a_model_where_they_stand(
    page: str, workspace: Path
) -> None:
    shown = re.findall(r'<object type="text/html" data="([^"]+)"', page)
    places = [(workspace / artifact("report").path / path).resolve() for path in shown]
    assert places == [(workspace / path).resolve() for path in (ROUNDS_PAGE_PATH, PAGE_PATH)]


def test_the_page_says_how_well_the_dictionary_agrees_with_the_parser(
    page: str, workspace: Path, tmp_path: Path
) -> None:
    for words in ("Distilled from 950 captions", "On 50 others", "0.905</span>", "0.938</span>", "0.875</span>"):
        assert words in page, words
    inputs = Inputs(
        **{f: read_artifact(e, workspace) for f, e in stage_call("report").inputs().items()}, scratch=tmp_path
    )
    in_full = inputs._replace(phrase_table={"parser": "dependency", "num_distilled": 0, "agreement": None})
    other = run(in_full, Params(num_images=1, thumbnail_size=32, num_tags_shown=1)).report / "index.html"
    assert "Every caption was read in full by the dependency parser" in other.read_text()


def test_data_cannot_inject_markup(workspace: Path, tmp_path: Path) -> None:
    inputs = Inputs(
        **{f: read_artifact(e, workspace) for f, e in stage_call("report").inputs().items()}, scratch=tmp_path
    )
    evil = {**inputs.pairs_check, "failures": ["<img src=x onerror=alert(1)>"]}
    tags = {f"<img src=x onerror=alert(2)>{name}": counts for name, counts in inputs.balance["tags"].items()}
    outputs = run(
        inputs._replace(pairs_check=evil, balance={**inputs.balance, "tags": tags}),
        Params(num_images=1, thumbnail_size=32, num_tags_shown=1),
    )
    assert "<img src=x" not in (outputs.report / "index.html").read_text()


def test_a_workspace_without_benchmarks_has_a_page_as_well(workspace: Path, tmp_path: Path) -> None:
    inputs = Inputs(
        **{f: read_artifact(e, workspace) for f, e in stage_call("report").inputs().items()}, scratch=tmp_path
    )
    empty = {model: {} for model in inputs.evaluation}
    table = inputs.per_tag_metrics
    table.part_paths = []
    bare = inputs._replace(evaluation=empty, benchmarks={}, per_tag_metrics=table)
    page = (run(bare, Params(num_images=1, thumbnail_size=32, num_tags_shown=1)).report / "index.html").read_text()
    assert "nothing to compare the models by" in page


def test_facts_of_a_report_are_flat_and_short() -> None:
    report = {
        "num_rows": 1234,
        "share": 0.123456,
        "by": {"a": 1},
        "list": [1],
        "flag": True,
        "long": dict.fromkeys(range(99), 1),
    }
    assert plain_facts(report) == {"num rows": "1,234", "share": "0.1235", "by: a": "1"}


def test_params_must_be_positive() -> None:
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        Params(num_images=0, thumbnail_size=1, num_tags_shown=1)


def test_the_report_starts_on_a_failed_check(workspace: Path) -> None:
    check = workspace / artifact("pairs_check").path
    document = {**read_artifact(artifact("pairs_check"), workspace), "passed": False}
    write_json(document, check)
    run_stage("report", workspace / "params.yaml", workspace)
    assert "2 of 4" in (workspace / artifact("report").path / "index.html").read_text(encoding="utf-8")
