"""Shortlists: what is decoded is exact, what is left out is not said, and what is measured is what happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.linear_model import Ridge
from typer.testing import CliRunner

from ram.cli.main import app
from ram.inference.runtimes.shortlist import SHORTLIST_FILE, Shortlist, _ridge, fit, load_shortlist
from ram.inference.shortlist import make_shortlist
from ram.inference.tagger import Tagger, Thresholds, load
from ram.model.checkpoint import Checkpoint

# A shortlist decodes other numbers of tags at once than a model without one: sums of single precision in another order,
# over the width of the model; scores are at most 1.
ROUNDING = 1e-5


def images(number: int, seed: int = 5) -> list[np.ndarray]:
    """Each of one color and some noise: images that a model tells apart."""
    generator = np.random.default_rng(seed)
    color = generator.integers(0, 200, (number, 1, 1, 3))
    return list((color + generator.integers(0, 56, (number, 32, 32, 3))).astype(np.uint8))


def limits(tagger: Tagger) -> dict[str, float]:
    """Thresholds that about half of the images reach."""
    scores_BK = tagger.scores(images(30, seed=1))
    return dict(zip(tagger.label_system.names, np.median(scores_BK, axis=0).tolist(), strict=True))


def test_a_shortlist_of_all_tags_says_what_no_shortlist_says(checkpoint: Checkpoint) -> None:
    thresholds = Thresholds(tags=limits(Tagger(checkpoint)))
    plain = Tagger(checkpoint, thresholds)
    make_shortlist(plain, iter(images(40))).shortlist.save(checkpoint.directory)
    some = images(6, seed=2)
    wanted = plain(some)
    assert sum(map(len, wanted)) > 5
    for found, given in zip(wanted, Tagger(checkpoint, thresholds, shortlist=5)(some), strict=True):
        assert [t.name for t in given] == [t.name for t in found]
        np.testing.assert_allclose([t.score for t in given], [t.score for t in found], atol=ROUNDING)


def test_a_short_list_says_some_of_the_same_tags_with_the_same_scores_and_as_many_as_was_measured(
    checkpoint: Checkpoint,
) -> None:
    thresholds = Thresholds(tags=limits(Tagger(checkpoint)))
    plain = Tagger(checkpoint, thresholds)
    fitted = make_shortlist(plain, iter(images(60)), sizes=[1, 2, 4, 5, 9])
    assert [row.num_tags for row in fitted.measured] == [1, 2, 4]  # of 5 tags and more nothing is left out
    kept = [row.kept for row in fitted.measured]
    assert kept == sorted(kept)
    assert kept[0] < 1
    fitted.shortlist.save(checkpoint.directory)
    short = Tagger(checkpoint, thresholds, shortlist=2)
    for found, given in zip(plain(images(12, seed=3)), short(images(12, seed=3)), strict=True):
        assert len(given) <= 2
        scores = {t.name: t.score for t in found}
        for tag in given:
            assert tag.score == pytest.approx(scores[tag.name], abs=ROUNDING)


def test_named_tags_and_scores_are_decoded_whatever_the_shortlist(checkpoint: Checkpoint) -> None:
    plain = Tagger(checkpoint)
    make_shortlist(plain, iter(images(40))).shortlist.save(checkpoint.directory)
    short, (image,) = Tagger(checkpoint, shortlist=1), images(1, seed=4)
    names = ["dog", "cat", "run"]
    assert {t.name for t in short(image, tags=names, threshold=0.0)[0]} == set(names)
    assert len(short(image, threshold=0.0)[0]) == 1
    np.testing.assert_allclose(short.scores([image]), plain.scores([image]), atol=ROUNDING)


def test_an_implied_tag_that_was_not_decoded_has_the_score_of_what_implies_it(checkpoint: Checkpoint) -> None:
    from ram.inference.hierarchy import TagHierarchy
    from ram.inference.postprocess import Query, choose
    from ram.inference.tag_query import Wanted
    from ram.labels import LabelSystem, Tag

    labels = LabelSystem([Tag(tag_id=0, name="animal"), Tag(tag_id=1, name="dog", parents=("animal",))])
    wanted = Wanted(["animal", "dog"], list(labels.tags), torch.zeros(2, 4))
    prepared = Tagger(checkpoint).fast.own_tags
    query = Query(wanted, prepared, np.array([0.5, 0.5]), None, "add_implied", None, False)
    chosen = choose(np.array([np.nan, 0.75], np.float32), query, TagHierarchy(labels))
    assert sorted(zip(chosen.rows.tolist(), chosen.scores, strict=True)) == [(0, 0.75), (1, 0.75)]


@pytest.mark.parametrize(("num_images", "width"), [(30, 8), (12, 20)])
def test_the_guess_is_ridge_regression(num_images: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pooled, logits = (
        torch.randn(num_images, width, generator=generator),
        torch.randn(num_images, 3, generator=generator),
    )
    weight, bias = _ridge(pooled, logits, 0.1)
    singular = np.linalg.svd((pooled - pooled.mean(0)).double().numpy(), compute_uv=False)
    reference = Ridge(alpha=0.1 * (singular**2).mean()).fit(pooled.double().numpy(), logits.double().numpy())
    np.testing.assert_allclose((pooled @ weight + bias).numpy(), reference.predict(pooled.double().numpy()), atol=1e-4)


def test_what_is_kept_is_measured_on_images_that_the_fit_did_not_see() -> None:
    generator = torch.Generator().manual_seed(0)
    pooled = torch.randn(100, 60, generator=generator)
    noise = torch.randn(100, 40, generator=generator)  # which no guess can know
    _, (row,) = fit(pooled, noise, torch.full((40,), 1.0), "v", [20])
    assert 0.3 < row.kept < 0.7
    known = pooled @ torch.randn(60, 40, generator=generator)
    _, (row,) = fit(pooled, known, torch.full((40,), 8.0), "v", [20])
    assert row.kept > 0.95
    assert row.num_images == 20
    said = float((known[::5] >= 8.0).sum() / 20)
    assert row.said == pytest.approx(said)
    assert row.equal == pytest.approx(1 - said * (1 - row.kept) / 40)


def test_the_tags_with_the_greatest_surplus_over_their_limits_in_units_of_their_doubt_are_decoded() -> None:
    shortlist = Shortlist(torch.zeros(1, 3), torch.tensor([1.0, 2.0, -1.0]), torch.tensor([1.0, 8.0, 1.0]), "v")
    assert shortlist.rows(torch.zeros(1, 1), torch.zeros(3), 1).tolist() == [[0]]
    assert shortlist.rows(torch.zeros(1, 1), torch.tensor([9.0, 0.0, 0.0]), 2).tolist() == [[1, 2]]


def test_a_shortlist_that_is_missing_broken_of_another_model_or_of_no_tag_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"has no shortlist.safetensors; make it: ram shortlist"):
        Tagger(checkpoint, shortlist=3)
    with pytest.raises(ValueError, match="shortlist must be at least 1 tag, got 0"):
        Tagger(checkpoint, shortlist=0)
    path = checkpoint.directory / SHORTLIST_FILE
    tensors = {"weight_DK": torch.zeros(2, 3), "bias_K": torch.zeros(3), "deviation_K": torch.ones(3)}
    save_file(tensors, path, {"model": "0123"})
    with pytest.raises(ValueError, match=f"is of model 0123, not of {checkpoint.version}"):
        load_shortlist(checkpoint.directory, checkpoint.version, torch.device("cpu"))
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="is broken or not whole"):
        load_shortlist(checkpoint.directory, checkpoint.version, torch.device("cpu"))
    with pytest.raises(ValueError, match="at least 20 images that can be read, got 3"):
        make_shortlist(Tagger(checkpoint), iter(images(3)))


def test_the_command_writes_it_beside_the_model_whose_version_it_does_not_change(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(images(24)):
        Image.fromarray(image).save(tmp_path / "photos" / f"{i:02d}.png")
    (tmp_path / "photos" / "z.png").write_bytes(b"broken")
    arguments = ["shortlist", str(checkpoint.directory), "--images", str(tmp_path / "photos"), "--sizes", "4,2"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "fitted on 24 images" in done.output
    assert [line.split("|")[1].strip() for line in done.output.splitlines() if line.startswith("| ")][1:] == ["2", "4"]
    assert "z.png" in done.stderr
    assert load(checkpoint.directory, shortlist=2).version == checkpoint.version
    options = ["--model", str(checkpoint.directory), "--shortlist", "2", "--threshold", "0", "--json"]
    done = CliRunner().invoke(app, ["tag", str(tmp_path / "photos/00.png"), *options])
    assert done.exit_code == 0, done.output
    assert done.stdout.count('"score"') == 2
    with pytest.raises(ValueError, match="--sizes must be at least 1, got 0"):
        CliRunner().invoke(app, [*arguments[:-1], "0,5"], catch_exceptions=False)
