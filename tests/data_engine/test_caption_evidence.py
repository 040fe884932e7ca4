from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from ram.data_engine.caption_evidence import evidence_of_rows, first_images, gather_by_image
from ram.io.tables import Table, as_arrow, write_part
from ram.pipeline.catalog import artifact


def write(root: Path, name: str, rows: pd.DataFrame, parts: list[np.ndarray]) -> Table:
    schema = artifact(name).schema
    assert schema is not None
    for part, mine in enumerate(parts):
        write_part(as_arrow(rows.iloc[mine], schema), root / name, part, schema)
    return Table(root / name, schema)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 3), min_size=1, max_size=3)), max_size=4),
            st.dictionaries(st.integers(0, 3), st.floats(-5, 5, width=32), max_size=4),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_a_row_has_the_evidence_of_the_likeliest_caption_that_names_it(
    tmp_path_factory, images, num_parts: int, random
) -> None:
    root = tmp_path_factory.mktemp("gathered")
    parsed, evidence, generated, expected = [], [], [], []
    for number, (tags, of_caption) in enumerate(images):
        image_id = f"p/{number}"
        named = {tag: sorted(set(indices)) for tag, indices in tags}
        parsed += [
            {"image_id": image_id, "tag_id": t, "origin": "caption", "score": 1.0, "caption_indices": i}
            for t, i in named.items()
        ]
        evidence += [{"image_id": image_id, "caption_index": i, "evidence": e} for i, e in of_caption.items()]
        for tag in range(5):  # also tags that no caption names
            generated.append(
                {"image_id": image_id, "tag_id": tag, "origin": "predicted", "score": 0.5, "image_score": 0.5}
            )
            values = [of_caption[i] for i in named.get(tag, []) if i in of_caption]
            expected.append(max(values) if values else np.nan)
    random.shuffle(parsed)
    random.shuffle(evidence)
    every = pd.DataFrame(generated).assign(model_version="v")
    cuts = [np.flatnonzero((every.index // 5) % num_parts == part) for part in range(num_parts)]
    tables = (
        write(root, "generated_tags", every, cuts),
        write(root, "parsed_tags", frame(parsed, "parsed_tags"), [np.arange(len(parsed))]),
        write(root, "caption_evidence", frame(evidence, "caption_evidence"), [np.arange(len(evidence))]),
    )
    gathered = gather_by_image(*tables, root)
    firsts = first_images(tables[0])
    for part, first in zip(cuts, firsts, strict=True):
        rows = every.iloc[part]
        found = evidence_of_rows(gathered, first, rows["image_id"].to_numpy(), rows["tag_id"].to_numpy())
        np.testing.assert_allclose(found, np.array(expected, dtype=np.float32)[part])


def frame(rows: list[dict[str, object]], name: str) -> pd.DataFrame:
    schema = artifact(name).schema
    assert schema is not None
    return pd.DataFrame(rows, columns=schema.names)
