"""A corpus of the pipeline's tables that needs no data: for measuring speed, where what is learned does not matter."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ram.datasets.shards import ShardWriter
from ram.io.tables import Table, write_table
from ram.pipeline.catalog import artifact
from ram.training.examples import examples_from_tags
from ram.training.sampler import Corpus

NUM_CAPTIONS, NUM_WORDS, TAGS_PER_IMAGE = 5, 11, 12  # an image; a caption; an image: as Flickr8k has them
EMBEDDING_WIDTH = 384  # of the recipe's text encoder


class MadeCorpus:
    """Images of soft noise in a shard, captions of made-up words and tags by chance, as the tables of the pipeline."""

    def __init__(self, folder: Path, num_images: int, num_tags: int) -> None:
        self.folder, self.num_tags = folder, num_tags
        self.rng = np.random.default_rng(0)
        syllables = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
        self.words = ["".join(self.rng.choice(syllables, self.rng.integers(2, 4))) for _ in range(3000)]
        rows = [self._image_row(i) for i in range(num_images)]
        with ShardWriter(folder / "0.tar") as writer:
            for row in rows:
                data = self._jpeg()
                row |= {"offset": writer.write(row["image_id"], ".jpg", data, {}), "num_bytes": len(data)}
        ids = [row["image_id"] for row in rows]
        self.captions = [" ".join(self.rng.choice(self.words, NUM_WORDS)) for _ in range(NUM_CAPTIONS * len(ids))]
        self.images = self._table("images", rows)
        self.pairs = self._table(
            "pairs",
            [
                {
                    "image_id": ids[i // NUM_CAPTIONS],
                    "split": "train",
                    "caption_index": i % NUM_CAPTIONS,
                    "caption": text,
                }
                for i, text in enumerate(self.captions)
            ],
        )
        self.parsed_tags = self._table("parsed_tags", [row for image_id in ids for row in self._tag_rows(image_id)])

    def corpus(self) -> Corpus:
        known_K = np.ones(self.num_tags, bool)
        return Corpus(
            (examples_from_tags(self.folder / "examples", self.images, self.pairs, self.parsed_tags, known_K),)
        )

    def embeddings(self, num: int) -> np.ndarray:
        """Rows of length 1, as of a text encoder."""
        rows = torch.from_numpy(self.rng.standard_normal((num, EMBEDDING_WIDTH), np.float32))
        return F.normalize(rows, dim=1).numpy()

    def _table(self, name: str, rows: list[dict[str, Any]]) -> Table:
        schema = artifact(name).schema
        assert schema is not None
        write_table(rows, self.folder / name, schema)
        return Table(self.folder / name, schema)

    def _image_row(self, number: int) -> dict[str, Any]:
        facts = {"source": "made", "split": "train", "shard": "0.tar", "width": 256, "height": 256}
        hashes = {"sha256": "0" * 64, "perceptual_hash": "0" * 16}
        return {"image_id": f"made/{number}", "member": f"made/{number}.jpg", **facts, **hashes}

    def _jpeg(self) -> bytes:
        small = Image.fromarray(self.rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((256, 256), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        return stream.getvalue()

    def _tag_rows(self, image_id: str) -> list[dict[str, Any]]:
        tag_ids = self.rng.choice(self.num_tags, min(TAGS_PER_IMAGE, self.num_tags), replace=False)
        plain = {"image_id": image_id, "origin": "caption", "score": 1.0}
        return [{**plain, "tag_id": int(t), "caption_indices": [int(t) % NUM_CAPTIONS]} for t in tag_ids]
