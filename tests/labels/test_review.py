from __future__ import annotations

from pathlib import Path

import pytest

from ram.labels import LabelSystem, Tag
from ram.labels.review import COLUMNS, add_suggestions, apply_review, kept_phrases, read_review

HEADER = "decision,action,tag,value\n"
TAGS = [
    Tag(tag_id=0, name="couch", synonyms=("sofa", "settee"), sources=("captions", "coco80"), frequency=9),
    Tag(tag_id=1, name="divan", synonyms=("day bed",), sources=("captions", "lvis1203"), frequency=2),
    Tag(tag_id=2, name="beach", frequency=5),
    Tag(tag_id=3, name="help", frequency=3),
]
KNOWN = {"couch", "sofa", "settee", "divan", "day bed", "beach", "help", "coach", "ottoman"}


def review(tmp_path: Path, *lines: str) -> list:
    path = tmp_path / "review.csv"
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return read_review(path)


def applied(tmp_path: Path, *lines: str) -> dict[str, tuple[str, ...]]:
    tags, _ = apply_review(TAGS, review(tmp_path, *lines), KNOWN)
    return {tag.name: tag.synonyms for tag in LabelSystem(tags)}


BEFORE = {tag.name: tag.synonyms for tag in TAGS}


def test_without_a_file_or_a_decision_nothing_changes(tmp_path: Path) -> None:
    assert read_review(tmp_path / "absent.csv") == []
    assert applied(tmp_path) == BEFORE
    assert applied(tmp_path, ",merge,divan,couch", "reject,drop,beach,") == BEFORE


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("accept,merge,divan,couch", {"couch": ("sofa", "settee", "divan", "day bed"), "divan": None}),
        ("accept,merge,divan,sofa", {"couch": ("sofa", "settee", "divan", "day bed"), "divan": None}),
        ("accept,merge,Ottoman,divan", {"divan": ("day bed", "ottoman")}),  # a phrase that is no tag
        ("accept,split,couch,settee/sofa", {"couch": (), "settee": ("sofa",)}),
        ("accept,rename,couch,Sofa", {"couch": None, "sofa": ("couch", "settee")}),
        ("accept,rename,couch,seat", {"couch": None, "seat": ("couch", "sofa", "settee")}),
        ("accept,drop,help,", {"help": None}),
    ],
)
def test_accepted_rows_take_effect(tmp_path: Path, line: str, changes: dict) -> None:
    wanted = {name: synonyms for name, synonyms in (BEFORE | changes).items() if synonyms is not None}
    assert applied(tmp_path, line) == wanted


def test_a_kind_is_changed_and_sources_are_joined(tmp_path: Path) -> None:
    rows = review(tmp_path, "accept,kind,beach,scene", "accept,merge,divan,couch")
    tags = {tag.name: tag for tag in apply_review(TAGS, rows, KNOWN)[0]}
    assert tags["beach"].kind == "scene"
    assert tags["couch"].sources == ("captions", "coco80", "lvis1203")


def test_rows_on_one_tag_go_together_in_any_order(tmp_path: Path) -> None:
    lines = [
        "accept,rename,couch,seat",
        "accept,merge,divan,seat",
        "accept,split,couch,settee",
        "accept,kind,seat,scene",
    ]
    for order in (lines, lines[::-1]):
        assert applied(tmp_path, *order) == {
            "seat": ("couch", "sofa", "divan", "day bed"), "beach": (), "help": (), "settee": (),
        }  # fmt: skip


def test_a_row_on_what_is_no_tag_now_has_no_effect_and_is_told(tmp_path: Path) -> None:
    tags, idle = apply_review(TAGS, review(tmp_path, "accept,drop,ottoman,", "accept,kind,sofa,scene"), KNOWN)
    assert tags == TAGS
    assert [row.where for row in idle] == ["review.csv:2", "review.csv:3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("accept,merge,divan,cuoch", r"review.csv:2: merge 'divan' into 'cuoch': there is no tag 'cuoch'; name a tag"),
        ("accept,merge,couch,sofa", "that is the tag itself; name another"),
        ("accept,drop,dvian,", "no tag, caption, vocabulary or dictionary has 'dvian'; correct its spelling"),
        ("accept,rename,divan,settee", "'settee' means tag 'couch' already; merge the two"),
        ("accept,split,couch,bench", "'bench' is no synonym of 'couch'; choose of its synonyms: sofa, settee"),
    ],
)
def test_rows_that_do_not_fit_the_tags_are_refused_with_the_remedy(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        applied(tmp_path, line)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["yes,drop,help,"], r"review.csv:2: decision 'yes' is none of accept, reject or nothing; write"),
        (["accept,remove,help,"], "action 'remove' is none of keep, merge, split, rename, drop, kind; write"),
        (["accept,,help,"], "action '' is none of"),
        (["accept,drop,,"], "tag is empty"),
        (["accept,drop,help,x"], "value 'x' has no meaning for drop; leave it empty"),
        (["accept,merge,help,"], "for merge, write the tag to merge into"),
        (["accept,kind,help,thing"], "value 'thing' is no kind; for kind, write one of object"),
        (
            ["accept,drop,help,", "accept,rename,help,aid"],
            r"review.csv:3: rename .* contradicts review.csv:2: drop 'help'",
        ),
        (["accept,merge,a,b", "accept,merge,a,c"], "contradicts .* one fate, so reject one"),
        (["accept,kind,a,scene", "accept,kind,A,object"], "contradicts"),
        (["accept,merge,a,b", "accept,merge,b,c"], "review.csv:3 says merge 'b' into 'c'; merge into 'c' instead"),
        (["accept,merge,a,b", "accept,drop,b,"], "review.csv:3 says drop 'b'; reject one of the two"),
    ],
)
def test_malformed_and_contradicting_rows_are_refused_with_their_lines(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        review(tmp_path, *lines)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        review(tmp_path, "yes,drop,help,", ",,,", "accept,remove,help,")
    assert str(error.value).count("review.csv:") == 2


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "review.csv").write_text("tag,value\n")
    with pytest.raises(ValueError, match=r"has the columns decision, action, tag, value; add \['action', 'decision'\]"):
        read_review(tmp_path / "review.csv")


def test_kept_phrases_must_be_known(tmp_path: Path) -> None:
    assert kept_phrases(review(tmp_path, "accept,keep,Coach,object", ",keep,x,object"), KNOWN) == {"coach": "object"}
    with pytest.raises(
        ValueError, match=r"review.csv:2: .* no caption, vocabulary or dictionary has 'x'; correct its spelling"
    ):
        kept_phrases(review(tmp_path, "accept,keep,x,object"), KNOWN)


def suggestion(action: str, tag: str, value: str, reason: str = "near spelling") -> dict[str, str]:
    return {"decision": "", "action": action, "tag": tag, "value": value, "reason": reason, "evidence": "", "note": ""}


def test_suggestions_are_appended_once_and_every_row_of_the_person_stays(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    assert add_suggestions(path, [suggestion("merge", "sofa", "couch"), suggestion("", "bow", "", "ambiguous")]) == 2
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    edited = path.read_text().replace(",,bow,,", "accept,drop,bow,,").rstrip("\n") + '\nreject,drop,"dog",,mine,,"a, b"'
    path.write_text(edited)
    again = [
        suggestion("merge", "couch", "sofa", "close embeddings"),  # the same two
        suggestion("", "bow", "", "ambiguous"),  # decided, by another action
        suggestion("split", "motorcycle", "minibike", "WordNet disagrees"),
        suggestion("split", "motorcycle", "moped", "WordNet disagrees"),
    ]
    assert add_suggestions(path, again) == 2
    assert add_suggestions(path, again) == 0
    assert path.read_text().startswith(edited)
    assert [row.decision for row in read_review(path)] == ["", "accept", "reject", "", ""]


def test_suggestions_follow_the_columns_of_the_person_s_file(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("note,tag,value,action,decision\nhello,help,,drop,accept\n")
    add_suggestions(path, [suggestion("merge", "sofa", "couch")])
    assert path.read_text() == "note,tag,value,action,decision\nhello,help,,drop,accept\n,sofa,couch,merge,\n"


def test_a_file_in_another_encoding_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "review.csv").write_bytes("decision,action,tag,value\naccept,drop,café,\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"not UTF-8: .* save it as CSV in UTF-8"):
        read_review(tmp_path / "review.csv")
