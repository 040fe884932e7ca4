from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import caption_parsing as benchmark

IMAGES = [
    {"captions": ["A surfer rides a wave", "A man on a surfboard"], "labels": ["person", "surfboard"]},
    {"captions": ["Two dogs sleep on a couch"], "labels": ["dog", "couch"]},
    {"captions": ["A kitchen without a refrigerator"], "labels": ["oven"]},
]


def test_the_last_line_is_a_json_object_with_the_figures_of_every_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "captions.jsonl"
    data.write_text("\n".join(json.dumps(image) for image in IMAGES))
    monkeypatch.setattr(sys, "argv", ["caption_parsing", "--data", str(data)])
    benchmark.main()
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    keys = {f"{which}_{name}" for which in ("union", "single") for name in ("precision", "recall", "f1")}
    assert keys <= set(summary)
    assert summary["union_precision"] == summary["union_recall"] == summary["union_f1"] == 1
    peers = {name: figures for name, figures in summary.items() if isinstance(figures, dict)}
    assert set(peers) == {"scene_graph_parser_heads", "scene_graph_parser_chunks", "plain_matching"}
    assert all(set(figures) == keys for figures in peers.values())


def test_precision_and_recall_count_pairs_of_image_and_name() -> None:
    precision, recall, f1 = benchmark.precision_recall_f1([{"a", "b"}, {"c"}], [{"a"}, {"c", "d", "e"}])
    assert (precision, recall) == (2 / 3, 2 / 4)
    assert f1 == pytest.approx(4 / 7)


def test_readings_name_what_coco_has() -> None:
    names = set(benchmark.coco80_label_system().names)
    assert {name for name, _ in benchmark.readings().values()} <= names
