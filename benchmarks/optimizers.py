"""Optimizers against torch.optim: agreement over 1,000 recorded steps, and the time of a step.

    OMP_NUM_THREADS=1 python benchmarks/optimizers.py

Agreement is the distance to torch's plainest form (foreach=False) in norm, relative to the parameters. Times are
medians of the process's own time of interleaved steps, one thread; ours includes collecting the gradients, as torch's
does. Of Lion, which torch has not, the for-loop is the code of its authors and foreach the same with multi-tensor
operations; Muon is measured on matrices of the same sizes.
"""

import dataclasses
import platform
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor, nn

from thalweg.parts.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Muon, NAdam, Optimizer, RAdam, RMSprop

CASES = {
    "SGD": SGD(lr=0.1),
    "SGD momentum": SGD(lr=0.1, momentum=0.9),
    "SGD Nesterov, decay": SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "Adagrad": Adagrad(lr=0.01),
    "RMSprop": RMSprop(lr=1e-3),
    "RMSprop momentum": RMSprop(lr=1e-3, momentum=0.9),
    "RMSprop centered": RMSprop(lr=1e-3, centered=True),
    "Adam": Adam(lr=1e-3),
    "AdamW": AdamW(lr=1e-3),
    "AdamW amsgrad": AdamW(lr=1e-3, amsgrad=True),
    "NAdam": NAdam(lr=1e-3),
    "NAdam, decoupled decay": NAdam(lr=1e-3, weight_decay=0.01, decoupled_weight_decay=True),
    "RAdam": RAdam(lr=1e-3),
    "RAdam, decoupled decay": RAdam(lr=1e-3, weight_decay=0.01, decoupled_weight_decay=True),
    "Lion, decay": Lion(lr=1e-4, weight_decay=0.1),
    "Muon": Muon(lr=1e-3),
}
WITHOUT_FUSED = (RMSprop, NAdam, RAdam, Lion, Muon)  # in torch
Shapes = list[tuple[int, ...]]
MLP: Shapes = [(128, 64), (128,), (128, 128), (128,), (10, 128), (10,)]
SHAPES: dict[str, Shapes] = {
    "MLP 64-128-128-10": MLP,
    "60 x 1k": [(1000,)] * 60,
    "200 x 10k": [(10_000,)] * 200,
    "4 x 5M": [(5_000_000,)] * 4,
}
MATRICES: dict[str, Shapes] = {  # of the same sizes, for Muon
    "MLP 64-128-128-10": [(128, 64), (128, 128)],
    "60 x 1k": [(25, 40)] * 60,
    "200 x 10k": [(100, 100)] * 200,
    "4 x 5M": [(2000, 2500)] * 4,
}
SECONDS = 0.8  # of measurement per optimizer and shape
ROUNDS = 5  # at least, of the large ones
WARM_UP = 6  # steps: the first five of RAdam are others


def record(num_steps: int = 1000) -> tuple[list[Tensor], list[list[Tensor]]]:
    """The parameters of a small network before its training on digits, and its gradients step by step; float64."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(PCA(32, whiten=True, random_state=0).fit_transform(pixels)), torch.tensor(labels)
    network = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10)).double()
    start = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    gradients = []
    for _ in range(num_steps):
        rows = torch.randint(len(x), (32,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
        optimizer.step()
    return start, gradients


class PlainLion(torch.optim.Optimizer):
    """Lion as its authors wrote it for torch, or with its multi-tensor operations; torch has none."""

    def __init__(self, params: list[nn.Parameter], *, foreach: bool, **values: Any) -> None:
        super().__init__(params, values)
        self.foreach, self.means = foreach, [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        group, params, means = self.param_groups[0], self.param_groups[0]["params"], self.means
        rate, shrink, (beta1, beta2) = group["lr"], 1 - group["lr"] * group["weight_decay"], group["betas"]
        gradients = [p.grad for p in params]
        if self.foreach:
            torch._foreach_mul_(params, shrink)
            directions = torch._foreach_lerp(means, gradients, 1 - beta1)
            torch._foreach_sign_(directions)
            torch._foreach_add_(params, directions, alpha=-rate)
            torch._foreach_lerp_(means, gradients, 1 - beta2)
            return
        for p, gradient, mean in zip(params, gradients, means, strict=True):
            p.mul_(shrink)
            update = mean * beta1 + gradient * (1 - beta1)
            p.add_(update.sign_(), alpha=-rate)
            mean.mul_(beta2).add_(gradient, alpha=1 - beta2)


def torchs(optimizer: Optimizer, params: list[nn.Parameter], **form: bool) -> torch.optim.Optimizer:
    if isinstance(optimizer, Lion):
        return PlainLion(params, foreach=form.get("foreach", False), **dataclasses.asdict(optimizer))
    if isinstance(optimizer, Muon):
        own = {k: v for k, v in dataclasses.asdict(optimizer).items() if k not in ("betas", "also_adamw")}
        return torch.optim.Muon(params, **own)
    built: torch.optim.Optimizer = getattr(torch.optim, type(optimizer).__name__)(
        params, **dataclasses.asdict(optimizer), **form
    )
    return built


def errors(
    optimizer: Optimizer, start: list[Tensor], gradients: list[list[Tensor]], dtype: torch.dtype
) -> tuple[float, float]:
    """How far the rule and the kernel are from torch after all steps."""
    params = [nn.Parameter(p.to(dtype, copy=True)) for p in start]
    in_place, ruled = ([p.to(dtype, copy=True) for p in start] for _ in range(2))
    reference, state = torchs(optimizer, params, foreach=False), optimizer.init(in_place)
    slots = [optimizer.start(p) for p in ruled]
    for count, step in enumerate(gradients, start=1):
        cast = [gradient.to(dtype) for gradient in step]
        for i, (param, gradient) in enumerate(zip(params, cast, strict=True)):
            param.grad = gradient
            update, slots[i] = optimizer.update(gradient, slots[i], count, ruled[i])
            ruled[i] = ruled[i] + update
        reference.step()
        optimizer.apply_(in_place, cast, state, lr=float(optimizer.lr))
    expected = torch.cat([p.detach().flatten() for p in params]).double()
    found = (torch.cat([p.flatten() for p in own]).double() for own in (ruled, in_place))
    rule, kernel = (float((f - expected).norm() / expected.norm()) for f in found)
    return rule, kernel


def steppers(optimizer: Optimizer, shapes: Shapes) -> dict[str, Callable[[], object]]:
    """One function per form, each with its own tensors, that makes one step."""

    def fresh() -> list[nn.Parameter]:
        params = [nn.Parameter(torch.randn(shape)) for shape in shapes]
        for param in params:
            param.grad = torch.randn_like(param) * 1e-3
        return params

    params = fresh()
    own: list[Tensor] = list(params)
    state = optimizer.init(own)

    def apply() -> None:
        optimizer.apply_(own, [p.grad for p in params if p.grad is not None], state, lr=1e-4)

    forms: dict[str, Callable[[], object]] = {
        "apply_": apply,
        "for-loop": torchs(optimizer, fresh(), foreach=False).step,
    }
    if not isinstance(optimizer, Muon):
        forms["foreach"] = torchs(optimizer, fresh(), foreach=True).step
    if not isinstance(optimizer, WITHOUT_FUSED):
        forms["fused"] = torchs(optimizer, fresh(), fused=True).step
    return forms


def times(forms: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median seconds of each form, one step of each in turn."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for step in forms.values():
        for _ in range(WARM_UP):
            step()
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(taken["apply_"]) < ROUNDS:
        for name, step in forms.items():
            began = time.process_time()
            step()
            taken[name].append(time.process_time() - began)
    return {name: median(values) for name, values in taken.items()}


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread\n")
    print("| agreement with torch.optim | rule f64 | apply_ f64 | rule f32 | apply_ f32 |\n|---|---|---|---|---|")
    with torch.enable_grad():
        start, gradients = record()
    matrices = [i for i, p in enumerate(start) if p.dim() == 2]
    for name, optimizer in CASES.items():
        own = matrices if isinstance(optimizer, Muon) else range(len(start))
        recorded = [start[i] for i in own], [[step[i] for i in own] for step in gradients]
        found = [e for dtype in (torch.float64, torch.float32) for e in errors(optimizer, *recorded, dtype)]
        print(f"| {name} | " + " | ".join(f"{value:.1e}" for value in found) + " |")
    for shape, shapes in SHAPES.items():
        print(f"\n| step at {shape} | apply_, µs | torch for-loop | foreach | fused |\n|---|---|---|---|---|")
        for name, optimizer in CASES.items():
            taken = times(steppers(optimizer, MATRICES[shape] if isinstance(optimizer, Muon) else shapes))
            ratios = [
                f"{taken[f] / taken['apply_']:.2f}×" if f in taken else "none" for f in ("for-loop", "foreach", "fused")
            ]
            print(f"| {name} | {taken['apply_'] * 1e6:.0f} | " + " | ".join(ratios) + " |")
    print("\nA ratio is the time of torch's form over that of apply_: above 1, apply_ is faster.")


if __name__ == "__main__":
    main()
