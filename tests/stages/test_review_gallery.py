from __future__ import annotations

import csv
import dataclasses
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ram.io.tables import Table, write_table
from ram.labels import LabelSystem
from ram.pipeline.artifacts import read_artifact
from ram.stages import stage_call
from ram.stages.review_gallery import Inputs, Params, run
from ram.validation.data_docs import external_references

PARAMS = Params(
    seed=0, num_tags=8, rows_per_tag=8, sampled_share=0.5, num_looks=2, context=0.5, thumbnail_size=32, image_size=48
)
EVIL = '<img src=x onerror="document.title=1">'
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium")


@pytest.fixture
def inputs(drawn_workspace: Path, tmp_path: Path) -> Inputs:
    entries = stage_call("review_gallery").inputs()
    return Inputs(**{f: read_artifact(e, drawn_workspace) for f, e in entries.items()}, scratch=tmp_path)


def made(inputs: Inputs, params: Params = PARAMS) -> str:
    return (run(inputs, params).review_gallery / "index.html").read_text(encoding="utf-8")


def data(page: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def in_browser(page: str, actions: str, tmp_path: Path) -> str:
    """The page's title after `actions` (JavaScript), which may set it."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    file = tmp_path / "driven.html"
    press = (
        "const press = (...keys) => keys.forEach((key) => document.activeElement.dispatchEvent("
        'new KeyboardEvent("keydown", { key, bubbles: true })));'
    )
    file.write_text(page.replace("</body>", f"<script>{press}\n{actions}</script></body>"), encoding="utf-8")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title, done.stderr
    return html.unescape(title[1])


def test_the_page_needs_no_network_and_runs_no_script_but_its_own(inputs: Inputs) -> None:
    page = made(inputs)
    assert not external_references(page)
    assert "default-src 'none'" in page
    assert page.count("<script>") == 1


def test_kept_and_removed_rows_stand_side_by_side_with_their_evidence(inputs: Inputs) -> None:
    page = made(inputs)
    rows = data(page, "rows")
    cleaned = inputs.cleaned_tags.to_pandas().set_index(["image_id", "tag_id"])
    assert {(row["kept"], row["reason"]) for row in rows} >= {(True, None), (False, "cluster_outlier")}
    for row in rows:
        own = cleaned.loc[(row["image_id"], row["tag_id"])]
        assert (row["kept"], row["origin"]) == (own["kept"], own["origin"])
        assert row["region_score"] == pytest.approx(own["region_score"], abs=1e-4)
        assert row["captions"][0].startswith("a ")
    assert len(re.findall(r'<article class="row', page)) == len(rows)
    assert {(row["outlier_score"] > 0.5) for row in rows if row["outlying"]} == {True}
    assert set(data(page, "wholes")) == {row["image_id"] for row in rows}


def test_the_size_is_bounded_by_the_params(inputs: Inputs) -> None:
    page = made(inputs, dataclasses.replace(PARAMS, num_tags=2, rows_per_tag=4, image_size=0))
    assert page.count("<section class=") == 2
    assert len(data(page, "rows")) <= 8
    assert data(page, "wholes") == {}


def test_what_people_said_before_is_in_the_page(inputs: Inputs) -> None:
    assert data(made(inputs), "given") == [
        {"image_id": "drawn/001", "tag": "toy", "verdict": "keep"},
        {"image_id": "lost/1", "tag": "unicorn", "verdict": "wrong"},
    ]


def evil(inputs: Inputs, root: Path) -> Inputs:
    """Captions and tags that are markup."""
    tags = [dataclasses.replace(tag, name=f"{tag.name} {EVIL.lower()}", parents=()) for tag in LabelSystem.from_json(inputs.label_system)]  # fmt: skip  # noqa: E501
    pairs = inputs.pairs.to_pandas().assign(caption=f"{EVIL}</script><script>document.title=2</script>")
    write_table(pairs, root / "pairs", inputs.pairs.schema)
    return inputs._replace(label_system=LabelSystem(tags).to_json(), pairs=Table(root / "pairs", inputs.pairs.schema))


def test_data_cannot_inject_markup(inputs: Inputs, tmp_path: Path) -> None:
    page = made(evil(inputs, tmp_path / "evil"))
    assert "<img src=x" not in page
    assert page.count("<script>") == 1


@needs_browser
def test_data_cannot_run_in_a_browser_either(inputs: Inputs, tmp_path: Path) -> None:
    actions = 'press("ArrowRight", "k", "w"); document.title += "/" + document.querySelectorAll("img[onerror]").length;'
    assert in_browser(made(evil(inputs, tmp_path / "evil")), actions, tmp_path) == "Tags to judge/0"


@needs_browser
def test_verdicts_by_keyboard_are_exported_and_can_be_undone(inputs: Inputs, tmp_path: Path) -> None:
    page = made(inputs)
    rows = data(page, "rows")
    actions = """
    focusRow(order[0]); press("k", "w", "w", "u");
    const before = csv(), toy = rows.findIndex((row) => row.image_id === "drawn/001" && row.tag === "toy");
    focusRow(toy); press("x");
    document.title = JSON.stringify([before, csv(), order.slice(0, 3), Object.keys(localStorage).length]);"""
    exported, without_toy, order, num_stored = json.loads(in_browser(page, actions, tmp_path))
    found = {(row["image_id"], row["tag"]): row["verdict"] for row in csv.DictReader(exported.splitlines())}
    first, second = (rows[i] for i in order[:2])
    expected = {("drawn/001", "toy"): "keep", ("lost/1", "unicorn"): "wrong"}
    expected |= {(first["image_id"], first["tag"]): "keep", (second["image_id"], second["tag"]): "wrong"}
    assert found == expected
    assert ("drawn/001", "toy") in found
    assert "drawn/001,toy" not in without_toy  # what the file says can be taken back
    assert num_stored == 1


@needs_browser
def test_filters_leave_the_rows_that_they_name(inputs: Inputs, tmp_path: Path) -> None:
    page = made(inputs)
    actions = """
    const seen = () => rows.filter((_, i) => !cards[i].hidden);
    const all = {};
    const set = (id, value) => { byId(id).value = value; filter(); };
    for (const [id, value] of [["fate", "removed"], ["fate", "reason:cluster_outlier"], ["origin", "predicted"], ["find", "rol"],
        ["low", "60"], ["only", "outlying"]]) {
      const before = byId(id).value;
      set(id, value);
      all[id + "=" + value] = seen().map((row) => [row.tag, row.kept, row.reason, row.origin, row.outlying]);
      set(id, before);
    }
    all.reset = seen().length;
    document.title = JSON.stringify(all);"""
    found = json.loads(in_browser(page, actions, tmp_path))
    rows = [
        (r["tag"], r["kept"], r["reason"], r["origin"], r["outlying"], r["wrong_probability"])
        for r in data(page, "rows")
    ]
    for key, expected in {
        "fate=removed": [r for r in rows if not r[1]],
        "fate=reason:cluster_outlier": [r for r in rows if r[2] == "cluster_outlier"],
        "origin=predicted": [r for r in rows if r[3] == "predicted"],
        "find=rol": [r for r in rows if r[0] == "roll"],
        "low=60": [r for r in rows if r[5] >= 0.6],
        "only=outlying": [r for r in rows if r[4]],
    }.items():
        assert [tuple(row) for row in found[key]] == [r[:5] for r in expected], key
    assert found["reset"] == len(rows)


def test_params_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sampled_share must be in \[0, 1\], got 2"):
        dataclasses.replace(PARAMS, sampled_share=2)
