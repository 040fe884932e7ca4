"""Captions a CPU second: the dependency parser, the dictionary distilled from it, spaCy alone, and SceneGraphParser.

python -m benchmarks.caption_speed [--data FILE.jsonl]

A line of the file is an image: {"captions": ["...", ...]}; the default is COCO's val2017 under $RAM_REAL_DATA. Every fifth
image is held out: its captions are parsed by every path on one core, and the dictionary, which is distilled from the other
images' captions, is compared with the dependency parser on them, by phrases and by the tags of a label system of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ram.captions import Phrase, clean_caption, parse_captions
from ram.captions.distilled.decode import DictionaryParser
from ram.captions.distilled.distillation import agreement, distil_table
from ram.captions.distilled.model import PhraseTable
from ram.captions.parser import installed_model
from ram.io.tables import ROWS_PER_PART, Table, part_path, write_json, write_part, write_table
from ram.labels import LabelSystem
from ram.labels.resolve import Resolver
from ram.labels.wordnet import load_wordnet
from ram.pipeline.catalog import CATALOG
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import build_label_system
from ram.stages.parse_captions import Params, look_up_part, parse_part

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RAM_REAL_DATA", ROOT / "../shared/data"), "coco_captions", "val2017_captions_labels.jsonl")
PARAMS = Params(max_words=60, max_chars=1000, parser="dictionary", num_distilled=25_000, seed=1)
Found = list[list[Phrase]]


class Row(NamedTuple):
    name: str
    captions_per_s: float | None
    note: str = ""


class Corpus(NamedTuple):
    """Captions as they come; those that the dictionary is distilled from with their phrases."""

    learned: list[str]  # cleaned
    phrases: Found
    held_out: list[str]  # raw

    @property
    def cleaned(self) -> list[str]:
        return [clean_caption(caption) for caption in self.held_out]


def read_corpus(path: Path) -> Corpus:
    if not path.is_file():
        raise SystemExit(f"no file at {path}; give --data, or set RAM_REAL_DATA to the folder that holds coco_captions")
    images = [json.loads(line)["captions"] for line in path.read_text(encoding="utf-8").splitlines()]
    learned = [clean_caption(caption) for i, own in enumerate(images) if i % 5 != 4 for caption in own]
    held_out = [caption for i, own in enumerate(images) if i % 5 == 4 for caption in own]
    random.Random(1).shuffle(learned)  # samples of it are drawn over all images
    return Corpus(learned, parse_captions(learned), held_out)


def rate(work: Callable[[], Any], num_captions: int, repeats: int = 1) -> float:
    """Captions a CPU second of this process; the best of `repeats`, since the machine may be busy."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return num_captions / best


def pairs_of(captions: Sequence[str], first: int = 0) -> pa.Table:
    """Rows of `pairs`, five captions per image."""
    numbers = range(first, first + len(captions))
    columns = [[f"p/{i // 5}" for i in numbers], ["train"] * len(captions), [i % 5 for i in numbers], list(captions)]
    schema = CATALOG["pairs"].schema
    assert schema is not None
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def write_pairs(captions: Sequence[str], directory: Path, part: int = 0) -> Path:
    schema = CATALOG["pairs"].schema
    assert schema is not None
    write_part(pairs_of(captions, part * ROWS_PER_PART), directory, part, schema)
    return part_path(directory, part)


# --- speed ---


def speed_rows(corpus: Corpus, table: PhraseTable, work_dir: Path) -> list[Row]:
    """Every path over the same held-out captions."""
    raw, count = corpus.held_out, len(corpus.held_out)
    parse_captions(corpus.learned[:100])  # loads the model

    def fresh() -> None:
        DictionaryParser(table, max_words=60, max_chars=1000).find(pa.array(raw))

    met = DictionaryParser(table, max_words=60, max_chars=1000)
    met.find(pa.array(raw))
    part = write_pairs(raw, work_dir / "held_out")
    table_path = write_table_file(table, work_dir)
    look_up_part(part, PARAMS, table_path)  # loads the table
    in_stage = rate(lambda: look_up_part(part, PARAMS, table_path), count, 10)
    dependency = rate(lambda: parse_captions([clean_caption(c) for c in raw]), count)
    by_stage = rate(lambda: parse_part(part, replace(PARAMS, parser="dependency")), count)
    return [
        Row("dictionary, words met before", rate(lambda: met.find(pa.array(raw)), count, 10), "as in a long run"),
        Row("dictionary, no word met before", rate(fresh, count, 3), "the first captions of a process"),
        Row("dictionary, the stage's function", in_stage, "Parquet to Arrow tables"),
        Row("dependency", dependency),
        Row("dependency, the stage's function", by_stage),
        *spacy_rows(corpus.cleaned),
    ]


def spacy_rows(captions: list[str]) -> list[Row]:
    """spaCy alone, and SceneGraphParser: by itself, and its rules on spaCy in batches without named entities."""
    import spacy

    model = installed_model()
    nlp = spacy.load(model, exclude=["ner"])
    rows = [Row("spaCy's parse alone", rate(lambda: list(nlp.pipe(captions, batch_size=256)), len(captions)))]
    names = ("SceneGraphParser, one at a time", "SceneGraphParser's rules, spaCy in batches")
    try:
        import sng_parser
    except ImportError:
        return [*rows, *(Row(name, None, "not installed: pip install 'ram-tagger[bench]'") for name in names)]
    peer = sng_parser.Parser("spacy", model=model)
    rows.append(Row(names[0], rate(lambda: [peer.parse(c) for c in captions], len(captions)), "its own pipeline"))
    peer.unwrapped.nlp = lambda doc: doc  # its rules take what the batch has parsed
    batched = rate(lambda: [peer.parse(doc) for doc in nlp.pipe(captions, batch_size=256)], len(captions))
    return [*rows, Row(names[1], batched)]


def write_table_file(table: PhraseTable, directory: Path) -> Path:
    path = directory / "phrase_table.json"
    write_json({"table": table.to_json()}, path)
    return path


def print_speed(rows: list[Row], num_captions: int) -> None:
    print(f"\n{'path':<46}{'captions a CPU s':>17}{'dictionary is':>15}   ({num_captions} captions)")
    fastest = rows[0].captions_per_s or 0.0
    for row in rows:
        if row.captions_per_s is None:
            print(f"{row.name:<46}{'-':>17}{'':>15}   {row.note}")
        else:
            print(f"{row.name:<46}{row.captions_per_s:>17,.0f}{fastest / row.captions_per_s:>13.1f} x   {row.note}")


# --- agreement ---


def resolver_of(corpus: Corpus, work_dir: Path) -> Resolver:
    """The label system that the stage builds from the phrases of the learned captions, by the recipe flickr8k."""
    schema = CATALOG["caption_phrases"].schema
    assert schema is not None
    rows = [
        {"image_id": str(i), "split": "train", "caption_index": 0, "phrase": phrase.text, "kind": phrase.kind}
        for i, own in enumerate(corpus.phrases)
        for phrase in own
    ]
    write_table(rows, work_dir / "phrases", schema)
    params = stage_params(load_yaml(ROOT / "recipes/flickr8k.yaml"), "build_label_system", build_label_system.Params)
    inputs = build_label_system.Inputs(Table(work_dir / "phrases", schema), ROOT / "data/vocabularies")
    return Resolver(LabelSystem.from_json(build_label_system.run(inputs, params).label_system), load_wordnet())


def tags_of(found: Found, resolve: Resolver) -> list[list[Phrase]]:
    """The tags of every caption, as phrases, to be compared like them."""
    tags = [[resolve(*phrase) for phrase in own] for own in found]
    return [[Phrase(tag.name, tag.kind) for tag in own if tag is not None] for own in tags]


def print_agreement(corpus: Corpus, sizes: Sequence[int], work_dir: Path) -> None:
    expected = parse_captions(corpus.cleaned)
    resolve = resolver_of(corpus, work_dir)
    print("\nagreement with the dependency parser    phrases: P      R     F1     tags: P      R     F1   distilled in")
    for size in sizes:
        start = time.process_time()
        table = distil_table(corpus.learned[:size], corpus.phrases[:size], seed=1)
        seconds = time.process_time() - start
        found = DictionaryParser(table, max_words=60, max_chars=1000).parse(corpus.held_out)
        phrases = agreement(found, expected).values()
        tags = agreement(tags_of(found, resolve), tags_of(expected, resolve)).values()
        numbers = ["".join(f"{value:>7.3f}" for value in values) for values in (phrases, tags)]
        print(f"{f'distilled from {size:,} captions':<42}{numbers[0]:>21}{numbers[1]:>28}{seconds:>13.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="a line a picture: {'captions': [...]}")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 5_000, 10_000, 25_000])
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data)
    sizes = sorted({min(size, len(corpus.learned)) for size in arguments.sizes})
    table = distil_table(corpus.learned[: sizes[-1]], corpus.phrases[: sizes[-1]], seed=1)
    with tempfile.TemporaryDirectory() as directory:
        print_speed(speed_rows(corpus, table, Path(directory)), len(corpus.held_out))
        print_agreement(corpus, sizes, Path(directory))


if __name__ == "__main__":
    main()
