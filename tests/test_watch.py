"""`tw.watch` around loops: what is told, what is kept when a loop breaks off, what cannot be judged."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.doctor.watching import steps
from thalweg.errors import UsageError
from thalweg.events import FindingRaised, RunEnded
from thalweg.watched import Watch

G = torch.Generator().manual_seed(0)
X = torch.randn(480, 12, generator=G)
Y = (X @ torch.randn(12, 3, generator=G)).argmax(1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))


def loop(
    watch: Watch, model: nn.Module, optimizer: torch.optim.Optimizer, *, clear: bool = True, num_steps: int = 80,
    stop: BaseException | None = None, at: int = 40, told: bool = True,
) -> None:  # fmt: skip
    for step in range(num_steps):
        rows = torch.randint(0, len(Y), (24,), generator=G)
        if clear:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(X[rows]), Y[rows])
        loss.backward()
        optimizer.step()
        if told:
            watch.step(loss)
        if stop is not None and step == at:
            raise stop


def pair(lr: float = 0.1) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = mlp()
    return model, torch.optim.SGD(model.parameters(), lr=lr)


def test_two_lines_are_enough():
    model, optimizer = pair()
    with tw.watch(model, optimizer, listeners=()) as watch:
        loop(watch, model, optimizer, clear=False, told=False)
    assert [f.code for f in watch.findings if f.counts] == ["LOOP01"]
    assert watch.diagnosis.verdict.startswith("Faulty, with one fault: gradients are not cleared")
    text = repr(watch)
    assert "error[LOOP01]" in text
    assert "Not judged:" in text
    assert "watch.step(loss) was not called" in text


def test_a_healthy_loop_is_told_so_with_what_cannot_be_judged():
    model, optimizer = pair()
    with tw.watch(model, optimizer, listeners=()) as watch:
        loop(watch, model, optimizer)
    assert [f.code for f in watch.findings if f.counts] == []
    assert watch.diagnosis.verdict.startswith("No fault was found in 80 steps")
    assert any(reason.startswith("generalization") for reason in watch.unseen)
    assert watch.check is not None


def test_findings_are_told_in_the_middle_of_the_loop():
    heard: list[tuple[int, Any]] = []
    model, optimizer = pair()
    with tw.watch(model, optimizer, listeners=[lambda event: heard.append((watch._steps.count, event))]) as watch:
        loop(watch, model, optimizer, clear=False)
    first, last = heard[0], heard[-1]
    assert isinstance(first[1], FindingRaised)
    assert (first[1].finding.code, first[0] < 20) == ("LOOP01", True)
    assert isinstance(last[1], RunEnded)


@pytest.mark.parametrize("error", [KeyError("of the loop"), KeyboardInterrupt()])
def test_an_error_passes_and_what_was_found_is_kept(error):
    model, optimizer = pair()
    watch = tw.watch(model, optimizer, listeners=())
    with pytest.raises(type(error)) as caught, watch:
        loop(watch, model, optimizer, clear=False, stop=error)
    assert caught.value is error
    assert [f.code for f in watch.findings if f.counts] == ["LOOP01"]
    assert "in 41 steps" in watch.diagnosis.verdict or "41 steps" in repr(watch)


def test_an_error_before_any_step_passes():
    model, optimizer = pair()
    watch = tw.watch(model, optimizer, listeners=())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), watch:
        model(X[:4, :5])
    assert watch.diagnosis.verdict == "Not judged: the optimizer made no step inside of the block."
    assert torch._C._len_torch_function_stack() == 0


def test_a_mistake_of_the_watching_does_not_touch_the_loop(monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(steps.ModeReader, "read", broken)
    model, optimizer = pair()
    with tw.watch(model, optimizer, listeners=()) as watch:
        loop(watch, model, optimizer)
    assert any("enter failed (RuntimeError: planted)" in reason for reason in watch.unseen)
    assert float((model(X).argmax(1) == Y).float().mean()) > 0.6


def test_a_mistake_of_the_conclusion_is_a_warning(monkeypatch):
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("thalweg.watched.conclude", broken)
    model, optimizer = pair()
    with pytest.warns(UserWarning, match="could not conclude"), tw.watch(model, optimizer, listeners=()) as watch:
        loop(watch, model, optimizer)
    assert "could not conclude" in watch.unseen[-1]


def test_the_optimizer_of_a_trainer_is_found_when_it_steps():
    model = mlp()
    with tw.watch(model, listeners=()) as watch:
        other = nn.Linear(1, 1)
        other(torch.ones(1, 1)).sum().backward()
        torch.optim.SGD(other.parameters(), lr=0.1).step()
        loop(watch, model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert watch._steps.count == 80
    assert watch.diagnosis.verdict.startswith("No fault was found")


def test_no_optimizer_at_all():
    model = mlp()
    with tw.watch(model, listeners=()) as watch:
        model(X[:4])
    assert watch.unseen[-1].startswith("everything: no optimizer")


@pytest.mark.parametrize("arguments", [(Y, None), (mlp(), SimpleNamespace(step=print)), (mlp(), F.cross_entropy)])
def test_wrong_arguments_name_what_to_pass(arguments):
    with pytest.raises(UsageError, match="pass the"):
        tw.watch(*arguments)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Linear(12, 16), nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x).relu()
        return self.one(hidden), self.two(hidden)


def test_a_network_of_several_outputs_is_judged_by_its_loop_alone():
    model = Several()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with tw.watch(model, optimizer, listeners=()) as watch:
        for _ in range(30):
            one, two = model(X[:32])
            (F.cross_entropy(one, Y[:32]) + F.mse_loss(two[:, 0], X[:32, 0])).backward()
            optimizer.step()
    assert [f.code for f in watch.findings if f.counts] == ["LOOP01"]
    assert "loss, data and rate: the network returns tuple, not one tensor" in watch.unseen


def test_passes_with_gradients_and_no_backward_are_let_go():
    model, optimizer = pair()
    with tw.watch(model, optimizer, listeners=()) as watch:
        for _ in range(50):
            model(X)  # evaluated without no_grad
        held = [seen for seen in watch._steps.sample.passes if seen is not None]
        assert len(held) == 1
        loop(watch, model, optimizer)
    assert [f.code for f in watch.findings if f.counts] == []


def test_a_network_in_parts_says_what_it_cannot_judge():
    model, optimizer = pair()
    with tw.watch(model, optimizer, listeners=()) as watch:
        for _ in range(30):
            optimizer.zero_grad()
            F.cross_entropy(model[2](model[1](model[0](X[:32]))), Y[:32]).backward()
            optimizer.step()
    assert any("never called as a whole" in reason for reason in watch.unseen)
    assert [f.code for f in watch.findings if f.counts] == []


def test_the_section_of_the_documentation_runs(capsys):
    text = (Path(__file__).resolve().parent.parent / "docs" / "howto.md").read_text()
    section = text.split("## Watch your own loop\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(code, {})
    assert "Faulty, with one fault: gradients are not cleared" in capsys.readouterr().out
