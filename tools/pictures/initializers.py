"""Pictures of the initializers: what a deep network makes of the signal, and what the weights look like."""

import numpy as np
import torch
from pictures.plot import curves, heat, histogram, row
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.initialization import initialize
from thalweg.parts.initializers import (
    LSUV,
    Constant,
    Dirac,
    ForgetBias,
    He,
    Initializer,
    LeCun,
    Normal,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    Xavier,
    ZeroResidual,
)

DEPTH, WIDTH, ROWS = 20, 96, 48
ACTIVATIONS = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "SiLU": nn.SiLU, "SELU": nn.SELU}


def draw() -> dict[str, str]:
    """File stem of each part -> SVG."""
    torch.manual_seed(0)
    return {
        "constant": units(),
        "normal": row(
            spread(Normal(std=0.02), "N(0, 0.02²)"),
            through_depth({f"std {std}": Normal(std=std) for std in (0.01, 0.05, 0.2)}, "tanh"),
        ),
        "truncated_normal": row(
            spread(TruncatedNormal(), "TruncatedNormal(std=0.02)"),
            through_depth({f"std {std}": TruncatedNormal(std=std) for std in (0.02, 0.1)}, "tanh"),
        ),
        "uniform": row(
            spread(Uniform(), "U(−0.05, 0.05)"),
            through_depth({f"±{bound}": Uniform(low=-bound, high=bound) for bound in (0.05, 0.2)}, "tanh"),
        ),
        "xavier": both({"Xavier": Xavier(), "Xavier normal": Xavier(distribution="normal")}),
        "he": both({"He": He(), "He fan_out": He(mode="fan_out")}),
        "lecun": row(through_depth({"LeCun": LeCun()}, "SELU"), through_depth({"LeCun": LeCun(), "He": He()}, "ReLU")),
        "orthogonal": row(singular_values(), through_depth({"Orthogonal": Orthogonal()}, "tanh")),
        "dirac": matrix(Dirac().fill_(torch.empty(8, 12)), "Dirac: a matrix of 8 outputs and 12 inputs"),
        "sparse": row(
            matrix(filled(Sparse(sparsity=0.8), (12, 30)), "Sparse(sparsity=0.8): 6 of 30 inputs per unit"),
            through_depth({"Sparse": Sparse()}, "ReLU"),
        ),
        "lsuv": row(
            through_depth({"LSUV": LSUV(), "He": He()}, "SiLU"), through_depth({"LSUV": LSUV(), "He": He()}, "ReLU")
        ),
        "zero_residual": residual(),
        "forget_bias": memory(),
    }


def filled(initializer: Initializer, shape: tuple[int, ...]) -> Tensor:
    tensor = torch.empty(shape, dtype=torch.float64)
    return initializer.fill_(tensor, generator=torch.Generator().manual_seed(0))


def network_of(activation: str) -> nn.Sequential:
    layers = [part for _ in range(DEPTH) for part in (nn.Linear(WIDTH, WIDTH), ACTIVATIONS[activation]())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10)).double()


def through_depth(initializers: dict[str, Initializer], activation: str) -> str:
    """Deviation of the outputs of each hidden layer, beside torch's own draw."""
    torch.manual_seed(0)
    x, network = torch.randn(ROWS, WIDTH, dtype=torch.float64), network_of(activation)
    done = {name: initialize(network, x, initializer) for name, initializer in initializers.items()}
    drawn = {name: result.after.outputs for name, result in done.items()}
    drawn["torch's default"] = next(iter(done.values())).before.outputs
    layers = range(1, DEPTH + 1)
    series = [(name, layers, [v if v > 1e-9 else None for v in values[:DEPTH]]) for name, values in drawn.items()]
    return curves(series, f"Signal through {DEPTH} layers, {activation}", "layer", "deviation", y_scale="log")


def both(initializers: dict[str, Initializer]) -> str:
    return row(through_depth(initializers, "ReLU"), through_depth(initializers, "tanh"))


def spread(initializer: Initializer, title: str) -> str:
    counts, edges = np.histogram(filled(initializer, (200, 200)).flatten().numpy(), bins=40)
    return histogram(edges, counts, title, "weight", "of 40,000")


def singular_values() -> str:
    series = []
    for name, initializer in (("Orthogonal", Orthogonal()), ("normal, same deviation", Normal(std=WIDTH**-0.5))):
        values = torch.linalg.svdvals(filled(initializer, (WIDTH, WIDTH)))
        series.append((name, range(1, WIDTH + 1), values))
    return curves(series, f"Singular values of {WIDTH} × {WIDTH}", "rank", "value")


def matrix(weight: Tensor, title: str) -> str:
    names = [f"output {i + 1}" for i in range(len(weight))]
    return heat(names, range(1, weight.shape[1] + 1), weight.abs(), title, "input", "size of the weight")


def units() -> str:
    """How far the hidden units of a small network move apart in training."""
    x = torch.randn(128, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.sin(2 * x[:, :1]) * x[:, 1:2]
    series = []
    for name, initializer in (("Constant", Constant(value=0.1)), ("Normal", Normal(std=0.1))):
        network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)).double()
        initialize(network, x, initializer)
        optimizer, apart = torch.optim.SGD(network.parameters(), lr=0.2), []
        for _ in range(200):
            apart.append(float(network[0].weight.detach().std(0, correction=0).mean()))
            optimizer.zero_grad()
            F.mse_loss(network(x), target).backward()
            optimizer.step()
        series.append((name, range(200), apart))
    return curves(series, "How far hidden units are apart", "step", "deviation")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(F.relu(self.one(x)))


def residual() -> str:
    """The stream of a residual network without normalization, block by block."""
    torch.manual_seed(0)
    x, network = torch.randn(ROWS, WIDTH, dtype=torch.float64), nn.Sequential(*(Block() for _ in range(DEPTH))).double()
    series = []
    for name, initializer in (("He", He()), ("ZeroResidual(then=He())", ZeroResidual(then=He()))):
        initialize(network, x, initializer)
        stream, values = x, []
        with torch.no_grad():
            for block in network:
                stream = block(stream)
                values.append(float(stream.std()))
        series.append((name, range(1, DEPTH + 1), values))
    return curves(series, f"Residual stream through {DEPTH} blocks", "block", "deviation", y_scale="log")


def memory() -> str:
    """What an LSTM's cell keeps of a state of 1 while random inputs come in."""
    torch.manual_seed(0)
    x, cell, steps = torch.randn(30, 256, 8, dtype=torch.float64), nn.LSTMCell(8, 32).double(), 30
    series = []
    for value in (0.0, 1.0, 2.0):
        initialize(cell, x[0], ForgetBias(value=value))
        first = torch.ones(256, 32, dtype=torch.float64, requires_grad=True)
        state, kept = (torch.zeros_like(first), first), []
        for inputs in x:
            state = cell(inputs, state)
            (gradient,) = torch.autograd.grad(state[1].sum(), first, retain_graph=True)
            kept.append(float(gradient.mean()))
        series.append((f"bias {value:g}", range(1, steps + 1), kept))
    return curves(series, "What the cell keeps: ∂c(t) / ∂c(0)", "step t", y_scale="log")
