"""The benchmark against people's judgements: its inputs, and its scores on cases that are known."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tars import write_tar

from benchmarks import human_judgements
from benchmarks.human_judgements import Judged, interval, read_pairs, report, write_judged


def _lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_judgements_of_one_pair_are_added_and_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    row = {"image": "a", "caption": "a dog", "yes": 1, "no": 2}
    pairs = read_pairs(_lines(tmp_path / "pairs.jsonl", row, row, row | {"caption": "a cat"}))
    assert pairs.to_dict("records") == [row | {"yes": 2, "no": 4}, row | {"caption": "a cat"}]
    for bad in ({"image": "a"}, [1], row | {"yes": "many"}):
        with pytest.raises(ValueError, match=r"line 2: wants a JSON object with image, caption, yes, no"):
            read_pairs(_lines(tmp_path / "bad.jsonl", row, bad))
    with pytest.raises(ValueError, match="has no judgements"):
        read_pairs(_lines(tmp_path / "none.jsonl"))


def test_the_shard_has_the_judged_images_with_their_captions_and_no_other(tmp_path: Path) -> None:
    images = write_tar(tmp_path / "images.tar", {"x/a.jpg": b"A", "x/b.jpg": b"B", "x/a.json": b"{}", "c.txt": b"C"})
    pairs = pd.DataFrame([("a", "a dog", 1, 0), ("a", "a cat", 0, 1)], columns=["image", "caption", "yes", "no"])
    write_judged(images, pairs, tmp_path / "judged.tar")
    with tarfile.open(tmp_path / "judged.tar") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert found == {"a.jpg": b"A", "a.json": json.dumps({"captions": ["a dog", "a cat"]}).encode()}
    with pytest.raises(ValueError, match="lacks 1 of the judged images, like d"):
        write_judged(images, pairs.assign(image="d"), tmp_path / "other.tar")
    assert not (tmp_path / "other.tar").exists()
    (tmp_path / "cut.tar").write_bytes(images.read_bytes()[:700])
    with pytest.raises(ValueError, match="broken archive"):
        write_judged(tmp_path / "cut.tar", pairs, tmp_path / "other.tar")


def _judged(num_images: int, accepted_J: np.ndarray) -> Judged:
    image_J = np.repeat(np.arange(num_images), len(accepted_J) // num_images)
    judgements = pd.DataFrame({"image_index": image_J, "yes": accepted_J * 2, "no": 1})
    return Judged([str(i) for i in range(num_images)], judgements, pd.DataFrame())


def test_the_areas_are_those_of_pairs_counted_one_by_one_and_a_tag_counts_once_an_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(human_judgements, "_NUM_RESAMPLES", 20)
    rng = np.random.default_rng(0)
    accepted_J = rng.random(40) < 0.4
    judged, keep_J = _judged(4, accepted_J), rng.random(40).round(1)
    tags = pd.DataFrame(
        {
            "judgement": np.arange(40),
            "image_index": judged.judgements["image_index"],
            "tag_id": np.arange(40) % 5,
            "keep": keep_J,
        }
    )
    found = report(judged, keep_J, keep_J, tags)
    assert (found["num_images"], found["num_captions"], found["num_accepted"]) == (4, 40, accepted_J.sum())

    def area(right: list[bool], score: list[float]) -> float:
        yes = [s for r, s in zip(right, score, strict=True) if r]
        no = [s for r, s in zip(right, score, strict=True) if not r]
        return float(np.mean([(a > b) + 0.5 * (a == b) for a in yes for b in no]))

    assert found["caption_auc"] == pytest.approx(area(accepted_J.tolist(), keep_J.tolist()), abs=1e-4)
    right, best = [], []
    for image in range(4):
        for tag in range(5):
            mine = [j for j in range(40) if j // 10 == image and j % 5 == tag]
            right.append(any(accepted_J[j] for j in mine))
            best.append(max(float(keep_J[j]) for j in mine))
    assert found["tag_auc"] == pytest.approx(area(right, best), abs=1e-4)


def test_whole_images_are_drawn_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(human_judgements, "_NUM_RESAMPLES", 200)
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.5
    score = right + rng.normal(0, 1, 400)
    narrow = interval(np.arange(400), right, score)
    wide = interval(np.repeat(np.arange(10), 40), right, score + np.repeat(rng.normal(0, 1, 10), 40))
    assert narrow[0] < narrow[1] < 1
    assert 0 < narrow[1] - narrow[0] < 0.15
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
