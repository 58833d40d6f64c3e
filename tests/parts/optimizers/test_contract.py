"""Every optimizer through the same cases; the reference is torch.optim with foreach=False, its plainest form.

Of Lion, which torch has not, the reference is the code of the paper's authors.
"""

import copy
import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.parts import optimizers
from thalweg.parts.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Muon, NAdam, Optimizer, RAdam, RMSprop
from thalweg.parts.optimizers.as_torch import RuleOptimizer
from thalweg.parts.optimizers.optimizer import by_device_and_dtype

CASES = [
    SGD(lr=0.1),
    SGD(lr=0.1, weight_decay=1e-3),
    SGD(lr=0.1, momentum=0.9),
    SGD(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=1e-3),
    SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    Adagrad(lr=0.01),
    Adagrad(lr=0.01, lr_decay=1e-3, initial_accumulator_value=0.1, weight_decay=1e-3, eps=1e-6),
    RMSprop(lr=1e-3),
    RMSprop(lr=1e-3, alpha=0.95, momentum=0.9, weight_decay=1e-3, eps=1e-6),
    RMSprop(lr=1e-3, centered=True),
    RMSprop(lr=1e-3, centered=True, momentum=0.9, weight_decay=1e-3),
    Adam(lr=1e-3),
    Adam(lr=1e-3, betas=(0.8, 0.99), weight_decay=1e-2, eps=1e-6),
    AdamW(lr=1e-3),
    AdamW(lr=1e-2, weight_decay=0.1, betas=(0.95, 0.99)),
    Adam(lr=1e-3, amsgrad=True, weight_decay=1e-3),
    AdamW(lr=1e-3, amsgrad=True, betas=(0.9, 0.9)),
    NAdam(lr=1e-3),
    NAdam(lr=1e-3, weight_decay=1e-2, momentum_decay=0.1, betas=(0.8, 0.99), eps=1e-6),
    NAdam(lr=1e-3, weight_decay=0.1, decoupled_weight_decay=True),
    RAdam(lr=1e-3),
    RAdam(lr=1e-3, weight_decay=1e-2, betas=(0.8, 0.99), eps=1e-6),
    RAdam(lr=1e-3, weight_decay=0.1, decoupled_weight_decay=True),
    Lion(lr=1e-3),
    Lion(lr=1e-3, weight_decay=0.1, betas=(0.95, 0.98)),
    Muon(lr=1e-3),
    Muon(lr=1e-2, weight_decay=0.0, momentum=0.9, nesterov=False, ns_steps=3, adjust_lr_fn="original"),
]
FORMS = {RMSprop: "foreach", NAdam: "foreach", RAdam: "foreach"}  # of torch's optimizers; of the others "fused"
OURS = (Lion, Muon)  # built by RuleOptimizer
AS_THEY_ARE = {"ScheduleFree", "Torch"}  # no rule of ours: tests/train/test_foreign_optimizer.py
ROUTING = {"betas", "also_adamw"}  # fields of Muon that are about the other parameters
LIMITS = {torch.float64: 1e-12, torch.float32: 1e-6}  # error in norm after 1,000 steps
every_case = pytest.mark.parametrize("optimizer", CASES, ids=repr)
every_dtype = pytest.mark.parametrize("dtype", LIMITS, ids=str)


class AuthorsLion(torch.optim.Optimizer):
    """As in github.com/google/automl, lion/lion_pytorch.py."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                if len(self.state[p]) == 0:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
                exp_avg = self.state[p]["exp_avg"]
                update = exp_avg * beta1 + p.grad * (1 - beta1)
                p.add_(update.sign_(), alpha=-group["lr"])
                exp_avg.mul_(beta2).add_(p.grad, alpha=1 - beta2)


class FlatMuon(torch.optim.Muon):
    """torch's Muon on matrices that stand for parameters of more dimensions."""

    def __init__(self, params, **values):
        self.given = params
        self.flat = [nn.Parameter(p.detach().flatten(1).clone()) for p in params]
        super().__init__(self.flat, **values)

    def step(self):
        for p, flat in zip(self.given, self.flat, strict=True):
            flat.grad = None if p.grad is None else p.grad.flatten(1)
        super().step()
        with torch.no_grad():
            for p, flat in zip(self.given, self.flat, strict=True):
                p.copy_(flat.reshape(p.shape))


def reference(optimizer: Optimizer, params: Any, **form: Any) -> torch.optim.Optimizer:
    arguments = dataclasses.asdict(optimizer)
    if isinstance(optimizer, Lion):
        return AuthorsLion(params, **arguments)
    if isinstance(optimizer, Muon):
        kind = torch.optim.Muon if all(p.dim() == 2 for p in params) else FlatMuon
        return kind(params, **{name: value for name, value in arguments.items() if name not in ROUTING})
    return getattr(torch.optim, type(optimizer).__name__)(params, **arguments, **(form or {"foreach": False}))


def replay(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], gradients: list[list[Tensor]]) -> list[Tensor]:
    for step in gradients:
        for param, gradient in zip(params, step, strict=True):
            param.grad = None if gradient is None else gradient.to(param.dtype).to(param.device)
        optimizer.step()
    return [param.detach() for param in params]


def parameters(start: list[Tensor], dtype: torch.dtype, device: str = "cpu") -> list[nn.Parameter]:
    return [nn.Parameter(tensor.to(device, dtype, copy=True)) for tensor in start]


@torch.no_grad()
def replay_kernel(
    optimizer: Optimizer, start: list[Tensor], gradients: list[list[Tensor]], dtype: torch.dtype, device: str = "cpu"
) -> list[Tensor]:
    own: list[Tensor] = [tensor.to(device, dtype, copy=True) for tensor in start]
    state = optimizer.init(own)
    for step in gradients:
        have = [i for i, gradient in enumerate(step) if gradient is not None]
        chosen = {name: [tensors[i] for i in have] for name, tensors in state.items()}
        found = [step[i].to(dtype).to(device) for i in have]
        optimizer.apply_([own[i] for i in have], found, chosen, lr=optimizer.lr)
    return own


def replay_rule(
    optimizer: Optimizer, start: list[Tensor], gradients: list[list[Tensor]], dtype: torch.dtype
) -> list[Tensor]:
    own = [tensor.to(dtype) for tensor in start]
    slots = [optimizer.start(tensor) for tensor in own]
    for count, step in enumerate(gradients, start=1):
        for i, gradient in enumerate(step):
            update, slots[i] = optimizer.update(gradient.to(dtype), slots[i], count, own[i])
            own[i] = own[i] + update
    return own


def error(found: list[Tensor], expected: list[Tensor]) -> float:
    """The relative error of all parameters together, in norm."""
    pairs = [(f.double().cpu(), e.double().cpu()) for f, e in zip(found, expected, strict=True)]
    difference = sum(float(((f - e) ** 2).sum()) for f, e in pairs)
    return (difference / sum(float((e**2).sum()) for _, e in pairs)) ** 0.5


@every_dtype
@every_case
def test_rule_and_kernel_equal_torch(optimizer, dtype, recording):
    params = parameters(recording.start, dtype)
    expected = replay(reference(optimizer, params), params, recording.gradients)
    assert error(expected, recording.start) > 0.05, "the reference hardly moved: nothing would be compared"
    assert error(replay_rule(optimizer, recording.start, recording.gradients, dtype), expected) < LIMITS[dtype]
    assert error(replay_kernel(optimizer, recording.start, recording.gradients, dtype), expected) < LIMITS[dtype]


@every_case
def test_build_is_torch_and_equal(optimizer, recording):
    params = parameters(recording.start, torch.float64)
    built = optimizer.build(iter(params))
    assert type(built) is (
        RuleOptimizer if isinstance(optimizer, OURS) else getattr(torch.optim, type(optimizer).__name__)
    )
    assert built.defaults["lr"] == optimizer.lr
    found = replay(built, params, recording.gradients[:100])
    params = parameters(recording.start, torch.float64)
    assert error(found, replay(reference(optimizer, params), params, recording.gradients[:100])) < 1e-12


@every_case
def test_parameter_without_gradient_stays_and_does_not_count(optimizer, recording):
    # The second parameter begins late, the third misses every third step, the fourth never has a gradient.
    gradients = [
        [step[0], step[1] if i >= 5 else None, step[2] if i % 3 else None, None]
        for i, step in enumerate(recording.gradients[:60])
    ]
    params = parameters(recording.start, torch.float64)
    expected = replay(reference(optimizer, params), params, gradients)
    found = replay_kernel(optimizer, recording.start, gradients, torch.float64)
    assert error(found, expected) < 1e-12
    assert torch.equal(found[3], recording.start[3])


def member_values(optimizer: Optimizer, member: int) -> dict[str, Any]:
    """Hyper-parameters of one of several members: every number of the optimizer, varied."""
    values: dict[str, Any] = {}
    for name, value in dataclasses.asdict(optimizer).items():
        if name == "betas":
            values[name] = tuple(beta - 0.01 * member for beta in value)
        elif isinstance(value, float) and value:
            values[name] = value * (1 - 0.1 * member)
    values.pop("initial_accumulator_value", None)
    return values


def together_of(slots: list[Any], name: str, form: str) -> Tensor:
    """A slot of all members; what is one number for a parameter broadcasts like a hyper-parameter."""
    stack = torch.stack([own[name] for own in slots])
    return stack[:, None] if form == "broadcast" and stack.dim() == 1 else stack


def stacked(members: list[Any], shape: tuple[int, ...]) -> Any:
    if isinstance(members[0], dict):
        return {name: stacked([member[name] for member in members], shape) for name in members[0]}
    if isinstance(members[0], tuple):
        return tuple(stacked(list(values), shape) for values in zip(*members, strict=True))
    return torch.tensor(members, dtype=torch.float64).reshape(shape)


@pytest.mark.parametrize("form", ["vmap", "broadcast"])
@every_case
def test_members_at_once_equal_members_alone(optimizer, form, recording, monkeypatch):
    if form == "broadcast" and isinstance(optimizer, Muon):
        pytest.skip("the members of Muon are matrices of their own, not rows of one")
    limit = 1e-14
    if isinstance(
        optimizer, Muon
    ):  # products of matrices round to bfloat16 by their shape, so the members stay float64
        monkeypatch.setattr(Tensor, "bfloat16", Tensor.double)
        limit = 1e-12  # the iteration makes small singular values, and their rounding, 500 times as large
    count = 3
    values = [member_values(optimizer, member) for member in range(count)]
    hyper = stacked(values, (count,) if form == "vmap" else (count, 1))
    start = torch.stack([recording.start[1] * (1 + member) for member in range(count)])
    alone, alone_slots = list(start), [optimizer.start(tensor) for tensor in start]
    together, slots = start, {name: together_of(alone_slots, name, form) for name in alone_slots[0]}
    for step, gradients in enumerate(recording.gradients[:60], start=1):
        gradient = torch.stack([gradients[1] * (1 + 0.5 * member) for member in range(count)])

        def one(g, s, p, h, step=step):
            return optimizer.update(g, s, step, p, h)

        update, slots = (
            torch.func.vmap(one)(gradient, slots, together, hyper)
            if form == "vmap"
            else one(gradient, slots, together, hyper)
        )
        together = together + update
        for i in range(count):
            update, alone_slots[i] = optimizer.update(gradient[i], alone_slots[i], step, alone[i], values[i])
            alone[i] = alone[i] + update
    assert error(list(together), alone) < limit
    assert error([together[0]], [together[1]]) > 0.01, "the members are the same: nothing would be compared"


@every_case
def test_rule_compiles_into_one_graph(optimizer, recording):
    step = torch.tensor(3.0, dtype=torch.float64)
    parameter, gradient = recording.start[0], recording.gradients[0][0]
    compiled = torch.compile(optimizer.update, backend="eager", fullgraph=True)
    found, found_slots = compiled(gradient, optimizer.start(parameter), step, parameter)
    expected, slots = optimizer.update(gradient, optimizer.start(parameter), 3, parameter)
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)
    assert found_slots.keys() == slots.keys()
    torch._dynamo.reset()


@every_case
def test_rule_changes_none_of_its_inputs(optimizer, recording):
    parameter, gradient, slots = recording.start[0], recording.gradients[0][0], optimizer.start(recording.start[0])
    before = copy.deepcopy((parameter, gradient, slots))
    _, after = optimizer.update(gradient, slots, 1, parameter)
    assert torch.equal(parameter, before[0])
    assert torch.equal(gradient, before[1])
    assert all(torch.equal(slots[name], before[2][name]) for name in slots)
    assert after.keys() == slots.keys()


@every_case
def test_kernel_leaves_the_gradients(optimizer, recording):
    gradients = [gradient.clone() for gradient in recording.gradients[0]]
    replay_kernel(optimizer, recording.start, [gradients] * 2, torch.float64)
    assert all(torch.equal(g, before) for g, before in zip(gradients, recording.gradients[0], strict=True))


@every_case
def test_bfloat16_moves_every_entry_rightly(optimizer, recording):
    """A few steps at a rate of 5, where a step is far above the rounding; torch's fused SGD fails this on a CPU."""
    dtype = torch.bfloat16
    count = 8 if isinstance(optimizer, RAdam) else 3  # the sixth is the first that divides
    gradients = [[gradient.to(dtype).double() for gradient in step] for step in recording.gradients[:count]]
    start = [tensor.to(dtype).double() for tensor in recording.start]
    eps = {"eps": 1e-3} if isinstance(optimizer, Adagrad | RMSprop | Adam | NAdam | RAdam) else {}
    optimizer = dataclasses.replace(optimizer, lr=5.0, **eps)
    if isinstance(optimizer, Lion):  # the sign of a sum that rounding carries over 0 is a toss of a coin
        optimizer = dataclasses.replace(optimizer, betas=(0.0, 0.99))
    if isinstance(optimizer, Muon):  # without Nesterov torch's scales the momentum itself: a bfloat16 copy is no copy
        optimizer = dataclasses.replace(optimizer, nesterov=True)
    expected = replay_rule(optimizer, start, gradients, torch.float64)
    if isinstance(optimizer, Muon):  # its iteration multiplies the rounding of what it begins with, in torch's as here
        params = parameters(start, dtype)
        expected = replay(reference(optimizer, params), params, gradients)
    for replayed in (replay_kernel, replay_rule):
        found = replayed(optimizer, start, gradients, dtype)
        assert {tensor.dtype for tensor in found} == {dtype}
        assert error(found, expected) < 2 * torch.finfo(dtype).eps


@every_case
def test_state_has_torchs_names_and_shapes(optimizer, recording):
    params = parameters(recording.start, torch.float32)
    state = optimizer.init(params)
    assert tuple(state) == optimizer.slots
    torchs = reference(optimizer, params)
    replay(torchs, params, recording.gradients[:1])
    for i, param in enumerate(params):
        for name, tensors in state.items():
            if name == "step":
                assert (tensors[i].shape, tensors[i].dtype, float(tensors[i])) == ((), torch.float32, 0.0)
            else:
                kept = torchs.state[param][name]
                assert (tensors[i].shape, tensors[i].dtype) == (kept.shape, kept.dtype)
                assert not tensors[i].requires_grad


@every_case
def test_state_copied_elsewhere_goes_on_bit_identical(optimizer, recording):
    whole = replay_kernel(optimizer, recording.start, recording.gradients[:20], torch.float32)
    own = [tensor.float() for tensor in recording.start]
    state = optimizer.init(own)
    with torch.no_grad():
        for i, gradients in enumerate(recording.gradients[:20]):
            if i == 10:  # as after loading: none of the step counts is a view of another tensor anymore
                state = {name: [tensor.clone() for tensor in tensors] for name, tensors in state.items()}
            optimizer.apply_(own, [g.float() for g in gradients], state, lr=optimizer.lr)
    assert all(torch.equal(a, b) for a, b in zip(own, whole, strict=True))


def moved_by_kernel(optimizer: Optimizer, params: list[nn.Parameter], state: Any, gradients: list[list[Tensor]]) -> Any:
    with torch.no_grad():
        for step in gradients:
            optimizer.apply_([p.detach() for p in params], step, state, lr=optimizer.lr)
    return state


@every_case
def test_state_goes_from_and_to_torch(optimizer, recording):
    """Ten steps here and ten there equal twenty steps of either, the fourth parameter beginning with the second ten."""
    first, last = recording.gradients[:10], recording.gradients[10:20]
    params = parameters(recording.start, torch.float64)
    expected = replay(reference(optimizer, params), params, [*([*step[:3], None] for step in first), *last])

    params = parameters(recording.start, torch.float64)
    theirs = reference(optimizer, params)
    replay(theirs, params, [[*step[:3], None] for step in first])
    moved_by_kernel(optimizer, params, optimizer.load_torch_state(theirs.state_dict(), params), last)
    assert error([p.detach() for p in params], expected) < 1e-12

    params = parameters(recording.start, torch.float64)
    state = optimizer.init(params)
    three = {name: tensors[:3] for name, tensors in state.items()}
    moved_by_kernel(optimizer, params[:3], three, [step[:3] for step in first])
    theirs = reference(optimizer, params)
    theirs.load_state_dict(optimizer.to_torch_state(state, params))
    assert error(replay(theirs, params, last), expected) < 1e-12


def test_a_state_that_does_not_fit_is_told():
    weight = nn.Parameter(torch.zeros(3))
    adam = torch.optim.Adam([weight], lr=0.1)
    weight.grad = torch.ones(3)
    adam.step()
    with pytest.raises(UsageError, match=r"needs 'max_exp_avg_sq' of shape \(3,\)"):
        Adam(lr=0.1, amsgrad=True).load_torch_state(adam.state_dict(), [weight])
    with pytest.raises(UsageError, match="of 1 parameters, and 2 are given"):
        Adam(lr=0.1).load_torch_state(adam.state_dict(), [weight, weight])
    with pytest.raises(UsageError, match=r"shape is \(2,\)"):
        Adam(lr=0.1).load_torch_state(adam.state_dict(), [nn.Parameter(torch.zeros(2))])


@every_case
def test_layouts_and_dtypes_may_differ(optimizer, recording):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(4, 3, 5, 5, generator=generator, dtype=torch.float64)
    start = [recording.start[0].t().contiguous().t(), image.to(memory_format=torch.channels_last), recording.start[2]]
    gradients = [recording.gradients[0][0], image * 0.1, recording.gradients[0][2].t().contiguous().t()]
    dtypes = [torch.float64, torch.float64, torch.float32]
    params = [nn.Parameter(tensor.to(dtype)) for tensor, dtype in zip(start, dtypes, strict=True)]
    own = [param.detach().clone() for param in params]
    strides = [tensor.stride() for tensor in own]
    torchs, state = reference(optimizer, params), optimizer.init(own)
    for _ in range(3):
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = gradient.to(param.dtype)
        torchs.step()
        with torch.no_grad():
            optimizer.apply_(own, [param.grad for param in params], state, lr=optimizer.lr)
    assert error(own, [param.detach() for param in params]) < 1e-7
    assert [tensor.stride() for tensor in own] == strides


@every_case
def test_mixed_dtypes_equal_each_dtype_alone(optimizer, recording):
    dtypes = [torch.float32, torch.bfloat16, torch.float64, torch.bfloat16]
    start = [tensor.to(dtype) for tensor, dtype in zip(recording.start, dtypes, strict=True)]
    gradients = [[g.to(dtype) for g, dtype in zip(step, dtypes, strict=True)] for step in recording.gradients[:3]]
    own, alone = [tensor.clone() for tensor in start], [tensor.clone() for tensor in start]
    state, states = optimizer.init(own), [optimizer.init([tensor]) for tensor in alone]
    with torch.no_grad():
        for step in gradients:
            optimizer.apply_(own, step, state, lr=optimizer.lr)
            for tensor, gradient, one in zip(alone, step, states, strict=True):
                optimizer.apply_([tensor], [gradient], one, lr=optimizer.lr)
    assert all(torch.equal(a, b) for a, b in zip(own, alone, strict=True))


def test_lists_are_split_by_dtype_and_stay_aligned():
    kinds = [torch.float32, torch.bfloat16, torch.float32]
    lists = [[torch.full((2,), float(i), dtype=kind) for i, kind in enumerate(kinds)] for _ in range(3)]
    split = sorted([[float(t[0]) for t in tensors] for tensors in kind] for kind in by_device_and_dtype(lists))
    assert split == [[[0.0, 2.0]] * 3, [[1.0]] * 3]


@every_case
def test_broken_tensors_are_refused_and_nothing_moves(optimizer, recording):
    with pytest.raises(UsageError, match=r"gaps or overlaps.*contiguous\(\)"):
        optimizer.init([torch.zeros(3, 8)[:, ::2]])
    own = [tensor.clone() for tensor in recording.start[:2]]
    state = optimizer.init(own)
    with torch.no_grad(), pytest.raises(UsageError, match=r"gradient is sparse.*sparse=False"):
        optimizer.apply_(own, [recording.gradients[0][0].to_sparse(), recording.gradients[0][1]], state, lr=0.1)
    assert all(torch.equal(a, b) for a, b in zip(own, recording.start, strict=False))
    assert all(float(step) == 0 for step in state.get("step", []))


@every_case
def test_build_takes_groups_and_picks_the_form(optimizer, recording):
    form = "foreach" if getattr(optimizer, "dampening", 0) else FORMS.get(type(optimizer), "fused")
    params = parameters(recording.start, torch.float32)
    built = optimizer.build([{"params": params[:2], "weight_decay": 0.0}, {"params": params[2:], "lr": 0.5}])
    assert [group["lr"] for group in built.param_groups] == [optimizer.lr, 0.5]
    assert built.param_groups[0]["weight_decay"] == 0
    if isinstance(optimizer, OURS):
        return
    assert built.defaults[form] is True
    assert optimizer.build(nn.Linear(2, 2).named_parameters()).defaults[form] is True
    with_gaps, half = nn.Parameter(torch.zeros(3, 8)[:, ::2]), nn.Parameter(torch.zeros(40, dtype=torch.bfloat16))
    assert optimizer.build([with_gaps]).defaults["foreach"] is True
    assert optimizer.build([half]).defaults["foreach" if isinstance(optimizer, SGD) else form] is True


@pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam, AdamW, NAdam, RAdam, Lion, Muon])
def test_rate_auto_is_refused_where_a_number_is_needed(kind):
    assert kind().lr == "auto"
    with pytest.raises(UsageError, match=rf"{kind.__name__} has lr='auto'.*give a number"):
        kind().build([nn.Parameter(torch.zeros(2))])
    zero = torch.zeros(2, 2)
    with pytest.raises(UsageError, match="lr='auto'"):
        kind().update(zero, kind().start(zero), 1, zero)
    kind().update(zero, kind().start(zero), 1, zero, {"lr": 0.1})


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (SGD, {"lr": 0}, r"SGD got lr=0; allowed: 'auto' or a number above 0"),
        (SGD, {"lr": "fast"}, r"lr='fast'"),
        (SGD, {"lr": float("nan")}, r"lr=nan"),
        (SGD, {"lr": float("inf")}, r"lr=inf"),
        (SGD, {"lr": True}, r"lr=True"),
        (SGD, {"momentum": 1.0}, r"momentum=1.0; allowed: a number from 0 to below 1"),
        (SGD, {"dampening": 1.5}, r"dampening=1.5; allowed: a number from 0 to 1"),
        (SGD, {"nesterov": 1}, r"nesterov=1; allowed: True or False"),
        (SGD, {"nesterov": True}, r"needs a momentum above 0"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, r"dampening of 0"),
        (Adagrad, {"weight_decay": -1}, r"Adagrad got weight_decay=-1; allowed: a number of at least 0"),
        (Adagrad, {"lr_decay": -1}, r"lr_decay=-1"),
        (Adagrad, {"initial_accumulator_value": -1}, r"initial_accumulator_value=-1"),
        (Adagrad, {"eps": None}, r"eps=None"),
        (RMSprop, {"alpha": 1}, r"alpha=1; allowed: a number from 0 to below 1"),
        (RMSprop, {"eps": -1e-8}, r"eps=-1e-08"),
        (RMSprop, {"momentum": -0.1}, r"momentum=-0.1"),
        (RMSprop, {"centered": "yes"}, r"centered='yes'"),
        (Adam, {"betas": 0.9}, r"betas=0.9; allowed: a tuple of two numbers, each from 0 to below 1"),
        (Adam, {"betas": (0.9, 1.0)}, r"betas=\(0.9, 1.0\)"),
        (AdamW, {"eps": -1}, r"AdamW got eps=-1"),
        (AdamW, {"amsgrad": 1}, r"amsgrad=1; allowed: True or False"),
        (NAdam, {"momentum_decay": -1}, r"NAdam got momentum_decay=-1"),
        (NAdam, {"betas": (1.0, 0.9)}, r"betas=\(1.0, 0.9\)"),
        (RAdam, {"decoupled_weight_decay": "yes"}, r"decoupled_weight_decay='yes'"),
        (Lion, {"betas": [0.9, 0.99]}, r"betas=\[0.9, 0.99\]"),
        (Muon, {"momentum": 1.0}, r"Muon got momentum=1.0"),
        (Muon, {"ns_steps": 0}, r"ns_steps=0; allowed: an integer from 1 to 99"),
        (Muon, {"ns_coefficients": (1, 2)}, r"allowed: a tuple of three numbers"),
        (Muon, {"adjust_lr_fn": None}, r"'match_rms_adamw' or 'original'"),
        (Muon, {"also_adamw": "head"}, r"also_adamw='head'; allowed: a tuple of names"),
    ],
)
def test_wrong_values_are_named(kind, values, message):
    with pytest.raises(UsageError, match=message):
        kind(**values)


def test_names_of_the_family():
    assert set(optimizers.__all__) - AS_THEY_ARE == {type(case).__name__ for case in CASES}
    for name in set(optimizers.__all__) - AS_THEY_ARE:
        assert issubclass(getattr(optimizers, name), Optimizer)
        if name != "Lion":
            ours = {field.name for field in dataclasses.fields(getattr(optimizers, name))}
            torchs = getattr(torch.optim, name).__init__.__annotations__
            assert ours - (ROUTING if name == "Muon" else set()) <= torchs.keys()


def test_defaults_are_torchs():
    differing = {"lr", *ROUTING, "adjust_lr_fn"}  # a rate for Muon that suits AdamW too
    for name in set(optimizers.__all__) - AS_THEY_ARE - {"Lion"}:
        torchs = getattr(torch.optim, name)([nn.Parameter(torch.zeros(1, 1))]).defaults
        ours = dataclasses.asdict(getattr(optimizers, name)())
        left_out = differing if name == "Muon" else {"lr"}
        assert {key: value for key, value in ours.items() if key not in left_out} == {
            key: torchs[key] for key in ours.keys() - left_out
        }


def test_import_and_specs_need_no_torch():
    program = (
        "import sys; from thalweg.parts import optimizers, schedules\n"
        "for name in optimizers.__all__:\n"
        "    getattr(optimizers, name)(lr=0.1, **({'kind': 'torch.optim.ASGD'} if name == 'Torch' else {}))\n"
        "for name in schedules.__all__: getattr(schedules, name)().factor(0, 10)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_case
def test_kernel_equals_torch_on_cuda(optimizer, recording):
    gradients = recording.gradients[:100]
    params = parameters(recording.start, torch.float64, "cuda")
    expected = replay(reference(optimizer, params), params, gradients)
    assert error(replay_kernel(optimizer, recording.start, gradients, torch.float64, "cuda"), expected) < 1e-12


@every_case
def test_large_parameters_in_pieces_equal_torch(optimizer):
    """Above a cache's size some kernels go piece by piece, across small tensors and along the memory of large ones."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(40, 24, 9, 9, generator=generator, dtype=torch.float64).to(memory_format=torch.channels_last)
    shapes = [(40, 30), (300, 250), (2, 3), (200, 200), (250, 200)]
    start = [*(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes), image]
    gradients = [[torch.randn_like(p) * (1 + step) for p in start] for step in range(7)]
    params = parameters(start, torch.float64)
    expected = replay(reference(optimizer, params), params, gradients)
    found = replay_kernel(optimizer, start, gradients, torch.float64)
    assert error(found, expected) < 1e-12
