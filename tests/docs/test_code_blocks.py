"""Every block of code in the README and in docs/ is run, or read by what it is written for; and what they name exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from code_blocks import PAGES, ROOT, Block, blocks_of, commands_of, file_of, prose_of
from command_lines import wrong_with
from typer.testing import CliRunner

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON_PAGES = sorted({block.page for block in BLOCKS if block.language == "python"})
LANGUAGES = {"bash", "python", "yaml", "text"}  # text: what is printed, trees, drawings
MAX_NOT_RUN = 3

# Pages whose blocks of Python, or whose commands, another test runs as they stand.
RUN_ELSEWHERE = {
    "docs/tagging.md": "tests/finetuning/test_tagging_docs.py",
    "docs/finetune.md": "tests/finetuning/test_finetune.py",
    "docs/evaluate.md": "tests/cli/test_evaluate.py",
}
# Commands that are run, on every other page, besides being read.
CHEAP = ("tag", "recipe list", "recipe use", "labels show")


def of(language: str, page: str | None = None) -> list[Block]:
    return [b for b in BLOCKS if b.language == language and b.not_run is None and page in (None, b.page)]


def test_every_block_says_what_language_it_is_in_and_code_stands_in_blocks() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES, [str(b) for b in BLOCKS if b.language not in LANGUAGES]
    for page in PAGES:
        indented = re.findall(r"\n\n(    \S.*)", prose_of(page))
        assert not indented, f"{page.name}: put the code into a block: {indented[0]}"


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = [block for block in BLOCKS if block.not_run is not None]
    assert all(len(block.not_run or "") > 20 for block in left_out)
    assert len(left_out) <= MAX_NOT_RUN, [str(block) for block in left_out]
    markers = sum(page.read_text(encoding="utf-8").count("<!-- not run:") for page in PAGES)
    assert markers == len(left_out), "a marker stands on the line before its block"


def test_what_other_tests_run_they_name() -> None:
    for page, test in RUN_ELSEWHERE.items():
        assert f'"docs" / "{Path(page).name}"' in (ROOT / test).read_text(encoding="utf-8")


COMMANDS = [(str(block), words) for block in of("bash") for words in commands_of(block.text)]
WRONG = [
    "ram tag", "ram tag a.jpg --nope", "ram labels nope", "ram nope", "python -m ram stage", "python -m benchmarks.nope",
    "python -m flows.pipeline --from-stage nope", "python -m flows.deployments now", "dvc nope", "dvc repro nope",
    "dvc exp run -S clean_tags.nope=1", "mlflow ui --nope", "prefect worker start --nope", "make nope",
    "prefect deployment run pipeline/pipeline -p nope=1", "torchrun -m ram stag", "pip install ram-tagger[nope]", "nope",
]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> list[str | None]:
    """What is wrong with each of COMMANDS and WRONG: one process imports all the command lines."""
    return wrong_with([*(words for _, words in COMMANDS), *map(shlex.split, WRONG)])


def test_the_programs_of_every_command_line_take_it(answers: list[str | None]) -> None:
    assert len(COMMANDS) > 60
    pairs = zip(COMMANDS, answers, strict=False)
    wrong = [f"{where}: {' '.join(words)}\n  {answer}" for (where, words), answer in pairs if answer is not None]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_command_line_is_found(answers: list[str | None]) -> None:
    taken = [command for command, answer in zip(WRONG, answers[len(COMMANDS) :], strict=True) if answer is None]
    assert not taken


@pytest.mark.parametrize("page", [page for page in PYTHON_PAGES if page not in RUN_ELSEWHERE])
def test_the_python_of_a_page_runs_in_one_session(
    page: str, run_python: Callable[..., Any], empty_mlflow_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{empty_mlflow_db}")
    run_python([(str(block), block.text) for block in of("python", page)])


@pytest.mark.parametrize("page", sorted({b.page for b in of("bash")} - RUN_ELSEWHERE.keys()))
def test_the_cheap_commands_of_a_page_run(page: str, here: Path, drawn_workspace: Path) -> None:
    for name in ("data", "reports", "recipes"):
        (here / name).symlink_to((ROOT if name == "recipes" else drawn_workspace) / name)
    (here / "my.yaml").write_bytes((ROOT / "recipes" / "sample.yaml").read_bytes())
    from ram.cli.main import app

    for block in of("bash", page):
        for program, *arguments in commands_of(block.text):
            if program.endswith("ram") and " ".join(arguments).startswith(CHEAP) and "--model" not in arguments:
                result = CliRunner().invoke(app, arguments)
                assert result.exit_code == 0, (str(block), arguments, result.output, result.exception)


def test_the_requests_of_the_page_on_serving_are_answered(here: Path, model: Path) -> None:
    blocks = [b for b in of("bash", "docs/serve.md") if "curl" in b.text]
    assert len(blocks) == 2
    answers = [answer for block in blocks for answer in _ask(block, here, model)]
    assert len(answers) == 4
    assert all('"tags":' in answer and '"error":null' in answer for answer in answers), answers
    assert '"place":' in answers[1]


def _ask(block: Block, here: Path, model: Path) -> Iterator[str]:
    """What the server says to each curl of the block; a key is made by the block itself."""
    from listening import listening

    from ram.cli.main import app
    from ram.serving.keys import Keys
    from ram.serving.models import Models, ServedModel
    from ram.serving.server import ServerParams, create_app

    lines = block.text.splitlines()
    made = [line for line in lines if line.startswith("ram serve-key")]
    secret = CliRunner().invoke(app, shlex.split(made[0], comments=True)[1:]).stdout.strip() if made else ""
    models = Models({"champion": lambda: model}, ServedModel)
    models.load()
    with listening(create_app(models, ServerParams(refresh_s=0.0), Keys(here / "keys") if made else None)) as port:
        for line in lines:
            if line.startswith("curl "):
                command = line.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("curl ", "curl -sf ", 1)
                environment = {"KEY": secret, "PATH": "/usr/bin:/bin"}
                done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
                assert done.returncode == 0, (str(block), command, done.stderr)
                yield done.stdout


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_a_block_of_yaml_is_what_its_reader_takes(block: Block, here: Path) -> None:
    content = yaml.safe_load(block.text)
    if file_of(block.text) == "dvc.yaml":
        return  # test_contributing puts it into the graph
    if isinstance(content, list):
        _read_sources(content)
    elif "compute_environment" in content:
        _read_accelerate(block.text)
    elif {"format", "labels"} <= content.keys():
        _read_benchmark(block.text)
    else:
        _read_params(content)


def _read_sources(descriptions: list[dict[str, Any]]) -> None:
    from ram.datasets import make_sources

    make_sources(descriptions)


def _read_accelerate(text: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    Path("accelerate.yaml").write_text(text)
    assert load_config_from_file("accelerate.yaml").distributed_type == "FSDP"


def _read_benchmark(text: str) -> None:
    from ram.evaluation.label_formats.description import describe

    Path("mine.yaml").write_text(text)
    assert describe("mine.yaml").name == "mine"


def _read_params(content: Mapping[str, Any]) -> None:
    """Sections of params.yaml: each with what is left out taken from the sample's, as the stages read it."""
    from ram.pipeline.params import stage_params
    from ram.stages import stage_call, stage_names

    sample = yaml.safe_load((ROOT / "recipes" / "sample.yaml").read_text())
    sections = {name: _merged(sample.get(name), section) for name, section in content.items()}
    for stage in stage_names():
        call = stage_call(stage) if not hasattr(_module(stage), "ITEMS") else None
        params = (call.module if call else _module(stage)).Params
        stage_params(sample | sections, stage, params)
    if "list_sources" in content:
        _read_sources(content["list_sources"]["sources"])


def _module(stage: str) -> Any:
    import importlib

    return importlib.import_module(f"ram.stages.{stage}")


def _merged(usual: Any, given: Any) -> Any:
    if not isinstance(usual, Mapping) or not isinstance(given, Mapping):
        return given
    return {**usual, **{name: _merged(usual.get(name), value) for name, value in given.items()}}
