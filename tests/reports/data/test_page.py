from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ram.cli.main import app
from ram.io.tables import Table, read_json, write_json, write_table
from ram.pipeline.catalog import CATALOG, artifact
from ram.reports.data import PAGE, history
from ram.reports.data.page import make_page
from ram.reports.data.svg_charts import histogram, sparkline
from ram.stages import run_stage
from ram.validation.data_docs import external_references


@pytest.fixture
def workspace(drawn_workspace: Path, tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    shutil.copytree(drawn_workspace, root)
    parameters = "compare_tags: {max_inflation: 10.0, num_paired_tags: 10, min_pair_images: 1, num_shown: 5}\n"
    (root / "params.yaml").write_text(parameters + "ingest_pairs: {max_hash_distance: 4}\n")
    run_stage("compare_tags", root / "params.yaml", root)
    images = artifact("images")
    rows = Table(root / images.path, images.schema).read().to_pylist()
    # The drawn images share one hash; here each has its own, but for one of test that is one of train.
    for number, row in enumerate(rows):
        row["sha256"] = f"{number:064x}"
        row["perceptual_hash"] = f"{(number * 0x9E3779B97F4A7C15) % 2**64:016x}"
    rows[-1]["sha256"], rows[-1]["perceptual_hash"] = rows[0]["sha256"], rows[0]["perceptual_hash"]
    shutil.rmtree(root / images.path)
    write_table(rows, root / images.path, images.schema)
    return root


def make(workspace: Path) -> str:
    return make_page(workspace, num_runs=10, num_images=2, max_seconds=5).read_text()


def test_the_page_loads_nothing_and_its_links_lead_within_the_workspace(workspace: Path) -> None:
    page = make(workspace)
    assert not external_references(page)
    assert "<script" not in page
    links = set(re.findall(r'href="([^"#]+)"', page))
    assert links == {"../report/index.html", *(f"../data_docs/{t}/index.html" for t in ("pairs", "parsed_tags", "generated_tags", "cleaned_tags"))}  # fmt: skip  # noqa: E501


def test_the_page_tells_broken_rules_refusals_coverage_and_leaks(workspace: Path) -> None:
    page = make(workspace)
    for words in ("3 of 4", "broken image", "caption not parsed: too long", "61 of 80", "hair drier", "first run"):
        assert words in page, words
    assert re.search(r"with the bytes of one to learn from</td><td><span class=\"fail\">1</span>", page)
    assert "0 bits apart: drawn/065 (test), drawn/000 (train)" in page


def test_a_second_run_with_other_tags_shows_what_moved(workspace: Path) -> None:
    make(workspace)
    balance = read_json(workspace / artifact("balance").path)
    balance["tags"]["ball"]["cleaned"] *= 50
    write_json(balance, workspace / artifact("balance").path)
    page = make(workspace)
    assert "beside 1 earlier run." in page
    assert re.search(r"Top movers <small>cleaned tags.*?<td class=\"text\">ball</td>", page, re.DOTALL)
    assert "No tag&#39;s share changed" in page or "No tag's share changed" in page  # of the parsed ones
    assert len(history.read(workspace, 10)) == 2


def test_the_same_run_again_is_no_other_run(workspace: Path) -> None:
    first = make(workspace)
    assert make(workspace) == first
    assert len(history.read(workspace, 10)) == 1


def test_a_run_that_ended_at_its_first_check_has_a_page(workspace: Path) -> None:
    for name in ("parsed_tags", "generated_tags", "cleaned_tags", "skipped_captions"):
        shutil.rmtree(workspace / artifact(name).path)
    for name in ("balance", "label_system_report", "parsed_tags_check", "generated_tags_check", "cleaned_tags_check"):
        (workspace / artifact(name).path).unlink()
    page = make(workspace)
    for words in ("1 of 1", "not cleaned yet", "No label system yet"):
        assert words in page, words


def test_images_that_were_refused_are_read_from_their_source(workspace: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    from PIL import Image

    Image.new("RGB", (20, 10), "red").save(source / "thin.png")
    (source / "captions.csv").write_text("path,caption\nthin.png,a red thing\n")
    description = {"name": "own", "kind": "table", "path": str(source / "captions.csv")}
    files = [{"path": str(source / "captions.csv"), "num_bytes": 1, "hash": ""}]
    write_json({"sources": [{"description": description, "files": files}]}, workspace / artifact("sources").path)
    keys = ("thin.png", "lost.png")  # the source has no image of the other any more
    rows = [{"source": "own", "key": key, "reason": "too_small", "detail": "20 x 10"} for key in keys]
    rows.append(
        {"source": "drawn", "key": "003", "reason": "repeated_caption", "detail": "caption 1 is caption 0 again"}
    )
    shutil.rmtree(workspace / artifact("quarantine").path)
    write_table(rows, workspace / artifact("quarantine").path, CATALOG["quarantine"].schema)
    page = make(workspace)
    small = re.search(r"<h3[^>]*>too small.*?</section>", page, re.DOTALL)[0]
    assert small.count("data:image/jpeg") == 1
    assert small.count("no image to show") == 1
    assert "data:image/jpeg" in re.search(r"<h3[^>]*>repeated caption.*?</section>", page, re.DOTALL)[0]


def test_a_source_that_is_gone_is_said(workspace: Path) -> None:
    description = {"name": "drawn", "kind": "table", "path": "gone/captions.csv"}
    files = [{"path": "gone/captions.csv", "num_bytes": 1, "hash": ""}]
    write_json({"sources": [{"description": description, "files": files}]}, workspace / artifact("sources").path)
    assert "drawn cannot be read any more" in make(workspace)


def test_data_cannot_inject_markup(workspace: Path) -> None:
    rows = [{"source": "<b>", "key": "<img src=x>", "reason": "<i>odd", "detail": "<script>alert(1)</script>"}]
    shutil.rmtree(workspace / artifact("quarantine").path)
    write_table(rows, workspace / artifact("quarantine").path, CATALOG["quarantine"].schema)
    page = make(workspace)
    for words in ("<img src=x", "<script", "<i>odd"):
        assert words not in page


def test_the_command_prints_where_the_page_is(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    done = CliRunner().invoke(app, ["quality", "--images", "1"])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(PAGE)
    assert (workspace / PAGE).is_file()
    assert json.loads(next((workspace / history.HISTORY_DIR).iterdir()).read_text())["images"]["num"] == 66


def test_drawings_are_well_formed_and_keep_within_their_frame() -> None:
    svg = ElementTree.fromstring(sparkline([1.0, None, 5.0, 2.0], [True, True, False, True], {"max_value": 4}))
    assert [circle.get("class") for circle in svg.iter("circle")] == ["bad", "good"]
    assert len(list(svg.iter("line"))) == 1
    for polyline in svg.iter("polyline"):
        for pair in polyline.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 130
            assert 0 <= y <= 30
    bars = ElementTree.fromstring(histogram({"0": 1, "10": 3}, {"10": 2, "2": 2}, " px"))
    heights = [float(bar.get("height", 0)) for bar in bars.iter("rect")]
    assert heights[0] == pytest.approx(heights[2] / 3, abs=0.1)
    assert heights[1] == 0
    assert sparkline([None], [True]) == ""
    assert histogram({}, None) == ""
