from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ram.io.tables import Table, write_table
from ram.pipeline.catalog import CATALOG, artifact
from ram.reports.data.measures import caption_statistics, image_statistics


def test_sizes_and_looks_of_images_are_those_of_the_pixels(tmp_path: Path) -> None:
    rows, position = [], 0
    with (tmp_path / "0.tar").open("wb") as shard:
        for number, color in enumerate([(0, 0, 0), (255, 255, 255), (255, 0, 0), (255, 0, 0)]):
            stream = io.BytesIO()
            Image.new("RGB", (200, 100), color).save(stream, "PNG")
            shard.write(stream.getvalue())
            rows.append(
                {
                    "image_id": f"s/{number}", "source": "s", "split": "train" if number else "test", "shard": "0.tar",
                    "member": "m", "offset": position, "num_bytes": len(stream.getvalue()), "width": 200, "height": 100,
                    "sha256": "", "perceptual_hash": "",
                }
            )  # fmt: skip
            position += len(stream.getvalue())
    write_table(rows, tmp_path / "images", CATALOG["images"].schema)
    found = image_statistics(Table(tmp_path / "images", CATALOG["images"].schema), tmp_path)
    assert (found["num"], found["num_decoded"], found["splits"]) == (4, 4, {"test": 1, "train": 3})
    histograms = found["histograms"]
    assert histograms["longer side"] == {"192": 4}
    assert histograms["aspect"] == {"2": 4}
    assert histograms["brightness"] == {"0": 1, "0.2": 2, "0.9": 1}  # red has 0.299 of white's
    assert histograms["contrast"] == {"0": 4}
    assert histograms["saturation"] == {"0": 2, "0.9": 2}


def test_words_are_counted_and_a_sample_of_many_captions_is_read(tmp_path: Path, monkeypatch) -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 9, 3000)
    rows = [
        {
            "image_id": f"s/{i}",
            "split": "train",
            "caption_index": 0,
            "caption": " ".join(["the", str(i), *"abcdefg"][:n]),
        }
        for i, n in enumerate(lengths)
    ]
    write_table(rows, tmp_path / "pairs", CATALOG["pairs"].schema)
    monkeypatch.setattr("ram.reports.data.measures.NUM_READ", 500)
    table = Table(tmp_path / "pairs", artifact("pairs").schema)
    found = caption_statistics(table)
    assert found["histograms"]["words"] == {str(n): int((lengths == n).sum()) for n in range(1, 9)}
    assert 0 < found["num_read"] < 3000
    assert found == caption_statistics(table)
