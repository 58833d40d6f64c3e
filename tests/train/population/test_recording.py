"""What a tape of a forward pass holds, and what it leaves out."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thalweg.data.rows import Batch
from thalweg.train.population.recording import record
from thalweg.train.population.tape import NotBatched, Tape, name_of


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def names(tape: Tape) -> list[str]:
    return [call.name for call in tape.calls]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("steps", torch.tensor(0))


class Unused(Net):
    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        _ = h.exp().sum()
        h.clone().mul_(3)
        return h.tanh()


def test_what_nothing_depends_on_is_left_out() -> None:
    assert names(record(Unused(), x(5, 4), training=True)) == ["linear", "tanh"]


class Constant(Net):
    def forward(self, x: Tensor) -> Tensor:
        mask = torch.tril(torch.ones(4, 4)).log()
        table = torch.zeros(5, 4)
        table[0] = 1.0
        return self.layer(x) @ mask.exp() + table


def test_what_depends_on_neither_members_nor_inputs_is_computed_once() -> None:
    tape = record(Constant(), x(5, 4), training=True)
    assert names(tape) == ["zeros", "__setitem__", "linear", "matmul", "add"]
    assert len(tape.constants) == 1


class Counting(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        return self.layer(x)


def test_updates_of_buffers_stay() -> None:
    tape = record(Counting(), x(5, 4), training=True)
    assert names(tape) == ["add", "linear"]
    assert tape.calls[0].target == tape.buffers["steps"]
    assert tape.calls[0].aliased


def test_the_network_the_inputs_and_the_generators_stay_as_they_are() -> None:
    network, inputs = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU(inplace=True)).eval(), x(5, 4)
    network[0].weight.requires_grad_(False)
    given, state = inputs.clone(), torch.get_rng_state()
    record(network, inputs, training=True)
    assert torch.equal(inputs, given)
    assert torch.equal(state, torch.get_rng_state())
    assert int(network[0].num_batches_tracked) == 0
    assert not network.training
    assert not network[0].weight.requires_grad


def test_draws_are_numbered_in_the_order_of_the_calls() -> None:
    network = nn.Sequential(
        nn.Dropout(0.1), nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1), nn.GRU(4, 4, 3, dropout=0.1)
    )
    tape = record(network, x(5, 3, 4), training=True)
    assert [(call.name, call.layer) for call in tape.calls if call.layer is not None] == [
        ("dropout", 0),
        ("scaled_dot_product_attention", 1),
        ("dropout", 2),
        ("dropout", 3),
        ("dropout", 4),
        ("gru", 5),
    ]
    assert tape.draws == 7  # the last call draws between each two of its three layers
    assert record(network, x(5, 3, 4), training=False).draws == 0


def test_libraries_that_ask_whether_they_are_compiled() -> None:
    class Shortcut(Net):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            if not torch.compiler.is_compiling() and mask.all():
                return self.layer(x)
            return self.layer(x) * mask

    tape = record(Shortcut(), (x(5, 4), torch.ones(5, 1, dtype=torch.bool)), training=True)
    assert names(tape) == ["linear", "mul"]
    assert not torch.compiler.is_compiling()


class Remembering(Net):
    """Carries its state from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x) if self.state is None else self.layer(x) + self.state
        self.state = h.detach()
        return h


class Annealing(Net):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.temperature *= 0.9
        return self.layer(x) / self.temperature


class Caching(Net):
    """Makes a table the first time, and counts what does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Tensor | None = None
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.table is None:
            self.table = torch.arange(4.0).cos()
        return self.layer(x) * self.table


def test_a_cache_is_a_constant() -> None:
    assert names(record(Caching(), x(5, 4), training=True)) == ["linear", "mul"]


class Asking(Net):
    def forward(self, x: Tensor) -> Tensor:
        x.requires_grad = True
        return self.layer(x)


def test_an_input_may_be_asked_for_its_gradient() -> None:
    assert names(record(Asking(), x(5, 4), training=True)) == ["linear"]


def test_batches_of_text_are_refused() -> None:
    """Its tokens would be those of the batch that was recorded."""
    inputs = Batch({"text": ["a", "b"], "y": x(2, 1)}, lambda model, batch: model(x(2, 4)).sum())
    with pytest.raises(NotBatched, match=r"no tensors \(str\)"):
        record(Net(), inputs, training=True)


class Moving(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight.data.mul_(0.5)
        return self.layer(x)


class Caught(Net):
    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.layer(x) * float(x.sum())
        except Exception:
            return self.layer(x)


class Shuffled(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if random.random() < 2 else x


class Jittered(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * float(np.random.rand() + 1)


class Grown(Net):
    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "seen"):
            self.register_buffer("seen", torch.zeros(1))
        return self.layer(x)


class Overwriting(Net):
    def forward(self, x: Tensor) -> Tensor:
        rows = x[:2]
        x.mul_(2)
        return self.layer(x).sum() + rows.sum()


class Hidden(Net):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Parameter(torch.ones(4))]

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.hidden[0]


class Cached(Net):
    def __init__(self) -> None:
        super().__init__()
        self.cache = torch.zeros(4)

    def forward(self, x: Tensor) -> Tensor:
        self.cache += 1
        return self.layer(x) + self.cache


class Opaque(Net):
    def forward(self, x: Tensor) -> Any:
        class Output:
            logits = self.layer(x)

        return Output()


class Failing(Net):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no such thing")


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Moving(), "writes to a parameter"),
        (Caught(), "reads the value of a tensor"),
        (Remembering(), "depends on what it kept"),
        (Annealing(), "depends on what it kept"),
        (Shuffled(), "random numbers outside of torch"),
        (Jittered(), "random numbers outside of torch"),
        (Grown(), "adds or removes parameters or buffers"),
        (Overwriting(), "writes to its inputs"),
        (Hidden(), "comes from elsewhere"),
        (Cached(), "writes to a constant"),
        (Opaque(), "returns a Output"),
        (Failing(), "fails: RuntimeError: no such thing"),
        (nn.LSTM(4, 3), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_a_tape_cannot_hold_is_refused(network: nn.Module, reason: str | None) -> None:
    if reason is None:  # the control: the same call of a network that can be recorded
        assert "lstm" in names(record(network, x(5, 4), training=True))
        return
    with pytest.raises(NotBatched, match=reason):
        record(network, x(5, 4), training=True)


def test_packed_sequences_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True)
            return self.layer(packed)[1]

    with pytest.raises(NotBatched, match="depends on values"):
        record(Packed(), x(2, 3, 4), training=True)


def test_names() -> None:
    assert name_of(torch.nn.functional.adaptive_max_pool1d) == "adaptive_max_pool1d"
    assert name_of(Tensor.T.__get__) == "T"  # type: ignore[attr-defined]
    assert name_of(Tensor.add_) == "add_"
