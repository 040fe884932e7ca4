from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ram.io.tables import Table, write_table
from ram.labels import LabelSystem
from ram.labels.select import SelectionParams
from ram.pipeline.catalog import CATALOG
from ram.stages.build_label_system import Inputs, Outputs, Params, count_phrases, run

VOCABULARIES = Path(__file__).parents[2] / "data" / "vocabularies"


def phrases_table(directory: Path, counts: dict[tuple[str, str, str], int]) -> Table:
    schema = CATALOG["caption_phrases"].schema
    rows = [
        {"image_id": f"s/{i}", "split": split, "caption_index": 0, "phrase": phrase, "kind": kind}
        for (split, phrase, kind), count in counts.items()
        for i in range(count)
    ]
    write_table(rows, directory, schema)
    return Table(directory, schema)


COUNTS = {
    ("train", "dog", "object"): 5,
    ("train", "couch", "object"): 2,
    ("train", "sofa", "object"): 1,
    ("train", "red", "attribute"): 4,
    ("train", "run", "action"): 4,
    ("train", "beach", "scene"): 4,
    ("train", "zyzzx", "object"): 4,
    ("train", "wombat", "object"): 1,
    ("test", "zebra", "object"): 9,
}


def built(
    tmp_path: Path, *, unseen: bool = False, min_frequency: int = 3, vocabularies: Path = VOCABULARIES
) -> Outputs:
    selection = SelectionParams(
        min_frequency=min_frequency,
        vocabulary_min_frequency=min(2, min_frequency),
        unknown_min_frequency=9,
        max_tags=100,
        min_tags_per_kind=1,
    )
    params = Params(
        vocabularies=("coco80",), selection=selection, merge_synonyms=True, review="review.csv", add_unseen_names=unseen
    )
    return run(Inputs(caption_phrases=phrases_table(tmp_path, COUNTS), vocabularies=vocabularies), params)


def test_only_captions_of_split_train_count(tmp_path: Path) -> None:
    counts = count_phrases(phrases_table(tmp_path, COUNTS))
    assert counts == {(phrase, kind): n for (split, phrase, kind), n in COUNTS.items() if split == "train"}


def test_frequent_phrases_become_tags_and_the_report_tells_the_rest(tmp_path: Path) -> None:
    outputs = built(tmp_path)
    tags = LabelSystem.from_json(outputs.label_system)
    assert {tag.name: (tag.kind, tag.frequency) for tag in tags} == {
        "dog": ("object", 5), "couch": ("object", 3), "red": ("attribute", 4), "run": ("action", 4),
        "beach": ("scene", 4),
    }  # fmt: skip
    assert tags.find("sofa") is tags.find("couch")
    assert tags.find("dog").sources == ("captions", "coco80")  # type: ignore[union-attr]
    report = outputs.label_system_report
    json.dumps(report, allow_nan=False)
    assert report["num_tags_by_kind"] == {"object": 2, "scene": 1, "attribute": 1, "action": 1}
    assert report["num_tags_by_source"] == {"captions": 5, "coco80": 2}
    coco = report["coverage"]["coco80"]
    assert (coco["num_names"], coco["num_exact"], coco["num_synonym"], coco["num_missing"]) == (80, 2, 0, 78)
    assert (coco["num_mentions"], coco["mention_share"]) == (7, 1.0)
    assert report["dropped"]["unknown_word"]["top"] == [["zyzzx", 4]]
    assert report["dropped"]["rare"]["top"] == [["wombat", 1]]
    assert report["num_mentions"] == 25
    assert report["num_mentions_tagged"] == 20


def test_unseen_names_are_added_on_request(tmp_path: Path) -> None:
    outputs = built(tmp_path, unseen=True)
    assert outputs.label_system_report["coverage"]["coco80"]["share"] == 1
    zebra = LabelSystem.from_json(outputs.label_system).find("zebra")
    assert zebra is not None
    assert (zebra.frequency, zebra.sources) == (0, ("coco80",))


def test_no_tags_at_all_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="min_frequency"):
        run(
            Inputs(caption_phrases=phrases_table(tmp_path, {("test", "dog", "object"): 3}), vocabularies=VOCABULARIES),
            Params(
                vocabularies=(),
                selection=SelectionParams(
                    min_frequency=3,
                    vocabulary_min_frequency=3,
                    unknown_min_frequency=3,
                    max_tags=10,
                    min_tags_per_kind=0,
                ),
                merge_synonyms=False,
                review=None,
                add_unseen_names=False,
            ),
        )


def reviewed(tmp_path: Path, *lines: str) -> Outputs:
    vocabularies = tmp_path / "vocabularies"
    vocabularies.mkdir()
    shutil.copyfile(VOCABULARIES / "coco80.txt", vocabularies / "coco80.txt")
    review = vocabularies / "review.csv"
    review.write_text("decision,action,tag,value\n" + "".join(f"{line}\n" for line in lines))
    before = review.read_bytes()
    outputs = built(tmp_path / "work", vocabularies=vocabularies)
    assert review.read_bytes() == before
    return outputs


def test_a_person_s_decisions_are_applied_and_counted(tmp_path: Path) -> None:
    outputs = reviewed(
        tmp_path,
        "accept,keep,zyzzx,scene",
        "accept,keep,zebra,object",
        "accept,merge,red,dog",
        "accept,rename,couch,sofa",
        "accept,drop,beach,",
        "accept,drop,wombat,",
        "reject,drop,run,",
        ",drop,dog,",
    )
    tags = {tag.name: (tag.kind, tag.frequency) for tag in LabelSystem.from_json(outputs.label_system)}
    assert tags == {
        "dog": ("object", 5), "sofa": ("object", 3), "run": ("action", 4), "zyzzx": ("scene", 4), "zebra": ("object", 0),
    }  # fmt: skip
    assert outputs.label_system_report["review"] == {
        "num_accepted": 6, "num_rejected": 1, "num_undecided": 1,
        "without_effect": ["review.csv:7: drop 'wombat'"],
    }  # fmt: skip


def test_parents_are_found_anew_after_a_review(tmp_path: Path) -> None:
    outputs = reviewed(tmp_path, "accept,keep,animal,object", "accept,rename,dog,hound")
    hound = LabelSystem.from_json(outputs.label_system).find("hound")
    assert hound is not None
    assert (hound.parents, hound.synonyms) == (("animal",), ("dog",))


def test_a_wrong_row_stops_the_build_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"review\.csv:2: merge 'dog' into 'unicorn': there is no tag 'unicorn'"):
        reviewed(tmp_path, "accept,merge,dog,unicorn")


def test_phrases_that_were_dropped_are_among_the_suggestions(tmp_path: Path) -> None:
    suggested = built(tmp_path).label_suggestions
    kept = suggested[suggested["action"] == "keep"]
    assert set(kept["tag"]) == {"zyzzx", "wombat"}
    assert set(kept["decision"]) == {""}


def test_the_same_captions_give_the_same_version(tmp_path: Path) -> None:
    first, second = built(tmp_path / "a"), built(tmp_path / "b")
    assert first.label_system == second.label_system
