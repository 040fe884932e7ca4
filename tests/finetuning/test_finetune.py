from __future__ import annotations

import json
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

import ram
from ram.cli.main import app
from ram.finetuning import finetune as module
from ram.finetuning import training
from ram.finetuning.images import split_of
from ram.finetuning.labels import prepare
from ram.io.locks import exclusive
from ram.labels import LabelSystem
from ram.model.checkpoint import load_checkpoint
from ram.model.text_encoder import make_text_encoder

NEW = ["beach", "kitchen", "snow"]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "finetune.md"


def complete_rows(images: Path) -> pd.DataFrame:
    rows = pd.read_csv(images / "everything.csv")
    return rows[rows["tag"].isin(["tree", *NEW])]


def labeled_rows(images: Path) -> pd.DataFrame:
    """Every second pair, with its label."""
    rows = complete_rows(images)
    shown = set(zip(rows["image"], rows["tag"], strict=True))
    names = sorted(f"drawn/{path.name}" for path in (images / "drawn").iterdir())
    pairs = [(image, tag) for number, image in enumerate(names) for tag in ["tree", *NEW][number % 2 :: 2]]
    return pd.DataFrame([(*pair, int(pair in shown)) for pair in pairs], columns=["image", "tag", "label"])


def finetune(table: pd.DataFrame, images: Path, model: Path, tmp_path: Path, *options: str) -> Result:
    table.to_csv(tmp_path / "table.csv", index=False)
    command = ["finetune", str(tmp_path / "table.csv"), "--images", str(images), "--model", str(model)]
    command += ["--out", str(tmp_path / "mine"), "--dev-share", "0.3", "--num-views", "1", *options]
    return CliRunner().invoke(app, command)


def error_of(*arguments: object) -> str:
    result = finetune(*arguments)  # type: ignore[arg-type]
    assert isinstance(result.exception, ValueError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def finished(images: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    directory = tmp_path_factory.mktemp("finished")
    options = ("--complete", "--epochs", "40", "--learning-rate", "0.003")
    result = finetune(complete_rows(images), images, model, directory, *options)
    assert result.exit_code == 0, result.output
    return directory / "mine", result


def test_new_tags_are_learned(finished: tuple[Path, Result]) -> None:
    tags = pd.read_csv(finished[0] / "tags.csv").set_index("tag")
    assert tags["new"].to_dict() == {"tree": False, **dict.fromkeys(NEW, True)}
    assert tags.loc[NEW, "AP_after"].mean() > tags.loc[NEW, "AP_before"].mean() + 0.2
    assert {"train", "dev"} == set(pd.read_csv(finished[0] / "curves.csv")["split"])


def test_the_table_at_the_end_says_what_happened(finished: tuple[Path, Result], images: Path) -> None:
    directory, result = finished
    names = complete_rows(images)["image"].unique()
    num_dev = sum(split_of(image, 0.3) == "dev" for image in names)
    assert f"{len(names) - num_dev} to train on, {num_dev} held out" in result.output
    assert "1 known, 3 new" in result.output
    tags = pd.read_csv(directory / "tags.csv")
    assert f"{tags['AP_before'].mean():.3f} before, {tags['AP_after'].mean():.3f} after" in result.output
    assert str(directory) in result.output


def test_new_tags_are_embedded_by_the_text_encoder_and_old_ones_stay(
    finished: tuple[Path, Result], model: Path
) -> None:
    before, after = load_checkpoint(model), load_checkpoint(finished[0])
    assert after.label_system.names[: len(before.label_system)] == before.label_system.names
    new = after.label_system.names[len(before.label_system) :]
    assert sorted(new) == NEW
    expected = make_text_encoder(after.params.text_encoder).embed(new, after.params.templates)
    torch.testing.assert_close(after.model.tag_embedding_KE[-3:], torch.from_numpy(expected))


def test_the_tagger_uses_the_thresholds_of_the_images_held_out_and_keeps_those_of_other_tags(
    finished: tuple[Path, Result], images: Path
) -> None:
    tagger = ram.load(finished[0])
    document = json.loads((finished[0] / "thresholds.json").read_text())
    assert set(document["tags"]) == {"tree", "zebra", *NEW}
    assert document["tags"]["zebra"] == 0.77
    assert (document["default"], document["open_set"]) == (0.4, 0.3)
    assert {tag.name: tag.threshold for tag in tagger.label_system}["kitchen"] == document["tags"]["kitchen"]
    rows = complete_rows(images)
    image = rows["image"][(rows["tag"] == "kitchen")].iloc[0]
    found = tagger(images / image, tags=["kitchen"], threshold=0.0)[0][0]
    tagged = CliRunner().invoke(app, ["tag", str(images / image), "--model", str(finished[0]), "--json"])
    names = {tag["name"] for tag in json.loads(tagged.stdout)["tags"]}
    assert ("kitchen" in names) == (found.score >= document["tags"]["kitchen"])


def test_what_no_row_names_is_unknown_and_labels_of_both_kinds_train(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora = []
    train_model = training.train_model

    def spy(model, label_system, corpus, *rest, **options):  # type: ignore[no-untyped-def]
        corpora.append((label_system, corpus))
        return train_model(model, label_system, corpus, *rest, **options)

    monkeypatch.setattr(training, "train_model", spy)
    rows = labeled_rows(images)
    result = finetune(rows, images, model, tmp_path, "--epochs", "1")
    assert result.exit_code == 0, result.output
    label_system, corpus = corpora[0]
    (examples,) = corpus.main
    assert not examples.complete
    ids = examples.image_ids.take(range(len(examples)))
    place, columns = examples.labels.gather(np.arange(len(examples)))
    found = {
        (ids[i], label_system.names[tag], int(target))
        for i, tag, target in zip(place, columns["tag_id"], columns["target"], strict=True)
    }
    assert found == {row for row in rows.itertuples(index=False, name=None) if split_of(row[0], 0.3) != "dev"}


def test_rows_that_cannot_be_used_are_set_aside_with_their_reason(images: Path, model: Path, tmp_path: Path) -> None:
    rows = labeled_rows(images).astype({"label": str})
    (tmp_path / "broken.jpg").write_bytes((images / rows["image"][0]).read_bytes()[:400])
    image = rows["image"].iloc[-1]
    kept = rows[~((rows["image"] == image) & (rows["tag"] == "tree"))]
    bad = [
        (str(tmp_path / "broken.jpg"), "tree", "1", "broken_image"),
        ("drawn/nowhere.jpg", "tree", "0", "missing_image"),
        (image, "", "1", "empty_tag"),
        ("", "tree", "1", "empty_image"),
        (image, "snow", "perhaps", "bad_label"),
        (image, "tree", "yes", "contradiction"),
        (f"drawn/../{image}", "Oaks", "no", "contradiction"),  # a synonym, and the same file
        (kept["image"].iloc[0], kept["tag"].iloc[0], kept["label"].iloc[0], "duplicate"),
        (image, "unicorn", "0", "one_sided_tag"),
    ]
    table = pd.concat([kept, pd.DataFrame([row[:3] for row in bad], columns=["image", "tag", "label"])])
    result = finetune(table, images, model, tmp_path, "--epochs", "1")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "mine.quarantine.csv", dtype=str, keep_default_na=False)
    assert found["reason"].tolist() == [row[3] for row in bad]
    assert found["row"].tolist() == [str(len(kept) + number) for number in range(1, len(bad) + 1)]
    assert found["tag"].tolist() == [row[1] for row in bad]
    assert found["detail"].ne("").all()
    assert f"{len(bad)} rows (2 contradiction" in result.output
    names = load_checkpoint(tmp_path / "mine").label_system.names
    assert "unicorn" not in names
    assert "oaks" not in names


def test_a_tag_under_a_synonym_is_the_models_own(images: Path, model: Path, tmp_path: Path) -> None:
    rows = labeled_rows(images).replace({"tag": {"tree": "Oak"}})
    result = finetune(rows, images, model, tmp_path, "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "mine" / "tags.csv").query("not new")["tag"].tolist() == ["tree"]


def test_where_rows_are_complete_a_contradiction_is_unknown_and_not_absent(images: Path, tmp_path: Path) -> None:
    rows = complete_rows(images).assign(label="1")
    image, tag = rows.iloc[0]["image"], rows.iloc[0]["tag"]
    extra = pd.DataFrame([(image, tag, "0")], columns=["image", "tag", "label"])
    pd.concat([rows, extra]).to_csv(tmp_path / "table.csv", index=False)
    table, quarantine = tmp_path / "table.csv", tmp_path / "quarantine.csv"
    prepared = prepare(table, images, LabelSystem([]), quarantine, complete=True, dev_share=0.3)
    ids = sorted(prepared.hash_of)
    positive, known = prepared.truth(ids)
    names = [prepared.labels.label_system.names[tag_id] for tag_id in prepared.tag_ids]
    shown = set(zip(rows["image"], rows["tag"], strict=True)) - {(image, tag)}
    for b, path in enumerate(ids):
        for k, name in enumerate(names):
            assert positive[b, k] == ((path, name) in shown)
            assert known[b, k] == ((path, name) != (image, tag))


def test_positives_alone_are_refused_with_the_remedy(images: Path, model: Path, tmp_path: Path) -> None:
    message = error_of(complete_rows(images), images, model, tmp_path)
    assert "says yes to everything" in message
    assert "--complete" in message
    assert "label" in message
    assert not (tmp_path / "mine").exists()


def test_a_missing_column_is_named_with_those_there_are(images: Path, model: Path, tmp_path: Path) -> None:
    rows = labeled_rows(images).rename(columns={"tag": "name"})
    message = error_of(rows, images, model, tmp_path)
    assert re.search(r"no column 'tag'; it has image, name, label", message)


def test_a_table_without_any_usable_row_says_why_and_keeps_the_rows(images: Path, model: Path, tmp_path: Path) -> None:
    rows = labeled_rows(images).assign(image="gone.jpg").drop_duplicates("tag")
    message = error_of(rows, images, model, tmp_path, "--complete")
    assert f"{len(rows)} missing_image" in message
    assert len(pd.read_csv(tmp_path / "mine.quarantine.csv")) == len(rows)


def test_new_tags_are_named_where_the_text_encoder_cannot_be_had(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(spec: str) -> None:
        raise ValueError(f"cannot load a text encoder from {spec!r}")

    monkeypatch.setattr("ram.training.setup.make_text_encoder", refuse)
    message = error_of(labeled_rows(images), images, model, tmp_path)
    assert all(repr(name) in message for name in NEW)
    assert not (tmp_path / "mine").exists()


def test_without_images_held_out_the_thresholds_of_the_start_stay(images: Path, model: Path, tmp_path: Path) -> None:
    result = finetune(labeled_rows(images), images, model, tmp_path, "--epochs", "1", "--dev-share", "0")
    assert result.exit_code == 0, result.output
    start = json.loads((model / "thresholds.json").read_text())
    assert json.loads((tmp_path / "mine" / "thresholds.json").read_text()) == start
    assert "mAP" not in result.stdout


def test_images_held_out_without_any_tag_are_refused_before_training(images: Path, model: Path, tmp_path: Path) -> None:
    rows = labeled_rows(images)
    rows = rows[~((rows["label"] == 1) & rows["image"].map(lambda path: split_of(path, 0.3) == "dev"))]
    assert "--dev-share" in error_of(rows, images, model, tmp_path)


@pytest.mark.parametrize("complete", [True, False])
def test_labels_are_counted_as_they_stand(complete: bool, images: Path, tmp_path: Path) -> None:
    rows = labeled_rows(images)
    rows = pd.concat([rows, rows[:3].assign(label=1 - rows["label"][:3])])
    rows.to_csv(tmp_path / "table.csv", index=False)
    table, quarantine = tmp_path / "table.csv", tmp_path / "quarantine.csv"
    prepared = prepare(table, images, LabelSystem([]), quarantine, complete=complete, dev_share=0.3)
    positive, known = prepared.truth(sorted(prepared.hash_of))
    num_positives, num_negatives = prepared.counts()
    assert num_positives.tolist() == positive.sum(axis=0).tolist()
    assert num_negatives.tolist() == (known & ~positive).sum(axis=0).tolist()
    assert (~known).any()


def test_an_output_that_is_there_is_left_alone(images: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert "is there already" in error_of(labeled_rows(images), images, model, tmp_path)


def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, once, again = labeled_rows(images), tmp_path / "once", tmp_path / "again"
    once.mkdir()
    again.mkdir()
    assert finetune(rows, images, model, once, "--epochs", "2").exit_code == 0
    save_model = training.save_model
    monkeypatch.setattr(training, "save_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    finetune(rows, images, model, again, "--epochs", "2")
    assert not (again / "mine").exists()
    monkeypatch.setattr(training, "save_model", save_model)
    result = finetune(rows, images, model, again, "--epochs", "2")
    assert result.exit_code == 0, result.output
    assert "going on after step" in result.output
    assert sorted(path.name for path in again.iterdir()) == ["mine", "table.csv"]
    first, second = (load_file(path / "mine" / "model.safetensors") for path in (once, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_second_run_for_the_same_output_waits_and_finds_it_made(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "print", lambda text, **_: said.append(text), raising=False)
    arguments = (labeled_rows(images), images, model, tmp_path)
    with ThreadPoolExecutor(1) as pool, exclusive(module._lock(tmp_path / "mine")):
        second = pool.submit(finetune, *arguments)
        while not said and not second.done():
            time.sleep(0.01)
        (tmp_path / "mine").mkdir()
        assert not second.done()
        other = module._lock(tmp_path / "other")
        assert other != module._lock(tmp_path / "mine")
        with exclusive(other):  # another output is not held up
            pass
    assert said == [f"another process makes {tmp_path / 'mine'}; waiting for it"]
    assert "is there already" in str(second.result().exception)


def test_a_backbone_that_is_not_frozen_is_trained_on_images_of_another_size(
    images: Path, model: Path, tmp_path: Path
) -> None:
    import dataclasses

    from ram.model.build import build_model
    from ram.model.checkpoint import save_checkpoint

    start = load_checkpoint(model)
    params = dataclasses.replace(
        start.params, image_encoder="resnet10t", pretrained=None, num_frozen_blocks=0, image_size=32
    )
    made = build_model(params, start.model.tag_embedding_KE, seed=0)
    save_checkpoint(tmp_path / "start", made, start.label_system)
    rows = labeled_rows(images)
    result = finetune(rows, images, tmp_path / "start", tmp_path, "--epochs", "1", "--image-size", "48")
    assert result.exit_code == 0, result.output
    loaded = load_checkpoint(tmp_path / "mine")
    assert loaded.params.image_size == 48
    name = next(n for n, p in loaded.model.named_parameters() if n.startswith("image_encoder") and p.dim() == 4)
    assert not torch.equal(loaded.model.state_dict()[name], made.state_dict()[name])


def test_the_example_of_the_documentation_runs(
    images: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = re.search(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(images)
    (tmp_path / "start").symlink_to(model)
    labeled_rows(images).to_csv(tmp_path / "labels.csv", index=False)
    lines = [line for line in example[1].strip().replace("\\\n", " ").splitlines() if line.startswith("ram ")]
    assert len(lines) == 2
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "mine" / "thresholds.json").is_file()
