"""How many of the COCO-80 labels of 2,500 pictures are found in their captions, and how fast.

python benchmarks/caption_parser.py        # data: $RAM_REAL_DATA/coco_captions/val2017_captions_labels.jsonl
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from ram.caption_parsing import Phrase, clean_caption, noun_kind, parse_captions
from ram.label_system import LabelSystem
from ram.label_system.build import build_label_system, unseen_groups
from ram.label_system.resolve import Resolver
from ram.label_system.senses import WordNetInContext
from ram.label_system.vocabulary import read_vocabularies
from ram.label_system.wordnet import load_wordnet

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RAM_REAL_DATA", ROOT / "../shared/data"))


def coco80_label_system() -> LabelSystem:
    """The 80 names as tags, with the synonyms that the project knows; no caption is looked at."""
    vocabularies = read_vocabularies(ROOT / "data/vocabularies", ["coco80", "lvis1203"])
    coco = {"coco80": vocabularies["coco80"]}
    wordnet = WordNetInContext(load_wordnet(), vocabularies)
    groups = unseen_groups([], coco, wordnet, noun_kind)
    return build_label_system(groups, {}, vocabularies, wordnet, merge_synonyms=True)


# COCO's annotators took its names more widely than they read. No synonyms, so no part of a label system; chosen by
# looking at these captions, so the row that uses them flatters.
WIDER = {
    "table": "dining table", "ball": "sports ball", "baseball": "sports ball", "tennis ball": "sports ball",
    "soccer ball": "sports ball", "plant": "potted plant", "flower pot": "potted plant", "bag": "handbag",
    "phone": "cell phone", "stove": "oven", "luggage": "suitcase", "purse": "handbag", "monitor": "tv",
    "remote control": "remote", "game controller": "remote", "mitt": "baseball glove", "ship": "boat",
}  # fmt: skip


def names_of(phrases: Iterable[Phrase], resolve: Resolver, hypernyms: bool, wider: bool = False) -> set[str]:
    """The COCO names that phrases mean; with `hypernyms` also what they are kinds of ("man": person)."""
    wordnet = load_wordnet()
    found = set()
    for text, kind in phrases:
        if wider:
            text = WIDER.get(text, WIDER.get(text.split()[-1], text))
        if tag := resolve(text, kind):
            found.add(tag.name)
        elif hypernyms and kind in ("object", "scene"):
            synsets = wordnet.kinds_of(text) or wordnet.kinds_of(text.split()[-1])
            lemmas = (
                lemma for synset in synsets for lemma in wordnet.lemmas(synset) if wordnet.dominant(lemma) == synset
            )
            tags = (resolve(lemma, "object") for lemma in lemmas)
            if nearest := next((tag for tag in tags if tag is not None), None):
                found.add(nearest.name)
    return found


def precision_recall(found: list[set[str]], truth: list[set[str]]) -> tuple[float, float]:
    hits = sum(len(f & t) for f, t in zip(found, truth, strict=True))
    return hits / sum(map(len, found)), hits / sum(map(len, truth))


def main() -> None:
    path = DATA / "coco_captions/val2017_captions_labels.jsonl"
    if not path.is_file():
        raise SystemExit(f"no file at {path}; set RAM_REAL_DATA to the folder that holds coco_captions")
    pictures = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    truth = [set(picture["labels"]) for picture in pictures]
    captions = [clean_caption(caption) for picture in pictures for caption in picture["captions"]]
    parse_captions(captions[:100])  # loads the model
    start = time.process_time()
    parsed = iter(parse_captions(captions))
    captions_per_s = len(captions) / (time.process_time() - start)
    phrases = [[next(parsed) for _ in picture["captions"]] for picture in pictures]
    resolve = Resolver(coco80_label_system(), load_wordnet())
    print(f"{len(captions)} captions, {captions_per_s:.0f} a CPU second\n")
    print("COCO-80 labels found            5 captions: P     R      1 caption: P     R")
    rows = (
        ("names and synonyms", False, False),
        ("and WordNet's hypernyms", True, False),
        ("and COCO's wide readings", True, True),
    )
    for name, hypernyms, wider in rows:
        all_found = [names_of((p for c in own for p in c), resolve, hypernyms, wider) for own in phrases]
        one_found = [names_of(own[0], resolve, hypernyms, wider) for own in phrases]
        numbers = (*precision_recall(all_found, truth), *precision_recall(one_found, truth))
        print(f"{name:<32}{numbers[0]:>13.3f} {numbers[1]:.3f}{numbers[2]:>17.3f} {numbers[3]:.3f}")


if __name__ == "__main__":
    main()
