from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ram.captions.distilled.model import PhraseTable
from ram.io.tables import Table, part_path, read_json, write_part, write_table
from ram.pipeline.catalog import CATALOG
from ram.pipeline.executors import LocalEngine
from ram.stages import parse_captions
from ram.stages.parse_captions import Inputs, Outputs, Params, parse_part, run

PARAMS = Params(max_words=20, max_chars=200, parser="dependency", num_distilled=1000, seed=1)
DICTIONARY = dataclasses.replace(PARAMS, parser="dictionary")
CAPTIONS = [
    f"a {color} {animal} {act} {place}"
    for color in ("red", "small", "black", "wet")
    for animal in ("dog", "cat", "horse")
    for act in ("runs", "sleeps", "is standing")
    for place in ("in a park", "on the beach")
]


def rows_of(captions: list[str]) -> list[dict[str, object]]:
    return [
        {"image_id": f"s/{i // 2}", "split": "train", "caption_index": i % 2, "caption": caption}
        for i, caption in enumerate(captions)
    ]


def pairs_table(tmp_path: Path, captions: list[str]) -> Table:
    write_table(rows_of(captions), tmp_path, CATALOG["pairs"].schema)
    return Table(tmp_path, CATALOG["pairs"].schema)


def run_on(pairs: Table, scratch: Path, params: Params) -> Outputs:
    scratch.mkdir(exist_ok=True)
    return run(Inputs(pairs=pairs, pairs_check={"passed": True}, scratch=scratch, engine=LocalEngine(1)), params)


def test_every_caption_is_parsed_or_skipped_with_a_reason(tmp_path: Path) -> None:
    pairs = pairs_table(tmp_path, ["a red dog runs", "!!", "dog " * 30, "a cat sleeps"])
    phrases, skipped = parse_part(pairs.part_paths[0], PARAMS)
    found = [tuple(row.values()) for row in phrases.to_pylist()]
    assert found == [
        ("s/0", "train", 0, "red", "attribute"),
        ("s/0", "train", 0, "dog", "object"),
        ("s/0", "train", 0, "run", "action"),
        ("s/1", "train", 1, "cat", "object"),
        ("s/1", "train", 1, "sleep", "action"),
    ]
    assert [(row["image_id"], row["caption_index"], row["reason"]) for row in skipped.to_pylist()] == [
        ("s/0", 1, "empty"),
        ("s/1", 0, "too_long"),
    ]


@pytest.mark.parametrize("params", [PARAMS, DICTIONARY], ids=lambda p: p.parser)
def test_the_work_is_mapped_over_the_parts_of_pairs(tmp_path: Path, params: Params) -> None:
    pairs = pairs_table(tmp_path / "pairs", CAPTIONS)
    outputs = run_on(pairs, tmp_path / "scratch", params)
    work = outputs.caption_phrases.work
    assert outputs.skipped_captions.work is work
    assert list(work.items) == pairs.part_paths
    phrases, skipped = work.function(work.items[0])
    assert phrases.schema == CATALOG["caption_phrases"].schema
    assert skipped.schema == CATALOG["skipped_captions"].schema


def test_the_dictionary_gives_nearly_the_rows_of_the_parser_and_skips_the_same_captions(tmp_path: Path) -> None:
    captions = [*CAPTIONS, "!!", "der Hund und die Katze", "dog " * 30, "x" * 300, "<b>a wet dog</b> sleeps in a park"]
    pairs = pairs_table(tmp_path / "pairs", captions)
    outputs = run_on(pairs, tmp_path / "scratch", DICTIONARY)
    phrases, skipped = outputs.caption_phrases.work.function(pairs.part_paths[0])
    expected_phrases, expected_skipped = parse_part(pairs.part_paths[0], PARAMS)
    rows, expected = ([tuple(row.values()) for row in table.to_pylist()] for table in (phrases, expected_phrases))
    assert len(set(rows) & set(expected)) > 0.9 * max(len(rows), len(expected))
    places = [(int(row[0].removeprefix("s/")), row[2]) for row in rows]
    assert places == sorted(places)
    assert skipped.to_pylist() == expected_skipped.to_pylist()


def test_the_phrase_table_says_how_far_it_agrees_with_the_parser(tmp_path: Path) -> None:
    outputs = run_on(pairs_table(tmp_path / "pairs", CAPTIONS), tmp_path / "scratch", DICTIONARY)
    document = outputs.phrase_table
    assert document["num_distilled"] + document["agreement"]["num_captions"] == len(CAPTIONS)
    assert 0 < document["agreement"]["f1"] <= 1
    assert PhraseTable.from_json(document["table"]).version == document["table"]["version"]
    dependency = run_on(pairs_table(tmp_path / "pairs", CAPTIONS), tmp_path / "other", PARAMS).phrase_table
    assert dependency == {"parser": "dependency", "num_distilled": 0, "agreement": None, "table": None}


def test_the_sample_is_drawn_from_every_part_and_by_the_seed(tmp_path: Path) -> None:
    schema = CATALOG["pairs"].schema
    for part in range(4):
        write_part(Table(pairs_table(tmp_path / "one", CAPTIONS).path, schema).read(), tmp_path / "pairs", part, schema)
    drawn = {}
    for seed in (1, 2):
        params = dataclasses.replace(DICTIONARY, num_distilled=100, seed=seed)
        run_on(Table(tmp_path / "pairs", schema), tmp_path / f"scratch{seed}", params)
        sample = [read_part(tmp_path / f"scratch{seed}" / "sample", part) for part in range(4)]
        assert all(0 < len(own) < len(CAPTIONS) for own in sample)
        drawn[seed] = sample[0]
    assert drawn[1] != drawn[2]


def read_part(directory: Path, part: int) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(part_path(directory, part)).column("caption").to_pylist()


def test_a_killed_run_goes_on_with_the_sample_and_the_table_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_table(tmp_path / "pairs", CAPTIONS)
    expected = run_on(pairs, tmp_path / "scratch", DICTIONARY).phrase_table

    def refuse(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(parse_captions, "parse_captions", refuse)
    assert run_on(pairs, tmp_path / "scratch", DICTIONARY).phrase_table == expected
    (tmp_path / "scratch" / "phrase_table.json").unlink()
    assert run_on(pairs, tmp_path / "scratch", DICTIONARY).phrase_table == expected
    assert read_json(tmp_path / "scratch" / "phrase_table.json") == expected


def test_a_corpus_without_phrases_is_refused_with_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_distilled"):
        run_on(pairs_table(tmp_path / "pairs", []), tmp_path / "scratch", DICTIONARY)


def test_a_part_without_captions_gives_empty_tables(tmp_path: Path) -> None:
    phrases, skipped = parse_part(pairs_table(tmp_path, []).part_paths[0], PARAMS)
    assert (phrases.num_rows, skipped.num_rows) == (0, 0)


@pytest.mark.parametrize("change", [{"max_words": 0}, {"max_chars": 0}, {"num_distilled": 0}])
def test_limits_below_one_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        dataclasses.replace(PARAMS, **change)
