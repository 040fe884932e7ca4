from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.stage_graph import BadInput, StageFailed, expand, outcome, read_graph, repro, select, without

GRAPH = {"a": set(), "b@x": {"a"}, "b@y": {"a"}, "c": {"b@x"}, "d": set()}


def _write(out: str, text: str = "1") -> dict:
    return {"cmd": f"python -c \"open('{out}','w').write('{text}')\"", "outs": [out]}


def test_the_graph_is_that_of_dvc_in_the_order_of_the_file(dvc_project: Callable[..., Path]) -> None:
    stages = {
        "last": {**_write("c.txt"), "deps": ["b-x.txt"]},
        "middle": {"foreach": ["x", "y"], "do": {**_write("b-${item}.txt"), "deps": ["a.txt"]}},
        "first": {**_write("a.txt"), "deps": ["in.txt"]},
    }
    graph = read_graph(dvc_project(stages))
    assert graph == {"last": {"middle@x"}, "middle@x": {"first"}, "middle@y": {"first"}, "first": set()}
    assert list(graph) == ["last", "middle@x", "middle@y", "first"]


@pytest.mark.parametrize(
    ("targets", "chosen"),
    [
        (None, "a b@x b@y c d"),
        (["c"], "a b@x c"),
        (["b"], "a b@x b@y"),
        (["d", "b@y"], "a b@y d"),
    ],
)
def test_targets_choose_all_they_need_and_keep_the_order(targets: list[str] | None, chosen: str) -> None:
    assert list(select(GRAPH, targets)) == chosen.split()


@pytest.mark.parametrize(
    ("targets", "first", "chosen"),
    [(None, "b@x", "b@x c"), (None, "b", "b@x b@y c"), (["c"], "a", "a b@x c"), (["b@x"], "b", "b@x")],
)
def test_from_a_stage_on_only_what_follows_from_it_is_chosen(
    targets: list[str] | None, first: str, chosen: str
) -> None:
    part = select(GRAPH, targets, first)
    assert list(part) == chosen.split()
    assert all(upstream <= part.keys() for upstream in part.values())


def test_a_target_that_does_not_follow_from_the_first_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="d does not follow from b; there is nothing to run"):
        select(GRAPH, ["d"], "b")


def test_nothing_waits_for_a_stage_that_is_left_as_it_is() -> None:
    assert without(GRAPH, {"a"}) == {"b@x": set(), "b@y": set(), "c": {"b@x"}, "d": set()}


@pytest.mark.parametrize(("status", "kind"), [(1, StageFailed), (2, BadInput), (137, StageFailed)])
def test_bad_input_is_told_from_what_may_pass_by_the_exit_status(
    status: int, kind: type[StageFailed], dvc_project: Callable[..., Path]
) -> None:
    workspace = dvc_project({"a": {"cmd": f"exit {status}", "outs": ["out"]}})
    with pytest.raises(StageFailed) as caught:
        repro(workspace, "a", lambda line: None)
    assert type(caught.value) is kind


def test_an_unknown_stage_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no stage 'e' in dvc\.yaml; it has a, b@x, b@y, c, d"):
        expand(GRAPH, ["a", "e"])


def test_a_stage_runs_then_is_cached_then_restored(dvc_project: Callable[..., Path]) -> None:
    workspace = dvc_project({"copy": {"cmd": "cp in.txt out.txt", "deps": ["in.txt"], "outs": ["out.txt"]}})
    (workspace / "in.txt").write_text("one")
    lines: list[str] = []
    assert repro(workspace, "copy", lines.append).outcome == "Ran"
    assert "> cp in.txt out.txt" in lines
    assert repro(workspace, "copy", lines.append).outcome == "Cached"
    (workspace / "dvc.lock").unlink()
    (workspace / "out.txt").unlink()
    assert repro(workspace, "copy", lines.append).outcome == "Restored"
    assert (workspace / "out.txt").read_text() == "one"
    assert repro(workspace, "copy", lines.append, force=True).outcome == "Ran"


def test_a_stage_that_fails_says_what_it_printed_last(dvc_project: Callable[..., Path]) -> None:
    code = "print('working'); raise ValueError('no captions')"
    workspace = dvc_project({"broken": {"cmd": f'python -c "{code}"', "outs": ["out.txt"]}})
    with pytest.raises(StageFailed) as caught:
        repro(workspace, "broken", lambda line: None)
    first, *tail = str(caught.value).splitlines()
    assert first.startswith("stage broken failed after")
    assert tail[0] == "working"
    assert tail[-1] == "ValueError: no captions"


def test_a_stage_that_takes_too_long_is_stopped(dvc_project: Callable[..., Path]) -> None:
    workspace = dvc_project({"slow": {"cmd": "sleep 60", "outs": ["out.txt"]}})
    with pytest.raises(StageFailed, match="stage slow was stopped: it took longer than 4 s"):
        repro(workspace, "slow", lambda line: None, timeout_s=4)


def test_words_of_another_stage_are_not_taken_for_this_one() -> None:
    with pytest.raises(AssertionError, match="nothing known about a"):
        outcome("a", ["Running stage 'ab':"])
