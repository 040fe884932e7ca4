from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from ram.inference.tagger import Tagger
from ram.inference.text_cache import FOLDER_VARIABLE, TextCache, default_text_cache, encoder_fingerprint
from ram.model.checkpoint import Checkpoint
from ram.model.text_encoder import make_text_encoder


def row(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    return values / np.linalg.norm(values)


def test_what_was_put_is_got_by_text_and_encoder_alone(tmp_path: Path) -> None:
    TextCache(tmp_path).put({"a dog": row(0), "größe/../x": row(1)}, "f1")
    found = TextCache(tmp_path).get(["a dog", "größe/../x", "cat"], "f1")
    assert found.keys() == {"a dog", "größe/../x"}
    np.testing.assert_array_equal(found["a dog"], row(0))
    assert TextCache(tmp_path).get(["a dog"], "f2") == {}
    assert TextCache(tmp_path).get(["a dog"], None) == {}
    assert {p.parent for p in tmp_path.rglob("*") if p.is_file()} == {tmp_path / "f1"}


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_broken_or_wrong_entry_counts_as_none_and_is_written_anew(tmp_path: Path, content: bytes | None) -> None:
    cache = TextCache(tmp_path)
    cache.put({"dog": row(0), "cat": row(1)}, "f")
    dog, cat = (cache._path(name, "f") for name in ("dog", "cat"))
    dog.write_bytes(cat.read_bytes() if content is None else content)
    assert cache.get(["dog", "cat"], "f").keys() == {"cat"}
    cache.put({"dog": row(0)}, "f")
    assert cache.get(["dog"], "f").keys() == {"dog"}


def test_rows_that_are_no_embeddings_are_not_given(tmp_path: Path) -> None:
    cache = TextCache(tmp_path)
    cache.put({"zero": np.zeros(16, np.float32), "double": row(0).astype(np.float64)}, "f")
    assert cache.get(["zero", "double"], "f") == {}


def test_the_cache_is_bounded_and_the_least_used_go_first(tmp_path: Path) -> None:
    cache = TextCache(tmp_path, max_entries=3)
    for age, name in enumerate("abc"):
        cache.put({name: row(age)}, "f")
        os.utime(cache._path(name, "f"), (1000 + age, 1000 + age))
    cache.get(["a"], "f")
    cache.put({"d": row(9)}, "f")
    assert cache.get(list("abcd"), "f").keys() == {"a", "c", "d"}
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_cannot_be_written_is_warned_of_once_and_tagging_goes_on(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")  # a folder cannot be made under a file, whoever asks
    tagger = Tagger(checkpoint, text_cache=TextCache(tmp_path / "file" / "cache"))
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.warns(RuntimeWarning, match=FOLDER_VARIABLE):
        (first,) = tagger(image, tags=["a zeppelin"], threshold=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (second,) = tagger(image, tags=["an airship"], threshold=0.0)
    assert (first[0].name, second[0].name) == ("a zeppelin", "an airship")


def test_names_on_disk_are_read_without_a_text_encoder(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    wanted = Tagger(checkpoint, text_cache=TextCache(tmp_path)).scores([image], ["a zeppelin", "dog"])

    def unwanted(spec: str) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("ram.inference.tagger.make_text_encoder", unwanted)
    again = Tagger(checkpoint, text_cache=TextCache(tmp_path))
    np.testing.assert_array_equal(again.scores([image], ["a zeppelin", "dog"]), wanted)
    with pytest.raises(AssertionError, match="loaded"):
        again.scores([image], ["an airship"])


def test_the_folder_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    assert default_text_cache().directory == tmp_path / "mine"
    monkeypatch.setenv(FOLDER_VARIABLE, "off")
    assert default_text_cache().directory is None
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_text_cache().directory == tmp_path / "ram" / "text_embeddings"
    assert list(tmp_path.iterdir()) == [], "nothing is made before it is written to"


def test_the_fingerprint_follows_the_encoders_files_and_the_prompts(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"one")
    spec = f"transformers:{tmp_path}"
    first = encoder_fingerprint(spec, "plain")
    assert first == encoder_fingerprint(spec, "plain")
    assert first != encoder_fingerprint(spec, "short")
    (tmp_path / "weights.bin").write_bytes(b"other")
    assert first != encoder_fingerprint(spec, "plain")
    assert encoder_fingerprint("package:wordllama", "plain") != encoder_fingerprint("package:all-minilm-l6-v2", "plain")
    assert encoder_fingerprint("clip:nobody/has-this-model", "plain") is None
    assert encoder_fingerprint("learned", "plain") is None


def test_an_embedding_does_not_depend_on_where_it_came_from(checkpoint: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("wordllama")
    fingerprint = encoder_fingerprint("package:wordllama", "plain")
    Tagger(checkpoint, text_cache=TextCache(tmp_path)).scores([np.zeros((8, 8, 3), np.uint8)], ["a zeppelin"])
    kept = TextCache(tmp_path).get(["a zeppelin"], fingerprint)["a zeppelin"]
    np.testing.assert_array_equal(kept, make_text_encoder("package:wordllama").embed(["a zeppelin"], "plain")[0])
