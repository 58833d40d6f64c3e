"""Any optimizer of torch's as it is, and schedule-free ones: the same steps, exact resume, evaluation by a copy."""

import dataclasses
import functools
import sys

import pytest
import schedulefree
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.parts.optimizers import ScheduleFree, Torch
from thalweg.plan import Plan
from thalweg.train.compiled import CompiledStep
from thalweg.train.evaluated import Evaluated
from thalweg.train.step import Step

LOSS = nn.functional.cross_entropy
KINDS = {
    "Adadelta": {},
    "Adafactor": {},
    "Adamax": {},
    "ASGD": {"t0": 3.0},
    "Rprop": {},
    "SGD": {"momentum": 0.9},
    "NAdam": {},
}


class KeepsNumbers(torch.optim.Optimizer):
    """State of all kinds: numbers of Python, what is absent, and a number of the group that grows."""

    def __init__(self, params, lr=0.1, growth=1.5):
        super().__init__(params, {"lr": lr, "growth": growth, "scale": 1.0, "count": 0, "ready": False})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["scale"] *= group["growth"] ** 0.1
            group["count"] += 1
            group["ready"] = True
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    if not state:
                        state.update(calls=0, total=0.0, buffer=None)
                    elif state["calls"] == 2:
                        state["buffer"] = torch.zeros_like(p)
                    state["calls"] += 1
                    state["total"] += float(p.grad.norm())
                    if state["buffer"] is not None:
                        state["buffer"] += p.grad
                    direction = p.grad if state["buffer"] is None else p.grad + state["buffer"]
                    p -= group["lr"] * group["scale"] / (1 + state["total"]) * direction


class KeepsList(KeepsNumbers):
    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            self.state[p]["history"] = [p.clone()]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def batches(count: int) -> list:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)) for _ in range(count)
    ]


def restored(stepper: Step, source: Step) -> None:
    """What a checkpoint does: clones of all tensors, taken over by name."""
    saved = {name: value.clone() for name, value in source.state_dict().items()}
    stepper.load(saved)
    own = stepper.state_dict()
    assert own.keys() == saved.keys()
    for name, value in own.items():
        assert torch.equal(value, saved[name])
        assert value.dtype == saved[name].dtype
        value.copy_(saved[name])
    stepper.network.load_state_dict(source.network.state_dict())


def parts() -> list:
    own = [
        Torch(kind=f"torch.optim.{name}", weight_decay=0.0 if name == "Rprop" else 0.1, options=options)
        for name, options in KINDS.items()
    ]
    return [*own, Torch.of(KeepsNumbers), ScheduleFree(weight_decay=0.1), ScheduleFree(base="sgd", warmup_steps=4)]


every_part = pytest.mark.parametrize("part", parts(), ids=lambda part: getattr(part, "kind", repr(part)))


@every_part
def test_the_same_steps_as_by_hand_and_bit_identical_after_a_restore(part):
    stepper, other = Step(network(), LOSS, part), network()
    decayed = [p for p in other.parameters() if p.dim() > 1]
    spared = [p for p in other.parameters() if p.dim() <= 1]
    groups = (
        [{"params": decayed}, {"params": spared, "weight_decay": 0.0}] if part.weight_decay else [*other.parameters()]
    )
    by_hand = dataclasses.replace(part, lr=0.01).build(groups)
    if isinstance(part, ScheduleFree):
        by_hand.train()
    fresh = Step(network(), LOSS, part)
    restored(fresh, stepper)  # before the first step
    for step, batch in enumerate(batches(8)):
        rate = 0.01 * (1 + step % 3)
        stepper([batch], step=step, rate=rate)
        by_hand.zero_grad()
        LOSS(other(batch[0]), batch[1]).backward()
        for group in by_hand.param_groups:
            group["lr"] = rate
        by_hand.step()
        fresh([batch], step=step, rate=rate)
        if step in (0, 2, 3):
            fresh = Step(network(), LOSS, part)
            restored(fresh, stepper)
    for a, b, c in zip(stepper.network.parameters(), other.parameters(), fresh.network.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        assert a.grad is None


def test_going_back_to_before_the_first_step_forgets():
    stepper = Step(network(), LOSS, Torch(kind="torch.optim.Adamax"))
    start = {name: value.clone() for name, value in stepper.state_dict().items()}
    stepper([batches(1)[0]], step=0, rate=0.01)
    assert len(stepper.state_dict()) > len(start)
    stepper.load(start)
    assert stepper.state_dict().keys() == start.keys()


def test_numbers_come_back_as_they_were():
    part = Torch.of(KeepsNumbers)
    stepper = Step(network(), LOSS, part)
    for step, batch in enumerate(batches(4)):
        stepper([batch], step=step, rate=0.01)
    fresh = Step(network(), LOSS, part)
    restored(fresh, stepper)
    mine, theirs = (s.groups[0].foreign.built for s in (fresh, stepper))
    for name in ("scale", "count", "ready"):
        assert mine.param_groups[0][name] == theirs.param_groups[0][name]
        assert type(mine.param_groups[0][name]) is type(theirs.param_groups[0][name])
    assert mine.param_groups[0]["count"] == 4
    kept = next(iter(mine.state.values()))
    assert (type(kept["calls"]), type(kept["total"])) == (int, float)
    assert kept["calls"] == 4


def test_a_parameter_without_gradient_is_left_alone():
    part = Torch(kind="torch.optim.Adamax", weight_decay=0.1)
    net = network()
    net.unused = nn.Linear(2, 2)
    before = net.unused.weight.detach().clone()
    stepper = Step(net, lambda output, target: LOSS(output, target), part)
    net.forward = lambda x: nn.Sequential.forward(net[:4], x)
    stepper([batches(1)[0]], step=0, rate=0.01)
    assert torch.equal(net.unused.weight, before)
    assert not any("unused" in name for name in stepper.state_dict())


# ---------------------------------------------------------------------- schedule-free


def test_evaluation_weights_are_the_librarys_and_leave_no_trace():
    stepper, watched = (Step(network(), LOSS, ScheduleFree(lr=0.01)) for _ in range(2))
    average = Evaluated(watched.network, watched)
    for step, batch in enumerate(batches(6)):
        stepper([batch], step=step, rate=0.01)
        watched([batch], step=step, rate=0.01)
        average.settle([batch])
    assert all(
        torch.equal(a, b) for a, b in zip(stepper.network.parameters(), watched.network.parameters(), strict=True)
    )
    assert all(torch.equal(a, b) for a, b in zip(stepper.network.buffers(), watched.network.buffers(), strict=True))
    assert all(torch.equal(a, stepper.state_dict()[name]) for name, a in watched.state_dict().items())
    stepper.groups[0].foreign.built.eval()
    for a, b in zip(average.network.parameters(), stepper.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(average.network.parameters()), next(watched.network.parameters()))
    x = batches(6)[-1][0]
    hidden = average.network[0](x)
    assert torch.allclose(average.network[1].running_mean, hidden.mean(0), atol=1e-6)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x[:600], dtype=torch.float32) / 16, torch.tensor(y[:600])


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_run_keeps_the_averaged_weights_and_resumes_bit_identical(keep, tmp_path):
    free = ScheduleFree(lr=0.02)
    plan = Plan(optimizer=free, schedule=tw.schedules.Constant(), epochs=4, batch_size=64, keep=keep, probes=False)
    experiment = tw.Experiment(build, train=digits(), loss="cross_entropy", directory=tmp_path)
    whole = experiment.train(plan, listeners=())
    long = experiment.resume(experiment.train(plan.replace(epochs=2), listeners=()), epochs=4)
    for a, b in zip(whole.network.state_dict().values(), long.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    again = experiment.open(whole.name)
    for a, b in zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    found = [r.value for r in whole.store.readings() if r.name == "validation.accuracy"]
    assert max(found) > 0.9


def test_the_automatic_schedule_is_a_warm_up_alone(tmp_path):
    experiment = tw.Experiment(build, train=digits(), loss="cross_entropy", directory=tmp_path)
    run = experiment.train(Plan(optimizer=ScheduleFree(lr=0.02), epochs=1, probes=False), listeners=())
    assert run.plan.schedule == tw.schedules.Warmup()


def test_averaging_besides_is_refused(tmp_path):
    experiment = tw.Experiment(build, train=digits(), loss="cross_entropy", directory=tmp_path)
    plan = Plan(optimizer=ScheduleFree(lr=0.02), averaging=tw.averaging.EMA(), epochs=1, probes=False)
    with pytest.raises(UsageError, match=r"ScheduleFree averages the weights itself.*Leave averaging out"):
        experiment.train(plan, listeners=())


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "schedulefree", None)
    with pytest.raises(UsageError, match=r"pip install 'thalweg\[schedulefree\]'"):
        ScheduleFree(lr=0.1).build([nn.Parameter(torch.zeros(2))])


def test_a_schedule_free_class_given_as_it_is_is_evaluated_rightly_too():
    part = Torch.of(schedulefree.SGDScheduleFree)
    stepper = Step(network(), LOSS, part)
    stepper([batches(1)[0]], step=0, rate=0.1)
    stepper([batches(2)[1]], step=1, rate=0.1)
    assert stepper.evaluation_weights().keys() == set(stepper.names)


# ---------------------------------------------------------------------- specs


def test_a_plan_takes_classes_and_partials_and_goes_through_json():
    plan = Plan(optimizer=torch.optim.ASGD)
    assert plan.optimizer == Torch(kind="torch.optim.ASGD")
    given = functools.partial(torch.optim.Adafactor, lr=0.01, eps=[None, 1e-3], weight_decay=0.1)
    plan = Plan().replace(optimizer=given)
    assert plan.optimizer == Torch(
        kind="torch.optim.Adafactor", lr=0.01, weight_decay=0.1, options={"eps": (None, 1e-3)}
    )
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan(optimizer=torch.optim.AdamW).optimizer.weight_decay == 0.01  # the class's own
    assert Plan().replace(optimizer="torch.optim.Rprop").optimizer == Torch(kind="torch.optim.Rprop")
    free = Plan(optimizer=ScheduleFree(base="sgd", lr=1.0))
    assert Plan.from_json(free.to_json()) == free


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan(optimizer=torch.optim.LBFGS), r"LBFGS computes the loss several times in a step, by a closure"),
        (lambda: Plan(optimizer=nn.Linear), r"no subclass of torch\.optim\.Optimizer"),
        (lambda: Plan(optimizer=tw.optimizers.SGD), r"no subclass of torch\.optim\.Optimizer.*AdamW\(lr"),
        (lambda: Plan(optimizer=functools.partial(torch.optim.SGD, momentun=0.9)), r"no 'momentun'.*'momentum'"),
        (lambda: Plan(optimizer=functools.partial(torch.optim.SGD, [])), r"positional arguments"),
        (lambda: Torch(kind="Adam"), r"kind='Adam'; allowed: a path like"),
        (lambda: Torch(kind="a.B", options={"lr": 1}), r"'lr' among its options"),
        (lambda: Torch(kind="a.B", options={"f": len}), r"values that JSON knows"),
        (lambda: Torch(kind="no_such.Optimizer", lr=1.0).build([]), r"no optimizer 'no_such\.Optimizer'"),
        (lambda: Torch(kind="torch.nn.Linear", lr=1.0).build([]), r"torch\.nn\.Linear is no subclass"),
        (lambda: Torch(kind="torch.optim.Rprop", lr=1.0, weight_decay=1.0).build([]), r"Rprop takes no 'weight_decay'"),
        (lambda: Torch(kind="torch.optim.LBFGS", lr=1.0).build([nn.Parameter(torch.ones(1))]), r"by a closure"),
        (lambda: Torch(kind="torch.optim.ASGD").build([nn.Parameter(torch.ones(1))]), r"lr='auto'"),
        (lambda: ScheduleFree(base="adam"), r"base='adam'; allowed: 'adamw' or 'sgd'"),
        (lambda: ScheduleFree(beta=0.0), r"beta=0\.0; allowed: a number above 0"),
        (lambda: ScheduleFree(warmup_steps=0.1), r"warmup_steps=0\.1"),
        (lambda: ScheduleFree().update(None, {}, 1, None), r"no rule to compute an update with"),
    ],
)
def test_what_cannot_be_is_told(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_a_state_that_no_checkpoint_holds_is_refused_at_the_first_step():
    stepper = Step(network(), LOSS, Torch.of(KeepsList))
    with pytest.raises(ModelError, match=r"keeps a list under 'history'"):
        stepper([batches(1)[0]], step=0, rate=0.01)


def test_it_is_never_compiled():
    stepper = Step(network(), LOSS, ScheduleFree(lr=0.01))
    with pytest.raises(ModelError, match="ScheduleFree runs as the torch optimizer that it is"):
        CompiledStep(stepper, [batches(1)[0]])
