from __future__ import annotations

from ram.labels.forms import gerund, singulars, spelling_key
from ram.labels.wordnet import WORDNET_PATH, WordNet, load_wordnet

# A vehicle (0) over a car (1) that is a railway car (2) as well; "auto" is a car only.
TINY = [
    "noun.artifact\t\tvehicle/1/9",
    "noun.artifact\t0\tcar/1/71,auto/1/1",
    "noun.artifact\t0\tcar/2/2,coach/1/0",
    "verb.motion\t\tcar/1/1",
]


def test_a_sense_prevails_by_how_often_it_is_meant() -> None:
    tiny = WordNet(TINY)
    assert tiny.dominant("car") == 1
    assert tiny.dominant("auto") == 1
    assert tiny.dominant("car", min_share=0.99) is None
    assert tiny.dominant("ship") is None
    assert tiny.senses("car") == [1, 2]
    assert tiny.lemmas(1) == ["car", "auto"]
    assert tiny.kinds_of("coach") == [0]
    assert tiny.knows("car", "verb")
    assert not tiny.knows("auto", "verb")


def test_the_ancestors_come_nearest_first_and_once() -> None:
    wordnet = load_wordnet()
    dog = wordnet.dominant("dog")
    assert dog is not None
    line = [lemma for synset in wordnet.ancestors(dog) for lemma in wordnet.lemmas(synset)]
    assert line.index("canine") < line.index("carnivore") < line.index("vertebrate")
    ancestors = list(wordnet.ancestors(dog))
    assert len(ancestors) == len(set(ancestors))


def test_ambiguous_words_have_no_prevailing_sense() -> None:
    assert [load_wordnet().dominant(word) for word in ("crane", "bat", "bow tie knot", "orange")] == [None] * 4


def test_the_distilled_table_is_small_enough_for_git() -> None:
    assert WORDNET_PATH.stat().st_size < 1_000_000
    assert WORDNET_PATH.with_name("WORDNET_LICENSE.txt").read_text(encoding="utf-8").startswith("WordNet")


def test_forms_of_words() -> None:
    assert [gerund(verb) for verb in ("run", "ride", "lie", "sit on", "play", "see", "swim", "eat", "open")] == [
        "running", "riding", "lying", "sitting on", "playing", "seeing", "swimming", "eating", "opening",
    ]  # fmt: skip
    for plural, singular in (
        ("police cars", "police car"),
        ("men", "man"),
        ("boxes", "box"),
        ("ponies", "pony"),
        ("scarves", "scarf"),
    ):
        assert singular in list(singulars(plural))
    assert list(singulars("grass")) == []
    assert spelling_key("T-shirt") == spelling_key("tshirt")
    assert spelling_key("grey") == spelling_key("gray")
