"""Networks that return their own loss, as those of Transformers; without that library."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.doctor.watching.own_loss import OwnLoss, own_loss

WORDS = torch.randint(0, 20, (480, 6), generator=torch.Generator().manual_seed(0))
LABELS = (WORDS[:, 0] > 9).long()


class Classifier(nn.Module):
    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing, self.words, self.last = smoothing, nn.Embedding(20, 8), nn.Linear(48, 2)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.last(self.words(input_ids).flatten(1))
        if labels is None:
            return {"logits": logits}
        return {"loss": F.cross_entropy(logits, labels, label_smoothing=self.smoothing), "logits": logits}


def trained(model: nn.Module, *, clear: bool = True) -> Any:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = torch.Generator().manual_seed(0)
    with tw.watch(model, optimizer, listeners=()) as watch:
        for _ in range(60):
            rows = torch.randint(0, 480, (24,), generator=order)
            if clear:
                optimizer.zero_grad()
            output = model(input_ids=WORDS[rows], labels=LABELS[rows])
            (output["loss"] / 2).backward()
            optimizer.step()
    return watch


def test_the_loss_is_known_and_the_network_is_judged():
    watch = trained(Classifier())
    assert watch._steps.loss == OwnLoss("cross_entropy")
    assert watch.check is not None
    assert [f.code for f in watch.findings if f.counts] == []
    assert watch.readings.value("loop.descent") == 1


def test_a_twin_of_it_is_trained():
    watch = trained(Classifier(), clear=False)
    assert [f.code for f in watch.findings if f.counts][:1] == ["LOOP01"]
    assert watch.readings.value("twin.plain_loop.changed") > 0.8


def test_another_loss_is_said_to_be_unknown():
    watch = trained(Classifier(smoothing=0.3))
    assert watch.check is None
    assert any("computes its own loss, which is none of torch's" in reason for reason in watch.unseen)


@pytest.mark.parametrize(
    ("name", "logits", "labels"),
    [
        ("mse_loss", torch.randn(8, 1), torch.randn(8)),
        ("binary_cross_entropy_with_logits", torch.randn(8, 3), torch.ones(8, 3)),
        ("cross_entropy", torch.randn(8, 3), torch.arange(8) % 3),
    ],
)
def test_losses_are_told_apart_by_their_value(name, logits, labels):
    output = {"loss": OwnLoss(name)(logits, labels), "logits": logits}
    found = own_loss(Classifier(), (), {"input_ids": WORDS[:8], "labels": labels}, output)
    assert found.loss.name == name
    assert found.target is labels


def test_what_returns_no_loss_is_named():
    assert own_loss(Classifier(), (), {}, (1, 2)) == "the network returns tuple, not one tensor"
