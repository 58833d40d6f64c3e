"""What a penalty on the weights costs in a step: acting on the gradients, against the norm in the loss.

    OMP_NUM_THREADS=1 python benchmarks/regularizers.py

Both train the same network with the same optimizer on the same batch. The loop has the penalty as a term of the loss, a
norm per parameter, which backward walks again. Times are medians of interleaved steps in one process, of process CPU
time; the cost of a penalty is the difference to the same step without one.
"""

import platform
import random
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.parts import optimizers, regularizers
from thalweg.parts.regularizers import L1, L2, DecoupledDecay, ElasticNet, MaxNorm, Regularizer
from thalweg.train.step import Step, undecayed

SECONDS = 6.0  # of measurement per network
PARTS: dict[str, Regularizer | None] = {
    "none": None,
    "L1": L1(strength=1e-4),
    "L1 proximal": L1(strength=1e-4, proximal=True),
    "L2": L2(strength=1e-4),
    "ElasticNet": ElasticNet(l1=1e-4, l2=1e-4),
    "DecoupledDecay": DecoupledDecay(strength=1e-4),
    "MaxNorm": MaxNorm(limit=3.0),
}
TERMS: dict[str, Callable[[Tensor], Tensor]] = {
    "L1": lambda w: 1e-4 * w.abs().sum(),
    "L2": lambda w: 0.5e-4 * w.square().sum(),
    "ElasticNet": lambda w: 1e-4 * w.abs().sum() + 0.5e-4 * w.square().sum(),
}


def mlp(width: int, depth: int) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(32, width), nn.ReLU(), *hidden, nn.Linear(width, 10))


def ours(network: nn.Module, part: Regularizer | None, batch: tuple[Tensor, Tensor]) -> Callable[[], object]:
    step = Step(network, F.cross_entropy, optimizers.SGD(lr=1e-4), regularizer=part)
    return lambda: step([batch], step=0, rate=1e-4)


def loop(
    network: nn.Module, term: Callable[[Tensor], Tensor] | None, batch: tuple[Tensor, Tensor]
) -> Callable[[], object]:
    """The loop everyone writes; weights alone are penalized, as with ours."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    spared = undecayed(network)
    weights = [p for p in network.parameters() if id(p) not in spared]

    def step() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(batch[0]), batch[1])
        if term is not None:
            for weight in weights:
                loss = loss + term(weight)
        loss.backward()
        optimizer.step()

    return step


def hand_renorm(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Callable[[], object]:
    """Max-norm as it is written by hand: norms and a scaling for each weight."""
    plain, weights = loop(network, None, batch), [p for p in network.parameters() if p.dim() > 1]

    def step() -> None:
        plain()
        with torch.no_grad():
            for weight in weights:
                norm = weight.norm(dim=1, keepdim=True)
                weight.mul_(norm.clamp(max=3.0) / (norm + 1e-7))

    return step


def times(forms: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median seconds of each form, one step of each in turn, in another order each time."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for step in forms.values():
        for _ in range(3):
            step()
    end, order = time.perf_counter() + SECONDS, random.Random(0)
    while time.perf_counter() < end:
        for name, step in order.sample(list(forms.items()), len(forms)):  # what ran before decides what is in the cache
            began = time.process_time()
            step()
            taken[name].append(time.process_time() - began)
    return {name: median(values) for name, values in taken.items()}


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread; batches of 32")
    for name, (width, depth) in {
        "32-64-64-10": (64, 1),
        "20 layers of 64": (64, 19),
        "4 layers of 1,024": (1024, 3),
    }.items():
        x, y = torch.randn(32, 32), torch.randint(0, 10, (32,))
        forms = {f"ours {part}": ours(mlp(width, depth), chosen, (x, y)) for part, chosen in PARTS.items()}
        forms |= {f"loop {part}": loop(mlp(width, depth), TERMS.get(part), (x, y)) for part in ("none", *TERMS)}
        forms["loop MaxNorm"] = hand_renorm(mlp(width, depth), (x, y))
        taken = times(forms)
        print(
            f"\n| {name} | step, µs | the penalty of it, µs | loop with it in the loss, µs | of it, µs | step ratio |"
        )
        print("|---|---|---|---|---|---|")
        for part in PARTS:
            own = taken[f"ours {part}"]
            cells = [f"{own * 1e6:.0f}", f"{(own - taken['ours none']) * 1e6:.0f}"]
            if (theirs := taken.get(f"loop {part}")) is not None:
                extra = f"{(theirs - taken['loop none']) * 1e6:.0f}"
                cells += [f"{theirs * 1e6:.0f}", extra, f"{theirs / own:.2f}×"]
            else:
                cells += ["", "", ""]
            print(f"| {part} | " + " | ".join(cells) + " |")
    print("\nA ratio is the time of the loop's step over ours; MaxNorm's loop is written by hand after the step.")


if __name__ == "__main__":
    assert set(regularizers.__all__) - {"Several"} == {
        type(part).__name__ for part in PARTS.values() if part is not None
    }
    main()
