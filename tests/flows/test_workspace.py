from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flows.workspace import use_recipe, workspace_alone


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir()
    for name in ("one", "two"):
        (tmp_path / "recipes" / f"{name}.yaml").write_text(f"name: {name}\n")
    return tmp_path


def test_a_recipe_becomes_the_active_one_and_params_of_no_recipe_are_kept(workspace: Path) -> None:
    said: list[str] = []

    def use(name: str) -> str:
        use_recipe(workspace, name, lambda text, *values: said.append(text % values))
        return (workspace / "params.yaml").read_text()

    assert use("one") == "name: one\n"
    assert use("two") == "name: two\n"
    assert not (workspace / ".state").exists()
    (workspace / "params.yaml").write_text("name: mine\n")
    said.clear()
    assert use("two") == "name: two\n"
    assert (workspace / ".state" / "params.yaml.before").read_text() == "name: mine\n"
    assert len(said) == 2
    use("two")
    assert len(said) == 2
    with pytest.raises(ValueError, match="no recipe 'three'; known: one, two"):
        use("three")


def test_a_second_run_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    order: list[str] = []
    waiting, done = threading.Event(), threading.Event()

    def second() -> None:
        with workspace_alone(tmp_path, lambda *_: waiting.set()):
            order.append("second")
        done.set()

    with workspace_alone(tmp_path, pytest.fail):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    assert done.wait(30)
    thread.join()
    assert order == ["first", "second"]
