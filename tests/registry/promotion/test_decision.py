from __future__ import annotations

from pathlib import Path

import pytest

from ram.registry.promotion.decision import PAGE_PATH, as_page, as_sentence, complete, make_decision, record
from ram.registry.promotion.rules import Candidate, Finding

RULES = [
    Finding(rule="minimum", passed=True, detail="0.4 against 0.3"),
    Finding(rule="better", passed=False, detail="<b>0.4</b> against 0.5"),
]
CANDIDATE = Candidate(version="2", metrics={"coco/mAP": 0.4}, evaluation_sets={})


@pytest.mark.parametrize(
    ("outcome", "champion", "previous", "said"),
    [
        ("first", "2", None, "version 2 is the first champion"),
        ("promoted", "2", "1", "version 2 is the champion now, in place of version 1"),
        ("refused", None, None, "version 2 was refused; the champion stays none"),
        ("unchanged", "2", "2", "version 2 is the champion already"),
        ("rolled_back", "1", "2", "version 2 was taken back; the champion is version 1 again"),
    ],
)
def test_every_outcome_is_a_sentence(outcome: str, champion: str | None, previous: str | None, said: str) -> None:
    assert as_sentence(make_decision(outcome, "2", champion, previous, RULES[:1])) == said
    with_failure = as_sentence(make_decision(outcome, "2", champion, previous, RULES))
    assert with_failure == f"{said} (better: <b>0.4</b> against 0.5)"


def test_what_a_rule_says_is_text_in_the_page_and_a_person_who_overrode_is_named() -> None:
    decision = {**make_decision("promoted", "2", "2", "1", RULES), "decided_at": "2030-01-02T03:04:05"}
    page = as_page({**decision, "override": "half the <size>"})
    assert "&lt;b&gt;0.4&lt;/b&gt; against 0.5" in page
    assert "half the &lt;size&gt;" in page
    assert "by a person" not in as_page({**decision, "override": None})
    assert "http" not in page


def test_a_decision_taken_before_keeps_its_time_and_is_not_new(tmp_path: Path) -> None:
    decision = complete(make_decision("refused", "2", "1", "1", RULES), CANDIDATE, None)
    assert decision["metrics"] == {"coco/mAP": 0.4}
    first, new = record(tmp_path, decision)
    again, new_again = record(tmp_path, decision)
    assert (new, new_again) == (True, False)
    assert again == first
    other, new_other = record(tmp_path, {**decision, "outcome": "promoted"})
    assert new_other
    assert other["path"] != first["path"]
    assert "is the champion now" in (tmp_path / PAGE_PATH).read_text()
