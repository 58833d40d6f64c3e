"""Running out of memory: what to lower is said, and what was saved stays whole."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import TrainingError
from thalweg.train import loop
from thalweg.train.memory import advice, out_of_memory_named

torch.set_num_threads(1)
Digits = tuple[Tensor, Tensor]
PLAN = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=64, probes=False, monitoring=0.0, compile="never"
)


def simulated() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 8.00 GiB.\nMore text.")


def real() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def pythons_own() -> None:
    raise MemoryError


def by_the_allocator_of_cpp() -> None:
    raise RuntimeError("std::bad_alloc")


class Hungry(nn.Module):
    """Runs out of memory in its training passes while `cause` is set, after `left` of them."""

    cause = None
    left = 0

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and Hungry.cause is not None:
            Hungry.left -= 1
            if Hungry.left < 0:
                Hungry.cause()
        return self.layers(x)


@pytest.mark.parametrize("cause", [simulated, real, pythons_own, by_the_allocator_of_cpp], ids=lambda f: f.__name__)
def test_every_kind_is_named_with_what_to_lower(cause: object) -> None:
    plan = tw.Plan(batch_size=64, accumulate=2, precision="float32")
    with pytest.raises(TrainingError) as raised, out_of_memory_named(plan):
        cause()  # type: ignore[operator]
    text = str(raised.value)
    assert text.startswith("The training ran out of memory (")
    assert "batch_size=32 with accumulate=4" in text
    assert "gradient_checkpointing=True" in text
    assert "precision='bf16'" in text
    assert "\n" not in text
    assert "What was saved before is intact." in text
    assert raised.value.__cause__ is not None


def test_the_first_line_of_torch_says_how_much() -> None:
    text = r"\(CUDA out of memory\. Tried to allocate 20\.00 GiB\. GPU 0 has 8\.00 GiB"
    with pytest.raises(TrainingError, match=text), out_of_memory_named(PLAN):
        simulated()


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("not enough memory"), KeyError("x")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, out_of_memory_named(PLAN):
        raise error
    assert raised.value is error


def test_advice_names_only_what_is_left() -> None:
    assert advice(tw.Plan(batch_size=1, gradient_checkpointing=True, precision="bf16")).startswith("take a smaller")
    assert "batch_size" not in advice(tw.Plan(batch_size=1))
    assert "bf16" not in advice(tw.Plan(batch_size=8, precision="fp16"))
    # 15 rows cannot be halved, but three batches of 5 make the same updates; seven rows have no such parts.
    assert "batch_size=5 with accumulate=3 makes the same updates" in advice(tw.Plan(batch_size=15))
    assert "batch_size=3 with accumulate=2 makes nearly the same" in advice(tw.Plan(batch_size=7))


@pytest.mark.parametrize("cause", [simulated, real], ids=lambda f: f.__name__)
def test_a_run_that_ran_out_is_intact_and_goes_on(
    digits: Digits, runs: Path, cause: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)  # at every look, and at the end of each epoch
    experiment = tw.Experiment(
        Hungry, train=(digits[0][:600], digits[1][:600]), loss="cross_entropy", directory=runs, test=False
    )
    whole = experiment.train(PLAN, listeners=())
    per_epoch = len(whole.store.readings("train.batch_loss")) // 3
    monkeypatch.setattr(Hungry, "cause", staticmethod(cause))
    monkeypatch.setattr(Hungry, "left", per_epoch + 3)
    with pytest.raises(TrainingError, match="batch_size=32 with accumulate=2"):
        experiment.train(PLAN, listeners=())
    name = next(folder.name for folder in runs.iterdir() if folder.is_dir() and folder.name != whole.name)
    stopped = experiment.open(name)
    assert stopped.status == "failed"
    assert stopped.history["train.loss"] == whole.history["train.loss"][:1]
    stopped.predict(digits[0][:5])
    monkeypatch.setattr(Hungry, "cause", None)
    resumed = experiment.resume(name, listeners=())
    assert resumed.status == "completed"
    assert resumed.history["train.loss"] == whole.history["train.loss"]
    for a, b in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_running_out_before_the_training_is_named_too(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check and the race of rates take batches in training mode before the first step does."""
    experiment = tw.Experiment(
        Hungry, train=(digits[0][:600], digits[1][:600]), loss="cross_entropy", directory=runs, test=False
    )
    monkeypatch.setattr(Hungry, "cause", staticmethod(simulated))
    monkeypatch.setattr(Hungry, "left", 0)
    with pytest.raises(TrainingError, match=r"ran out of memory.*batch_size=32 with accumulate=2"):
        experiment.train(PLAN.replace(probes=True), listeners=())
