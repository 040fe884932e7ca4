"""How many of the COCO-80 labels of images are found in their captions, by this project's parser and by its peers.

python -m benchmarks.caption_parsing --data captions_labels.jsonl     # a line an image: {"captions": [...], "labels": [...]}

Every parser's phrases go through the same mapping to the 80 names, which is shown in steps: names and their synonyms; what
phrases are kinds of ("man": person); how COCO reads words (benchmarks/coco80_readings.txt); and what they imply ("surfer":
surfboard). The last line is a JSON object with the figures of the whole mapping.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ram.captions import Phrase, clean_caption, noun_kind, parse_captions
from ram.captions.distilled.distillation import agreement
from ram.captions.parser import installed_model
from ram.labels import LabelSystem
from ram.labels.build import build_label_system, unseen_groups
from ram.labels.implications import SURENESS, Implications, load_implications
from ram.labels.resolve import Resolver
from ram.labels.senses import WordNetInContext
from ram.labels.tagging import Stated, pool
from ram.labels.vocabulary import read_vocabularies
from ram.labels.wordnet import load_wordnet

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("RAM_REAL_DATA", ROOT / "../shared/data"), "coco_captions/val2017_captions_labels.jsonl")


def coco80_label_system() -> LabelSystem:
    """The 80 names as tags, with the synonyms that the project knows; no caption is looked at."""
    vocabularies = read_vocabularies(ROOT / "data/vocabularies", ["coco80", "lvis1203"])
    coco = {"coco80": vocabularies["coco80"]}
    wordnet = WordNetInContext(load_wordnet(), vocabularies)
    groups = unseen_groups([], coco, wordnet, noun_kind)
    return build_label_system(groups, {}, vocabularies, wordnet, merge_synonyms=True)


def readings() -> dict[str, tuple[str, str]]:
    """Words -> (COCO name, how surely they mean it)."""
    lines = (ROOT / "benchmarks/coco80_readings.txt").read_text(encoding="utf-8").splitlines()
    split = [line.split() for line in lines if not line.startswith("#")]
    signs = [next(i for i, word in enumerate(words) if word in SURENESS) for words in split]
    return {" ".join(w[:i]): (" ".join(w[i + 1 :]), SURENESS[w[i]]) for w, i in zip(split, signs, strict=True)}


@dataclass(frozen=True)
class Mapping:
    """Phrases of a caption -> COCO names; each step adds to the one before."""

    name: str
    resolve: Resolver
    kinds: bool = False
    readings: dict[str, tuple[str, str]] | None = None
    implications: Implications | None = None

    def __call__(self, phrases: Sequence[Phrase]) -> Stated[str]:
        stated = Stated[str](set(), set(), set(), set())
        fields = {"sure": stated.implied, "likely": stated.likely, "possible": stated.possible}
        for phrase in phrases:
            if read := self._name(phrase):
                (stated.named if read[1] == "sure" else fields[read[1]]).add(read[0])
        for name, sureness in self.implications.of(phrases) if self.implications else ():
            if read := self._name(Phrase(name, "object")):
                fields[max(sureness, read[1], key=list(fields).index)].add(read[0])  # the less sure of the two
        return stated

    def _name(self, phrase: Phrase) -> tuple[str, str] | None:
        text, kind = phrase
        words = text.split()
        for start in range(len(words)):
            if read := (self.readings or {}).get(" ".join(words[start:])):
                return read
        tag = self.resolve(text, kind) or (self.resolve.kind_of(text, kind) if self.kinds else None)
        return (tag.name, "sure") if tag else None


def together(captions: Sequence[Stated[str]]) -> set[str]:
    """The names that the captions of one image give, pooled as stage tag_captions pools them."""
    return set(pool(dict(enumerate(captions))))


def mappings() -> list[Mapping]:
    resolve = Resolver(coco80_label_system(), load_wordnet())
    read = readings()
    return [
        Mapping("names and synonyms", resolve),
        Mapping("+ what they are kinds of", resolve, True),
        Mapping("+ COCO's readings", resolve, True, read),
        Mapping("+ what is surely implied", resolve, True, read, Implications(load_implications(), "sure")),
        Mapping("+ what is likely implied", resolve, True, read, Implications(load_implications(), "likely")),
    ]


Parse = Callable[[Sequence[str]], list[list[Phrase]]]


def match_words(captions: Sequence[str], label_system: LabelSystem | None = None) -> list[list[Phrase]]:
    """Plain synonym matching: the longest runs of words that are names, without any grammar."""
    tags = label_system or coco80_label_system()
    read, known = readings(), load_implications()
    spoken = {line.phrase for line in known} | set(read)

    def of(caption: str) -> list[Phrase]:
        words, found, start = re.findall(r"[a-z']+", caption.lower()), [], 0
        while start < len(words):
            for length in range(min(4, len(words) - start), 0, -1):
                text = " ".join(words[start : start + length])
                if tags.find(text) or text in spoken or length == 1:
                    found.append(Phrase(text, "object"))
                    break
            start += length
        return found

    return [of(caption) for caption in captions]


def scene_graph_parser(whole_chunks: bool) -> Parse | None:
    """The package that RAM's authors used, as it is shipped; None where it is not installed."""
    try:
        import sng_parser
    except ImportError:
        return None
    parser = sng_parser.Parser("spacy", model=installed_model())

    def of(caption: str) -> list[Phrase]:
        graph, found = parser.parse(caption), []
        for entity in graph["entities"]:
            head = entity["lemma_head"].lower()
            found.append(Phrase(head, noun_kind(head)))
            found += [Phrase(m["lemma_span"].lower(), "attribute") for m in entity["modifiers"] if m["dep"] == "amod"]
            if whole_chunks:
                found += [Phrase(word, noun_kind(word)) for word in entity["lemma_span"].lower().split()]
        found += [Phrase(r["lemma_relation"].lower(), "action") for r in graph["relations"]]
        return list(dict.fromkeys(found))

    return lambda captions: [of(caption) for caption in captions]


def precision_recall_f1(found: Iterable[set[str]], truth: Iterable[set[str]]) -> tuple[float, float, float]:
    precision, recall, f1 = agreement(found, truth).values()
    return precision, recall, f1


def measure(parse: Parse, mapping_steps: list[Mapping], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures by mapping step, captions a CPU second, and the names found by the last step."""
    captions = [clean_caption(caption) for image in images for caption in image["captions"]]
    parse(captions[:50])  # loads models
    start = time.process_time()
    parsed = iter(parse(captions))
    seconds = time.process_time() - start
    phrases = [[next(parsed) for _ in image["captions"]] for image in images]
    truth = [set(image["labels"]) for image in images]
    steps = {}
    for mapping in mapping_steps:
        by_caption = [[mapping(one) for one in own] for own in phrases]
        union = [together(own) for own in by_caption]
        steps[mapping.name] = {
            f"{which}_{name}": value
            for which, found in (("union", union), ("single", [together(own[:1]) for own in by_caption]))
            for name, value in zip(("precision", "recall", "f1"), precision_recall_f1(found, truth), strict=True)
        }
    return {"steps": steps, "captions_per_cpu_s": len(captions) / seconds, "found": union, "truth": truth}


def show_tags(found: list[set[str]], truth: list[set[str]]) -> None:
    hits, named, there = (
        Counter(name for names in lists for name in names)
        for lists in ([f & t for f, t in zip(found, truth, strict=True)], found, truth)
    )
    print("\nper tag, all captions together        P      R   labels")
    for name, count in there.most_common():
        precision = f"{hits[name] / named[name]:.2f}" if named[name] else "   -"
        print(f"  {name:32}{precision:>6} {hits[name] / count:6.2f} {count:8}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, metavar="FILE")
    parser.add_argument("--half", choices=("develop", "check"), help="only the pictures on even, or on odd, lines")
    parser.add_argument("--per-tag", action="store_true", help="precision and recall of every name too")
    args = parser.parse_args()
    if not args.data.is_file():
        parser.error(f"no file {args.data}; name one with --data, or the folder of {DATA.name} with RAM_REAL_DATA")
    images = [json.loads(line) for line in args.data.read_text(encoding="utf-8").splitlines()]
    images = [p for p in images if p["captions"]]
    if args.half:
        images = images[args.half == "check" :: 2]
    steps = mappings()
    parsers: dict[str, Parse | None] = {
        "ours": parse_captions,
        "scene_graph_parser_heads": scene_graph_parser(whole_chunks=False),
        "scene_graph_parser_chunks": scene_graph_parser(whole_chunks=True),
        "plain_matching": match_words,
    }
    print(f"{len(images)} pictures, {sum(len(p['captions']) for p in images)} captions, {platform.machine()}\n")
    print(f"{'':53}  all captions together    the first caption alone")
    print(f"{'':53}   P      R      F1         P      R      F1")
    summary: dict[str, Any] = {}
    for name, parse in parsers.items():
        if parse is None:
            print(f"{name}: not installed (pip install SceneGraphParser)")
            continue
        result = measure(parse, steps, images)
        print(f"{name}, {result['captions_per_cpu_s']:.0f} captions a CPU second")
        for step, f in result["steps"].items():
            union, single = ("  ".join(f"{f[f'{w}_{m}']:.3f}" for m in METRICS) for w in ("union", "single"))
            print(f"    {step:50} {union}      {single}")
        last = {key: round(value, 4) for key, value in list(result["steps"].values())[-1].items()}
        summary |= last if name == "ours" else {name: last}
        if name == "ours" and args.per_tag:
            show_tags(result["found"], result["truth"])
    print(json.dumps(summary))


METRICS = ("precision", "recall", "f1")

if __name__ == "__main__":
    main()
