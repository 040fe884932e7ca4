from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ram.model.params import CaptionParams
from ram.model.ram import RAM
from ram.model.vocabulary import DECODE, clean_caption

TAGS = [["dog", "grass"], ["cat"], []]
CAPTIONS = ["A dog runs on the grass.", "Two cats sit", "a man rides a horse on the beach"]


@pytest.fixture
def model(make_model: Callable[..., RAM]) -> RAM:
    return make_model(
        dropout=0.0, caption=CaptionParams(vocabulary_size=80, num_heads=2, max_tokens=12, dropout=0.0)
    ).eval()


def test_loss_is_the_label_smoothed_cross_entropy_of_each_next_piece(model: RAM, images_BCHW: torch.Tensor) -> None:
    tokens_BND = model.encode(images_BCHW)
    branch = model.caption_branch
    total, count = 0.0, 0
    for i, caption in enumerate(CAPTIONS):  # one by one: no padding anywhere
        context, mask = branch.encode_tags(tokens_BND[i : i + 1], TAGS[i : i + 1], model.tag_decoder)
        ids, _ = branch.word_pieces.encode([clean_caption(caption)], DECODE, branch.max_tokens)
        for end in range(1, ids.shape[1]):  # one piece at a time: no mask over what follows
            logits, _ = branch.decode(ids[:, :end], branch.project_context(context), mask)
            log_p = logits[0, -1].double().log_softmax(-1)
            total -= (0.9 * log_p[ids[0, end]] + 0.1 * log_p.mean()).item()
            count += 1
    assert model.caption_loss(tokens_BND, TAGS, CAPTIONS).item() == pytest.approx(total / count, rel=1e-4)


def test_first_layers_of_the_tag_encoder_use_the_weights_of_the_tag_decoder(
    model: RAM, images_BCHW: torch.Tensor
) -> None:
    model.caption_loss(model.encode(images_BCHW), TAGS, CAPTIONS).backward()
    for layer in model.tag_decoder.layer:
        assert layer.crossattention.key.weight.grad.abs().sum() > 0
        assert layer.feed_forward.intermediate.weight.grad.abs().sum() > 0
    names = [name for name in model.state_dict() if name.startswith("caption_branch.tag_encoder.")]
    assert names
    assert not any("crossattention" in name or "feed_forward" in name for name in names)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("num_shared_layers", [0, 1, 2])
def test_every_way_to_share_layers_gives_a_loss_that_falls(
    make_model: Callable[..., RAM], images_BCHW: torch.Tensor, pre_norm: bool, num_shared_layers: int
) -> None:
    caption = CaptionParams(vocabulary_size=80, num_heads=2, max_tokens=12, num_shared_layers=num_shared_layers)
    model = make_model(pre_norm=pre_norm, caption=caption, num_frozen_blocks="all").train()
    features = model.trunk(images_BCHW)
    optimizer = torch.optim.AdamW(model.other_parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = model.caption_loss(model.tail(features), TAGS, CAPTIONS)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_a_model_that_has_learned_three_captions_says_them(
    make_model: Callable[..., RAM], images_BCHW: torch.Tensor
) -> None:
    model = make_model(
        pre_norm=True,
        dropout=0.0,
        num_frozen_blocks="all",
        caption=CaptionParams(vocabulary_size=80, num_heads=2, dropout=0.0),
    ).train()
    features = model.trunk(images_BCHW)
    optimizer = torch.optim.AdamW(model.other_parameters(), lr=5e-3)
    for _ in range(80):
        optimizer.zero_grad()
        model.caption_loss(model.tail(features), TAGS, CAPTIONS).backward()
        optimizer.step()
    model.eval()
    for num_beams in (1, 3):
        captions, log_probabilities = model.generate_captions(model.tail(features), TAGS, num_beams=num_beams)
        assert captions == [clean_caption(caption) for caption in CAPTIONS]
        assert all(-10 < p < 0 for p in log_probabilities)


def test_log_probability_is_that_of_the_caption_given_whole(model: RAM, images_BCHW: torch.Tensor) -> None:
    tokens_BND = model.encode(images_BCHW)
    branch = model.caption_branch
    _, log_probabilities = model.generate_captions(tokens_BND, TAGS)
    context, mask = branch.encode_tags(tokens_BND, TAGS, model.tag_decoder)
    contexts = branch.project_context(context)
    ids = torch.full((3, 1), branch.word_pieces.start_id(DECODE))
    total, ended = torch.zeros(3), torch.zeros(3, dtype=torch.bool)
    for position in range(1, branch.max_tokens):  # greedy, without a cache
        log_p = branch.decode(ids, contexts, mask)[0][:, -1].log_softmax(-1)
        log_p[:, branch.word_pieces.unwritable_ids] = -torch.inf
        piece = log_p.argmax(-1)
        if position == branch.max_tokens - 1:
            piece[:] = branch.word_pieces.end_id
        total += torch.where(ended, 0.0, log_p.gather(1, piece[:, None])[:, 0])
        ended |= piece == branch.word_pieces.end_id
        ids = torch.cat([ids, piece[:, None]], 1)
    torch.testing.assert_close(torch.tensor(log_probabilities), total, atol=1e-3, rtol=1e-3)


def test_one_generation_for_many_equals_one_for_each(model: RAM, images_BCHW: torch.Tensor) -> None:
    tokens_BND = model.encode(images_BCHW)
    together, _ = model.generate_captions(tokens_BND, TAGS, num_beams=2)
    alone = [model.generate_captions(tokens_BND[i : i + 1], TAGS[i : i + 1], num_beams=2)[0][0] for i in range(3)]
    assert together == alone


def test_a_sampled_caption_is_the_same_alone_and_among_others_and_differs_by_its_seed(
    model: RAM, images_BCHW: torch.Tensor
) -> None:
    tokens_BND, seeds = model.encode(images_BCHW), [3, 5, 7]
    together, _ = model.generate_captions(tokens_BND, TAGS, top_p=0.9, seeds=seeds)
    alone = [
        model.generate_captions(tokens_BND[i : i + 1], TAGS[i : i + 1], top_p=0.9, seeds=seeds[i : i + 1])[0][0]
        for i in range(3)
    ]
    assert together == alone
    assert model.generate_captions(tokens_BND, TAGS, top_p=0.9, seeds=[4, 6, 8])[0] != together
    with pytest.raises(ValueError, match="a seed per image"):
        model.generate_captions(tokens_BND, TAGS, top_p=0.9, seeds=seeds[:1])


def test_wrong_numbers_of_captions_are_refused(model: RAM, images_BCHW: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="3 images, 3 tag lists, 1 captions"):
        model.caption_loss(model.encode(images_BCHW), TAGS, ["a dog"])
