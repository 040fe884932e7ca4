from __future__ import annotations

from collections import Counter

import pytest

from ram.labels.select import Group, Listing, SelectionParams, find_groups, likely_readings, read_counts, select
from ram.labels.vocabulary import Vocabulary
from ram.labels.wordnet import load_wordnet

WORDNET = load_wordnet()
READING_OF = {"object": "noun", "attribute": "attribute", "action": "action"}
PARAMS = SelectionParams(
    min_frequency=5, vocabulary_min_frequency=2, unknown_min_frequency=50, max_tags=500, min_tags_per_kind=0
)


def group(phrase: str, count: int, kind: str = "object", *vocabularies: str) -> Group:
    return Group(reading=READING_OF[kind], phrases=[phrase], kinds=Counter({kind: count}), vocabularies=vocabularies)


def fate(one: Group, params: SelectionParams = PARAMS) -> str | None:
    """The reason why it is dropped; None: it is kept."""
    kept, dropped = select([one], WORDNET, params)
    assert len(kept) + sum(map(len, dropped.values())) == 1
    return next((reason for reason, groups in dropped.items() if groups), None)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (group("dog", 5), None),
        (group("dog", 4), "rare"),
        (group("dog", 2, "object", "coco80"), None),
        (group("dog", 1, "object", "coco80"), "rare"),
        (group("qwertz", 50), None),
        (group("qwertz", 49), "unknown_word"),
        (group("qwertz", 49, "object", "coco80"), None),
        (group("qwertz board", 50), None),
        (group("qwertz up", 500, "action"), "unknown_word"),
        (group("qwertz up", 500, "action", "hico117"), None),
        (group("qwertz", 50, "action"), None),
        (group("qwertzed", 5, "attribute"), None),  # a participle that WordNet has no adjective for
        (group("qwertzing", 5, "attribute"), None),
        (group("qwertzed", 5, "object"), "unknown_word"),
        (group("wedding", 5, "attribute"), "unknown_word"),  # no participle but a noun
        (group("picture", 500), "stop_list"),
    ],
)
def test_what_becomes_a_tag_depends_on_frequency_and_on_who_knows_the_phrase(one: Group, expected: str | None) -> None:
    assert fate(one) == expected


def test_what_a_person_wants_becomes_a_tag_whatever_the_rules_say() -> None:
    groups = [group("dog", 9), group("qwertz", 1), group("swing", 3, "action")]
    keep = {"qwertz": "object", "swing": "object", "zeppelin": "object", "crimson": "attribute"}
    kept, dropped = select(groups, WORDNET, PARAMS, keep)
    found = {(g.phrases[0], g.reading): (g.frequency, g.kind, g.wanted) for g in kept}
    assert found == {
        ("dog", "noun"): (9, "object", False),
        ("qwertz", "noun"): (1, "object", True),
        ("swing", "noun"): (0, "object", True),  # captions have the verb alone
        ("zeppelin", "noun"): (0, "object", True),
        ("crimson", "attribute"): (0, "attribute", True),
    }
    assert [g.phrases for g in dropped["rare"]] == [["swing"]]


def test_one_known_or_wanted_phrase_is_enough_for_a_group() -> None:
    pair = Group(reading="noun", phrases=["qwertz", "dog"], kinds=Counter(object=5))
    assert fate(pair) is None
    rare = Group(reading="noun", phrases=["couch", "sofa"], kinds=Counter(object=1))
    (kept,), _ = select([rare], WORDNET, PARAMS, keep={"sofa": "object"})
    assert (kept.phrases, kept.wanted) == (["couch", "sofa"], True)


def test_coverage_is_reached_by_exactly_its_share() -> None:
    values = {name: getattr(PARAMS, name) for name in PARAMS.__dataclass_fields__}
    kept, dropped = select(
        [group("dog", 6), group("cat", 6)], WORDNET, SelectionParams(**values | {"mention_coverage": 0.5})
    )
    assert [g.phrases[0] for g in kept] == ["cat"]
    assert [g.phrases[0] for g in dropped["over_coverage"]] == ["dog"]


def test_kept_groups_come_by_frequency_and_then_by_name() -> None:
    groups = [group("cat", 7), group("red", 9, "attribute"), group("ant", 7), group("dog", 8)]
    kept, _ = select(groups, WORDNET, PARAMS)
    assert [g.phrases[0] for g in kept] == ["red", "dog", "ant", "cat"]


def test_a_group_is_of_the_kind_that_most_captions_mean() -> None:
    assert Group(reading="noun", phrases=["beach"], kinds=Counter(object=3, scene=4)).kind == "scene"
    assert Group(reading="noun", phrases=["beach"], kinds=Counter(object=4, scene=4)).kind == "object"
    assert Group(reading="noun", phrases=["beach"], kinds=Counter()).kind == "object"


def test_a_name_that_wordnet_does_not_know_is_taken_for_a_thing() -> None:
    assert likely_readings("qwertz", WORDNET) == ("noun",)
    assert set(likely_readings("swing", WORDNET)) == {"noun", "action"}
    assert likely_readings("zither", WORDNET) == ("noun",)


def test_a_list_names_its_plurals_in_its_own_reading() -> None:
    vocabularies = {
        "things": Vocabulary(name="things", kind="noun", entries=(("dogs", "hounds"),)),
        "acts": Vocabulary(name="acts", kind="action", entries=(("swing",),)),
        "all": Vocabulary(name="all", kind="any", entries=(("swing",), ("qwertz",))),
    }
    listing = Listing(vocabularies, WORDNET)
    assert [listing.of(phrase, "noun") for phrase in ("dogs", "dog", "hound", "cat")] == [["things"]] * 3 + [[]]
    assert listing.of("swing", "action") == ["acts", "all"]
    assert listing.of("swing", "noun") == ["all"]
    assert listing.of("qwertz", "noun") == ["all"]
    assert listing.of("qwertz", "action") == []


def test_a_noun_joins_its_verb_where_it_is_an_act_and_no_commoner() -> None:
    def read(nouns: int, verbs: int, word: str) -> tuple[dict[str, int], set[str]]:
        readings, acts, _ = read_counts({(word, "object"): nouns, (word, "action"): verbs}, WORDNET, 0.0)
        counts = {name: by_phrase[word].total() for name, by_phrase in readings.items() if word in by_phrase}
        return counts, acts

    assert read(4, 4, "jump") == ({"action": 8}, {"jump"})
    assert read(5, 4, "jump") == ({"noun": 5, "action": 4}, set())
    assert read(4, 4, "dog") == ({"noun": 4, "action": 4}, set())  # an animal first
    assert read(4, 4, "kick") == ({"action": 8}, {"kick"})  # an act first, a feeling second
    assert read(4, 4, "drink") == ({"noun": 4, "action": 4}, set())  # food first, an act second
    assert read(4, 4, "qwertz") == ({"action": 8}, {"qwertz"})  # WordNet has no noun


def test_a_reading_below_its_share_is_left_out_and_counted() -> None:
    counts = {("orange", "object"): 85, ("orange", "attribute"): 15, ("table", "object"): 86, ("table", "action"): 14}
    readings, _, minor = read_counts(counts, WORDNET, 0.15)
    assert readings["attribute"]["orange"].total() == 15
    assert "table" not in readings["action"]
    assert minor == {"table": 14}


def test_synonyms_are_one_group_only_where_that_is_asked_for() -> None:
    readings, acts, _ = read_counts({("couch", "object"): 3, ("sofa", "object"): 5}, WORDNET, 0.0)
    vocabularies = {"furniture": Vocabulary(name="furniture", kind="noun", entries=(("couch",),))}
    (one,) = find_groups(readings, acts, vocabularies, WORDNET, merge_synonyms=True)
    assert (one.phrases, one.frequency, one.vocabularies) == (["sofa", "couch"], 8, ("furniture",))
    apart = find_groups(readings, acts, vocabularies, WORDNET, merge_synonyms=False)
    assert [(g.phrases, g.vocabularies) for g in apart] == [(["sofa"], ()), (["couch"], ("furniture",))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tags": 7, "min_tags_per_kind": 2}, "hold 4 x min_tags_per_kind; got 7 and 2"),
        ({"max_tags": 0}, "max_tags must be at least 1"),
        ({"min_tags_per_kind": -1}, "max_tags must be at least 1 and hold"),
        ({"vocabulary_min_frequency": 0}, "got 0, 5, 50"),
        ({"unknown_min_frequency": 4}, "got 2, 5, 4"),
        ({"mention_coverage": 1.01}, r"mention_coverage must be in \(0, 1\] or null, got 1.01"),
        ({"min_reading_share": 0.5}, r"min_reading_share must be in \[0, 0.5\), got 0.5"),
        ({"min_reading_share": -0.1}, r"min_reading_share must be in \[0, 0.5\), got -0.1"),
    ],
)
def test_bounds_of_a_selection(changes: dict[str, float], message: str) -> None:
    values = {name: getattr(PARAMS, name) for name in PARAMS.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        SelectionParams(**(values | changes))


def test_selections_at_their_bounds_are_possible() -> None:
    params = SelectionParams(
        min_frequency=1, vocabulary_min_frequency=1, unknown_min_frequency=1, max_tags=8, min_tags_per_kind=2,
        mention_coverage=1.0, min_reading_share=0.0,
    )  # fmt: skip
    assert fate(group("qwertz", 1), params) is None


def test_room_goes_to_the_most_frequent_after_each_kind_has_its_share() -> None:
    groups = [group(w, c) for w, c in (("dog", 90), ("cat", 80), ("cow", 70), ("hen", 60))]
    groups += [group("red", 9, "attribute"), group("tall", 8, "attribute"), group("wide", 7, "attribute")]
    params = SelectionParams(
        min_frequency=1, vocabulary_min_frequency=1, unknown_min_frequency=1, max_tags=5, min_tags_per_kind=1
    )
    kept, dropped = select(groups, WORDNET, params)
    assert [g.phrases[0] for g in kept] == ["dog", "cat", "cow", "hen", "red"]
    assert [g.phrases[0] for g in dropped["over_max_tags"]] == ["tall", "wide"]
    kept, dropped = select(groups, WORDNET, params, keep={"wide": "attribute"})
    assert [g.phrases[0] for g in kept] == ["dog", "cat", "cow", "red", "wide"]
    assert [g.phrases[0] for g in dropped["over_max_tags"]] == ["hen", "tall"]
