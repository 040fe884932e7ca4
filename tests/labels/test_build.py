from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ram.labels import LabelSystem
from ram.labels.build import build_label_system, unseen_groups
from ram.labels.resolve import Resolver, is_kind_of
from ram.labels.select import Group, SelectionParams, find_groups, read_counts, select
from ram.labels.senses import WordNetInContext
from ram.labels.vocabulary import Vocabulary, read_vocabularies
from ram.labels.wordnet import load_wordnet

VOCABULARIES = Path(__file__).parents[2] / "data" / "vocabularies"
WORDNET = load_wordnet()


def selection(**changes: int | float) -> SelectionParams:
    values: dict[str, int | float] = {"min_frequency": 2, "vocabulary_min_frequency": 1, "unknown_min_frequency": 50}
    values |= {"max_tags": 500, "min_tags_per_kind": 2}
    return SelectionParams(**(values | changes))  # type: ignore[arg-type]


def build(
    counts: dict[tuple[str, str], int], names: tuple[str, ...] = ("coco80", "lvis1203"), **changes: float
) -> LabelSystem:
    vocabularies = read_vocabularies(VOCABULARIES, names)
    wordnet = WordNetInContext(WORDNET, vocabularies)
    params = selection(**changes)
    readings, acts, _ = read_counts(counts, wordnet, params.min_reading_share)
    groups = find_groups(readings, acts, vocabularies, wordnet, merge_synonyms=True)
    kept, _ = select(groups, wordnet, params)
    return build_label_system(kept, counts, vocabularies, wordnet, merge_synonyms=True)


def objects(*names: str, count: int = 10) -> dict[tuple[str, str], int]:
    return {(name, "object"): count for name in names}


@pytest.mark.parametrize(
    ("one", "other"),
    [("bike", "bicycle"), ("couch", "sofa"), ("plane", "airplane"), ("tv", "television"), ("kid", "child"),
     ("cellphone", "cell phone"), ("car", "automobile"), ("motorbike", "motorcycle"), ("t shirt", "tshirt")],
)  # fmt: skip
def test_words_for_one_thing_are_one_tag(one: str, other: str) -> None:
    tags = build(objects(one, other))
    assert len(tags) == 1
    assert tags.find(one) is tags.find(other) is tags[0]
    assert tags[0].frequency == 20


@pytest.mark.parametrize(
    ("one", "other"),
    [("glass", "glasses"), ("dog", "hot dog"), ("bear", "teddy bear"), ("crane", "bird"),
     ("bow", "arch"), ("bat", "cricket bat"), ("man", "person"), ("cup", "mug"), ("cup", "bowl"), ("guy", "cat"),
     ("jersey", "t shirt"), ("boat", "car"), ("net", "internet")],
)  # fmt: skip
def test_words_for_two_things_stay_apart(one: str, other: str) -> None:
    tags = build(objects(one, other))
    assert len(tags) == 2
    assert tags.find(one) is not tags.find(other)


def test_spellings_of_attributes_are_merged_and_opposites_are_not() -> None:
    tags = build(
        {
            (word, "attribute"): 5
            for word in ("gray", "grey", "big", "large", "small", "little", "red", "colorful", "colourful")
        }
    )
    assert sorted(tags.names) == ["colorful", "gray", "large", "red", "small"]


def test_the_first_vocabulary_gives_the_name() -> None:
    assert build({("cellphone", "object"): 30, ("cell phone", "object"): 2})[0].name == "cell phone"


def test_parents_are_the_nearest_hypernyms_that_are_tags() -> None:
    tags = build(
        objects("man", "woman", "boy", "girl", "child", "person", "dog", "animal", "hot dog", "teddy bear", "bear")
    )
    parents = {tag.name: tag.parents for tag in tags}
    for name in ("man", "woman", "boy", "girl", "child"):
        assert parents[name] == ("person",)
    assert parents["dog"] == parents["bear"] == ("animal",)
    assert "dog" not in parents["hot dog"]
    assert "animal" not in parents["teddy bear"]


def test_parents_come_nearest_first_and_shapes_are_none() -> None:
    tags = build(objects("greyhound", "dog", "animal", "rainbow", "curve"))
    parents = {tag.name: tag.parents for tag in tags}
    assert parents["greyhound"] == ("dog", "animal")
    assert parents["rainbow"] == ()


def test_a_thing_named_by_its_kind_has_the_parents_of_its_word() -> None:
    tags = build({("duck", "object"): 10, ("duck", "action"): 30, ("bird", "object"): 9}, names=())
    thing = tags.find("duck", "object")
    assert thing is not None
    assert (thing.name, thing.parents) == ("duck (object)", ("bird",))


def test_a_female_is_a_person_and_no_word_for_every_woman() -> None:
    tags = build(objects("female", "woman", "person", "animal"))
    parents = {tag.name: tag.parents for tag in tags}
    assert parents["female"] == parents["woman"] == ("person",)


def test_a_color_leaves_the_plain_name_to_the_fruit() -> None:
    tags = build({("orange", "attribute"): 90, ("orange", "object"): 30})
    fruit, color = tags.find("orange"), tags.find("orange", "attribute")
    assert [(tag.name, tag.kind, tag.frequency) for tag in (fruit, color) if tag] == [
        ("orange", "object", 30),
        ("orange color", "attribute", 90),
    ]
    alone = build({("orange", "attribute"): 90})
    assert alone.find("orange") is None
    assert alone.find("orange", "attribute") is alone[0]


def test_a_verb_that_is_a_thing_too_is_called_by_its_gerund() -> None:
    tags = build({("swing", "object"): 20, ("swing", "action"): 30}, names=("openimages601", "ram4585", "lvis1203"))
    assert {tag.kind: tag.frequency for tag in tags} == {"object": 20, "action": 30}
    swing = tags.find("swing", "action")
    assert swing is not None
    assert swing.kind == "action"
    assert Resolver(tags, WORDNET)("swing", "object") is not swing


def test_the_noun_of_an_act_counts_for_the_act() -> None:
    tags = build({("jump", "action"): 20, ("jump", "object"): 4})
    assert [(tag.name, tag.kind, tag.frequency) for tag in tags] == [("jump", "action", 24)]
    assert Resolver(tags, WORDNET)("jump", "object") is tags[0]


def test_a_rare_reading_is_taken_for_an_error_of_the_parser() -> None:
    tags = build({("skateboard", "object"): 95, ("skateboard", "attribute"): 5})
    assert [(tag.kind, tag.frequency) for tag in tags] == [("object", 95)]
    assert Resolver(tags, WORDNET)("skateboard", "attribute") is None


def test_each_refusal_has_its_reason() -> None:
    counts = {
        ("dog", "object"): 9,
        ("picture", "object"): 9,
        ("qwertz", "object"): 9,
        ("zither", "object"): 1,
        ("tree", "object"): 5,
    }
    readings, acts, _ = read_counts(counts, WORDNET, 0.15)
    groups = find_groups(readings, acts, {}, WORDNET, merge_synonyms=True)
    kept, dropped = select(groups, WORDNET, selection(max_tags=1, min_tags_per_kind=0))
    assert [group.phrases for group in kept] == [["dog"]]
    assert {reason: [group.phrases[0] for group in groups] for reason, groups in dropped.items()} == {
        "stop_list": ["picture"], "rare": ["zither"], "unknown_word": ["qwertz"], "over_coverage": [], "over_max_tags": ["tree"],
    }  # fmt: skip


def test_the_cut_keeps_the_most_frequent_of_every_kind() -> None:
    counts = {(name, "object"): 100 for name in ("dog", "cat", "horse", "cow", "sheep")} | {("red", "attribute"): 3}
    tags = build(counts, max_tags=4, min_tags_per_kind=1)
    assert len(tags) == 4
    assert tags.find("red") is not None


@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.floats(0.05, 1))
def test_coverage_keeps_the_fewest_phrases_that_have_that_share_of_the_mentions(
    counts: list[int], share: float
) -> None:
    names = ("dog", "cat", "horse", "cow", "sheep", "tree", "car", "boat", "house")
    groups = [Group(reading="noun", phrases=[n], kinds=Counter(object=c)) for n, c in zip(names, counts, strict=False)]
    params = selection(mention_coverage=share, min_frequency=1, min_tags_per_kind=0)
    kept, dropped = select(groups, WORDNET, params)
    covered = [group.frequency for group in kept]
    assert sum(covered) >= share * sum(counts)
    assert sum(covered[:-1]) < share * sum(counts)
    assert sorted(covered + [group.frequency for group in dropped["over_coverage"]]) == sorted(counts)
    assert all(group.frequency <= covered[-1] for group in dropped["over_coverage"])


def test_coverage_spares_the_most_frequent_of_every_kind() -> None:
    counts = {("dog", "object"): 100, ("cat", "object"): 50, ("red", "attribute"): 3}
    assert build(counts, mention_coverage=0.5, min_tags_per_kind=1).names == ["dog", "red"]


def test_compounds_fall_back_to_what_they_are_a_kind_of() -> None:
    resolve = Resolver(build(objects("truck", "dog", "bear", "car", "table") | {("climb", "action"): 9}), WORDNET)
    named = {
        p: resolve(p, "object")
        for p in ("ice cream truck", "hot dog", "teddy bear", "police car", "toy car", "dining table")
    }
    assert {phrase: tag and tag.name for phrase, tag in named.items()} == {
        "ice cream truck": "truck", "hot dog": None, "teddy bear": None, "police car": "car", "toy car": None,
        "dining table": "table",
    }  # fmt: skip
    climb = resolve("climb up", "action")
    assert climb is not None
    assert climb.name == "climb"
    assert is_kind_of("sea lion", "lion", WORDNET) is False


def test_frequency_counts_the_captions_that_resolve_to_the_tag() -> None:
    counts = Counter({("truck", "object"): 10, ("ice cream truck", "object"): 3})
    assert build(counts).find("truck").frequency == 13  # type: ignore[union-attr]


def test_of_two_listed_names_the_first_in_the_list_is_the_tags() -> None:
    entries = (("zuiop",), ("qwertz",))
    vocabularies = {"all": Vocabulary(name="all", kind="noun", entries=entries)}
    group = Group(reading="noun", phrases=["qwertz", "zuiop"], kinds=Counter(object=3), vocabularies=("all",))
    (tag,) = build_label_system([group], {}, vocabularies, WORDNET, merge_synonyms=True)
    assert (tag.name, tag.synonyms) == ("zuiop", ("qwertz",))


def test_only_a_color_is_called_a_color_where_a_thing_has_the_word() -> None:
    tags = build({(word, kind): 9 for word in ("orange", "rubber") for kind in ("object", "attribute")})
    assert sorted(tag.name for tag in tags if tag.kind == "attribute") == ["orange color", "rubber (attribute)"]


def test_a_plural_gives_its_name_to_the_singular_only_where_it_is_irregular() -> None:
    def name(*phrases: str) -> str:
        group = Group(reading="noun", phrases=list(phrases), kinds=Counter(object=3))
        return build_label_system([group], {}, {}, WORDNET, merge_synonyms=False)[0].name

    assert name("feet", "foot") == "foot"
    assert name("feet") == "feet"
    assert name("scissors", "scissor") == "scissors"


def test_a_compound_that_wordnet_does_not_know_is_a_kind_of_its_last_word() -> None:
    tags = build(objects("ice cream truck", "pizza truck", "truck", "vehicle", count=60))
    for name in ("ice cream truck", "pizza truck"):
        assert tags.find(name).parents == ("truck", "vehicle")  # type: ignore[union-attr]


def test_a_tag_says_who_named_it() -> None:
    tags = build(objects("dog", "rhododendron"))
    assert [(tag.name, tag.sources) for tag in tags] == [
        ("dog", ("captions", "coco80", "lvis1203")),
        ("rhododendron", ("captions",)),
    ]


def test_a_name_that_a_group_has_already_is_not_added_again() -> None:
    vocabularies = read_vocabularies(VOCABULARIES, ["coco80"])
    known = [
        Group(reading="noun", phrases=["sofa", "couch"], kinds=Counter(object=3)),
        Group(reading="action", phrases=["train"], kinds=Counter(action=3)),  # the verb
    ]
    added = unseen_groups(known, vocabularies, WORDNET, lambda _: "object")
    names = [group.phrases[0] for group in added]
    assert len(names) == len(set(names)) == 79
    assert "couch" not in names
    assert "train" in names


def test_a_name_of_a_list_of_any_kind_is_added_in_the_reading_that_wordnet_has_of_it() -> None:
    entries = (("qwertz",), ("lanky",), ("dogs", "hounds"), ("zither",))
    vocabularies = {"all": Vocabulary(name="all", kind="any", entries=entries)}
    spoken = [Group(reading="noun", phrases=["dog"], kinds=Counter(object=3))]
    added = unseen_groups(spoken, vocabularies, WORDNET, lambda name: "scene" if name == "zither" else "object")
    found = [(group.phrases, group.reading, group.kind, group.vocabularies) for group in added]
    assert found == [
        (["qwertz"], "noun", "object", ("all",)),
        (["lanky"], "attribute", "attribute", ("all",)),
        (["zither"], "noun", "scene", ("all",)),
    ]


def test_unspoken_synonyms_are_added_only_where_synonyms_are_merged() -> None:
    vocabularies = read_vocabularies(VOCABULARIES, ["coco80"])
    groups = [Group(reading="noun", phrases=["couch"], kinds=Counter(object=3), vocabularies=("coco80",))]
    merged, apart = (
        build_label_system(groups, {("couch", "object"): 3}, vocabularies, WORDNET, merge_synonyms=merge)
        for merge in (True, False)
    )
    assert "sofa" in merged[0].synonyms
    assert apart[0].synonyms == ()


def test_unseen_names_become_tags_of_frequency_zero() -> None:
    vocabularies = read_vocabularies(VOCABULARIES, ["coco80", "hico117"])
    tags = build_label_system(
        unseen_groups([], vocabularies, WORDNET, lambda _: "object"), {}, vocabularies, WORDNET, merge_synonyms=True
    )
    assert all(tags.find(entry[0]) for v in vocabularies.values() for entry in v.entries)
    assert {tag.frequency for tag in tags} == {0}
    assert all("captions" not in tag.sources for tag in tags)
    assert {tag.kind for tag in tags if tag.sources == ("hico117",)} == {"action"}
    assert {tag.kind for tag in tags if tag.sources == ("coco80",)} == {"object"}


@pytest.mark.parametrize(
    "changes",
    [
        {"min_frequency": 0},
        {"vocabulary_min_frequency": 9},
        {"max_tags": 0},
        {"min_reading_share": 0.7},
        {"mention_coverage": 0.0},
    ],
)
def test_impossible_selections_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        selection(**changes)
