"""Losses with weights and per position, against torch's own."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import DataError, UsageError
from thalweg.train.losses import (
    IGNORED,
    NAMED,
    WeightedLoss,
    num_items,
    per_sample,
    resolve_loss,
    row_items,
    weighted_loss,
)
from thalweg.train.smoothing import smoothed_loss

G = torch.Generator().manual_seed(0)
N, K, T = 12, 4, 3
LOGITS = torch.randn(N, K, generator=G, dtype=torch.float64)
LABELS = torch.randint(0, K, (N,), generator=G)
WEIGHT = torch.rand(N, generator=G, dtype=torch.float64) * 3
FLAGS = torch.randint(0, 2, (N, T), generator=G).double()
WIDE = torch.randn(N, T, generator=G, dtype=torch.float64)
TOKENS = torch.randint(0, K, (N, 5), generator=G)
TOKENS[:, 3:] = torch.where(torch.rand(N, 2, generator=G) < 0.5, IGNORED, TOKENS[:, 3:])
SEQUENCES = torch.randn(N, 5, K, generator=G, dtype=torch.float64)


def mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (values * weight).sum() / weight.sum()


@pytest.mark.parametrize(
    ("name", "plain", "output", "target"),
    [
        ("cross_entropy", F.cross_entropy, LOGITS, LABELS),
        ("nll", F.nll_loss, LOGITS.log_softmax(1), LABELS),
        ("binary_cross_entropy", F.binary_cross_entropy_with_logits, WIDE[:, 0], FLAGS[:, 0]),
        ("binary_cross_entropy", F.binary_cross_entropy_with_logits, WIDE, FLAGS),
        ("mse", F.mse_loss, WIDE, FLAGS),
        ("mae", F.l1_loss, WIDE[:, 0], FLAGS[:, 0]),
        ("huber", F.huber_loss, WIDE, FLAGS),
    ],
)
def test_named_losses_are_torchs_and_their_weighted_mean(name, plain, output, target) -> None:
    loss = NAMED[name]
    assert torch.equal(loss(output, target), plain(output, target))
    each = plain(output, target, reduction="none")
    each = each.reshape(N, -1).mean(1)
    assert torch.allclose(loss(output, target, WEIGHT), mean(each, WEIGHT), rtol=1e-12)
    for wrapped in (weighted_loss(plain, name), WeightedLoss(plain)):
        assert torch.allclose(wrapped(output, target, WEIGHT), mean(each, WEIGHT), rtol=1e-12)
        assert torch.equal(wrapped(output, target), plain(output, target))


def test_weights_of_classes_are_those_of_cross_entropy() -> None:
    classes = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
    expected = nn.CrossEntropyLoss(weight=classes)(LOGITS, LABELS)
    assert torch.allclose(NAMED["cross_entropy"](LOGITS, LABELS, classes[LABELS]), expected, rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_module_with_weights_of_its_own_has_both(smoothing: float) -> None:
    classes = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
    module = nn.CrossEntropyLoss(weight=classes, label_smoothing=smoothing)
    repeats = torch.tensor([1, 2, 3] * 4)
    repeated = module(LOGITS.repeat_interleave(repeats, 0), LABELS.repeat_interleave(repeats))
    assert torch.allclose(WeightedLoss(module)(LOGITS, LABELS, repeats.double()), repeated, rtol=1e-12)


@pytest.mark.parametrize("module", [nn.CrossEntropyLoss(reduction="sum"), nn.CrossEntropyLoss(ignore_index=2)])
def test_a_weight_of_two_is_a_row_taken_twice(module: nn.Module) -> None:
    repeats = torch.tensor([2, 0, 1] * 4)
    repeated = module(LOGITS.repeat_interleave(repeats, 0), LABELS.repeat_interleave(repeats))
    assert torch.allclose(WeightedLoss(module)(LOGITS, LABELS, repeats.double()), repeated, rtol=1e-12)
    assert module.reduction != "none", "the user's own module is not changed"


@pytest.mark.parametrize("output", [SEQUENCES, SEQUENCES.transpose(1, 2)])
def test_per_position(output: torch.Tensor) -> None:
    loss = NAMED["cross_entropy"]
    expected = F.cross_entropy(SEQUENCES.transpose(1, 2), TOKENS)
    assert torch.allclose(loss(output, TOKENS), expected, rtol=1e-12)
    each = F.cross_entropy(SEQUENCES.transpose(1, 2), TOKENS, reduction="none")
    every = WEIGHT[:, None] * (TOKENS != IGNORED)
    assert torch.allclose(loss(output, TOKENS, WEIGHT), (each * every).sum() / every.sum(), rtol=1e-12)
    assert torch.allclose(
        weighted_loss(F.cross_entropy, "cross_entropy")(SEQUENCES.transpose(1, 2), TOKENS, WEIGHT),
        loss(output, TOKENS, WEIGHT),
        rtol=1e-12,
    )


def test_a_batch_without_a_counted_position_or_weight_has_loss_and_gradient_zero() -> None:
    for target, weight in ((torch.full_like(TOKENS, IGNORED), ()), (TOKENS, (torch.zeros(N),))):
        output = SEQUENCES.clone().requires_grad_()
        value = NAMED["cross_entropy"](output, target, *weight)
        value.backward()
        assert value.item() == 0
        assert not output.grad.any()


def test_a_square_of_classes_and_positions_is_refused() -> None:
    with pytest.raises(DataError, match="nothing tells which dimension"):
        NAMED["cross_entropy"](torch.zeros(2, 6, 6), torch.zeros(2, 6, dtype=torch.long))


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(
    ("name", "output", "target"),
    [("cross_entropy", LOGITS, LABELS), ("cross_entropy", SEQUENCES, TOKENS), ("mse", WIDE, FLAGS)],
)
def test_batches_weighted_by_their_items_give_the_mean_of_the_whole(name, output, target, weight) -> None:
    own = () if weight is None else (weight,)
    whole = NAMED[name](output, target, *own)
    parts = [slice(0, 5), slice(5, 7), slice(7, N)]
    losses = [NAMED[name](output[p], target[p], *(w[p] for w in own)) for p in parts]
    items = [torch.as_tensor(num_items(target[p], *(w[p] for w in own)), dtype=torch.float64) for p in parts]
    assert torch.allclose(sum(v * n for v, n in zip(losses, items, strict=True)) / sum(items), whole, rtol=1e-9)
    assert torch.allclose(row_items(target, *own).sum(), sum(items), rtol=1e-9)


def test_losses_of_rows_are_means_over_their_positions() -> None:
    each = per_sample(NAMED["cross_entropy"], SEQUENCES, TOKENS)
    alone = torch.stack([NAMED["cross_entropy"](SEQUENCES[i : i + 1], TOKENS[i : i + 1]) for i in range(N)])
    assert torch.allclose(each, alone, rtol=1e-12)


def test_positive_entries_of_labels_weigh_as_torchs_pos_weight() -> None:
    positive = torch.tensor([1.0, 5.0, 0.5])
    loss = weighted_loss(*resolve_loss("binary_cross_entropy"), positive)
    expected = nn.BCEWithLogitsLoss(pos_weight=positive)(WIDE.float(), FLAGS.float())
    assert torch.allclose(loss(WIDE.float(), FLAGS.float()), expected)
    with pytest.raises(UsageError, match="pos_weight"):
        weighted_loss(*resolve_loss(nn.BCEWithLogitsLoss()), positive)


def test_a_loss_of_the_users_own_takes_the_weights_as_third_argument() -> None:
    loss = weighted_loss(lambda output, target, weight: (weight * (output - target) ** 2).sum() / weight.sum(), None)
    expected = NAMED["mse"](WIDE[:, 0], FLAGS[:, 0], WEIGHT)
    assert torch.allclose(loss(WIDE[:, 0], FLAGS[:, 0], WEIGHT), expected)
    assert torch.allclose(loss(WIDE[:, 0], FLAGS[:, 0]), NAMED["mse"](WIDE[:, 0], FLAGS[:, 0]))


def test_one_that_takes_two_is_refused() -> None:
    def mine(output, target):
        return (output - target).abs().mean()

    with pytest.raises(UsageError, match=r"loss\(output, target, weight\), and mine cannot be"):
        weighted_loss(mine, None)


def test_a_loss_that_cannot_be_hashed_is_a_loss_of_ones_own() -> None:
    @dataclass  # whose equality takes its hash away
    class Focal:
        gamma: float

        def __call__(self, output: Tensor, target: Tensor) -> Tensor:
            return output.sum()

    loss = Focal(2.0)
    assert resolve_loss(loss) == (loss, None)
    with pytest.raises(UsageError, match="'Focal' cannot be smoothed"):
        smoothed_loss(loss, 0.1)
