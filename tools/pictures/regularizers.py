"""Pictures of the regularizers: what a penalty does to a weight, what dropout does to a network's output."""

from collections.abc import Callable

import torch
from pictures.plot import Triple, bars, curves, histogram, row
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.parts.regularizers import (
    L1,
    L2,
    AlphaDropout,
    ChannelDropout,
    DecoupledDecay,
    DropConnect,
    Dropout,
    ElasticNet,
    MaxNorm,
    Regularizer,
    Several,
    StochasticDepth,
    monte_carlo,
    rates_by_depth,
)

RATE, STEPS = 0.1, 60
DRAWS = 20_000


def draw() -> dict[str, str]:
    """A picture per part; random ones from fixed seeds."""
    l1, l2, both = L1(strength=0.5), L2(strength=0.5), ElasticNet(l1=0.25, l2=0.25)
    proximal, decay = L1(strength=0.5, proximal=True), DecoupledDecay(strength=0.5)
    limited = Several(parts=(L2(strength=0.5), MaxNorm(limit=1.5)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "l1": row(penalties(l1, l2), shrinkage({"L1, subgradient": l1, "L1, proximal": proximal, "L2": l2})),
            "l2": row(penalties(l2, l1), shrinkage({"L2": l2, "L1, proximal": proximal}), minimum(l2, proximal)),
            "elastic_net": row(penalties(both, l1, l2), shrinkage({"l1=0.25, l2=0.25": both, "L1": l1, "L2": l2})),
            "decoupled_decay": under_adam(decay, l2),
            "max_norm": max_norm(),
            "several": shrinkage({"L2 and MaxNorm(limit=1.5)": limited, "L2": l2}, start=2.0),
            "dropout": row(expectation(), first_layer_noise()),
            "channel_dropout": channels(),
            "alpha_dropout": standardized(),
            "drop_connect": outputs_of_weights(),
            "stochastic_depth": row(survival(), depths()),
            "rates_by_depth": survival(),
            "mc_dropout": band(),
        }


# ---------------------------------------------------------------------- penalties


def name_of(part: Regularizer) -> str:
    return type(part).__name__


def penalties(*parts: Regularizer) -> str:
    weights = torch.linspace(-2, 2, 81)
    shown = [(name_of(part), weights, [part.penalty([w]) for w in weights]) for part in parts]
    return curves(shown, "The penalty of a weight", "weight")


def step(part: Regularizer, weight: Tensor, gradient: Tensor, rate: float) -> None:
    """One step of plain descent, in the order of a training."""
    part.add_([gradient], [weight])
    part.decay_([weight], rate=rate)
    weight -= rate * gradient
    part.constrain_([weight], rate=rate)


def shrinkage(parts: dict[str, Regularizer], start: float = 1.0) -> str:
    """Weights that nothing but the penalty moves."""
    shown: list[Triple] = []
    for name, part in parts.items():
        weight, path = torch.tensor([[start]]), [start]
        for _ in range(STEPS):
            step(part, weight, torch.zeros(1, 1), RATE)
            path.append(float(weight))
        shown.append((name, range(STEPS + 1), path))
    return curves(shown, f"A weight without gradient, strength 0.5, rate {RATE}", "step", "weight")


def minimum(*parts: Regularizer) -> str:
    """Where the loss (w − a)²/2 and the penalty are lowest together, found by descent with the parts themselves."""
    best = torch.linspace(-2, 2, 81)
    shown: list[Triple] = [("no penalty", best, best)]
    for part in parts:
        weight = best.clone()
        for _ in range(400):
            step(part, weight, weight - best, RATE)
        shown.append((name_of(part), best, weight))
    return curves(shown, "The best weight under the penalty", "best weight for the data alone", "best weight")


def under_adam(decay: Regularizer, coupled: Regularizer) -> str:
    """Two weights that Adam trains by gradients of another size, with noise around 0: what shrinks them."""
    from thalweg.parts.optimizers import Adam

    noise = torch.randn(300, 2) * torch.tensor([10.0, 0.1])
    panels = []
    for part, title in ((decay, "DecoupledDecay(strength=0.5)"), (coupled, "L2(strength=0.5)")):
        optimizer, weights, path = Adam(lr=0.01), torch.ones(2), [[1.0, 1.0]]
        state = optimizer.init([weights])
        for gradient in noise.clone():
            part.add_([gradient], [weights])
            part.decay_([weights], rate=0.01)
            optimizer.apply_([weights], [gradient], state, lr=0.01)
            path.append(weights.tolist())
        names = ("gradients of size 10", "of size 0.1")
        shown = [(name, range(len(path)), [p[k] for p in path]) for k, name in enumerate(names)]
        panels.append(curves(shown, f"Adam with {title}", "step", "weight", y_range=(-0.5, 1.5)))
    return row(*panels)


def max_norm() -> str:
    """Norms of the units of a layer while it trains at a high rate on two classes."""
    x = torch.randn(200, 10)
    y = (x[:, 0] * x[:, 1] > 0).long()
    start = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2)).state_dict()
    shown: list[Triple] = []
    for name, part in (("none", Regularizer()), ("MaxNorm(limit=3)", MaxNorm(limit=3.0))):
        network, norms = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2)), []
        network.load_state_dict(start)
        weights = [network[0].weight, network[2].weight]
        for _ in range(150):
            network.zero_grad()
            F.cross_entropy(network(x), y).backward()
            with torch.no_grad():
                for p in network.parameters():
                    p -= 3.0 * p.grad
                part.constrain_(weights, rate=3.0)
                norms.append(max(float(w.norm(dim=1).max()) for w in weights))
        shown.append((name, range(1, 151), norms))
    return curves(shown, "Largest norm of a unit's weights, SGD at rate 3", "step", "norm")


# ---------------------------------------------------------------------- dropout


def small_network(dropout: nn.Module) -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), dropout, nn.Linear(32, 1))


@torch.no_grad()
def expectation() -> str:
    """The mean output over many masks beside the one network at inference, in both scalings."""
    x = torch.linspace(-3, 3, 25)[:, None]
    shown: list[Triple] = []
    for scale_at in ("training", "inference"):
        network = small_network(Dropout(0.5, scale_at=scale_at))
        drawn = network(x.repeat(4000, 1)).reshape(4000, 25)
        shown.append((f"mean of 4,000, scaled at {scale_at}", x[:, 0], drawn.mean(0)))
        shown.append((f"at inference, scaled at {scale_at}", x[:, 0], network.eval()(x)[:, 0]))
    return curves(shown, "The expected output is that at inference", "input", "output")


@torch.no_grad()
def first_layer_noise() -> str:
    """How the outputs of single draws lie around it."""
    outputs = small_network(Dropout(0.5))(torch.full((DRAWS, 1), 1.0))[:, 0]
    return counted(outputs, "20,000 networks' outputs at input 1, p = 0.5", "output")


def counted(values: Tensor, title: str, x_label: str, limits: tuple[float, float] | None = None, bins: int = 40) -> str:
    low, high = limits or (float(values.min()), float(values.max()))
    counts, edges = torch.histogram(values, bins, range=(low, high))
    return histogram(edges, counts, title, x_label)


def channels() -> str:
    """The share of single numbers, and of whole channels, that are 0."""
    image = torch.ones(2000, 16, 6, 6)
    kinds: dict[str, nn.Module] = {"Dropout": Dropout(0.2), "ChannelDropout": ChannelDropout(0.2)}
    dropped = {name: module(image) == 0 for name, module in kinds.items()}
    names = [f"{name}: {what}" for name in ("Dropout", "Channel") for what in ("numbers", "channels")]
    values = [float(v) for zero in dropped.values() for v in (zero.float().mean(), zero.all(3).all(2).float().mean())]
    return bars(
        names,
        values,
        "Share of numbers, and of whole channels of 6 × 6, that are 0 at p = 0.2",
        texts=[f"{v:.1%}" for v in values],
    )


def standardized() -> str:
    """Mean and standard deviation through twenty layers of SELU."""
    shown: list[Triple] = []
    kinds: dict[str, Callable[[], nn.Module]] = {
        "AlphaDropout(0.1)": lambda: AlphaDropout(0.1),
        "Dropout(0.1)": lambda: Dropout(0.1),
    }
    for name, make in kinds.items():
        torch.manual_seed(0)
        x, spread = torch.randn(500, 256), []
        for _ in range(20):
            x = make()(F.selu(x @ (torch.randn(256, 256) / 16)))
            spread.append(float(x.square().mean().sqrt()))
        shown.append((name, range(1, 21), spread))
    return curves(shown, "Root mean square of the outputs of SELU layers", "layer")


@torch.no_grad()
def outputs_of_weights() -> str:
    """A linear layer whose inputs, or whose weights, are dropped: its units then vary together, or each by itself."""
    many, wide = torch.ones(DRAWS, 4), nn.Linear(4, 8, bias=False)
    nn.init.ones_(wide.weight)
    inputs, weights = wide(Dropout(0.5)(many)), DropConnect(wide, 0.5, mode="row")(many)
    titles = ("Dropout: the mean of 8 units on 4 inputs", "DropConnect: the same units")
    pairs = zip(titles, (inputs, weights), strict=True)
    return row(*(counted(values.mean(1), title, "output", (-0.125, 8.125), bins=33) for title, values in pairs))


def survival() -> str:
    blocks = range(1, 25)
    shown = [
        (f"rates_by_depth({last}, num_blocks=24)", blocks, [1 - p for p in rates_by_depth(last, num_blocks=24)])
        for last in (0.1, 0.5)
    ]
    return curves(shown, "Probability that a block stays", "block", y_range=(0.0, 1.0))


def depths() -> str:
    """How many of 24 blocks a sample passes."""
    stay = sum((StochasticDepth(p)(torch.ones(DRAWS, 1)) > 0).float() for p in rates_by_depth(0.5, num_blocks=24))
    counts = torch.bincount(stay[:, 0].long(), minlength=25)[8:]  # type: ignore[index]
    edges = torch.arange(8, 26) - 0.5
    return histogram(edges, counts, "Depth of 20,000 samples, p = 0.5 at the last of 24 blocks", "blocks")


def band() -> str:
    """A regression with a gap in its data: the networks disagree where they have seen nothing."""
    torch.manual_seed(0)
    x = torch.cat([torch.linspace(-3, -1, 40), torch.linspace(1, 3, 40)])[:, None]
    y = torch.sin(2 * x) + 0.1 * torch.randn(80, 1)
    network = nn.Sequential(
        nn.Linear(1, 100),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(100, 100),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(100, 1),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(1000):
        optimizer.zero_grad()
        F.mse_loss(network(x), y).backward()
        optimizer.step()
    at = torch.linspace(-5, 5, 81)[:, None]
    found = monte_carlo(network, at, samples=300)
    mean, std = found.mean[:, 0], found.std[:, 0]
    shown = [
        ("mean", mean),
        ("mean + 2 std", mean + 2 * std),
        ("mean − 2 std", mean - 2 * std),
        ("sin 2x", torch.sin(2 * at)),
    ]
    return row(
        curves([(name, at[:, 0], values.flatten()) for name, values in shown], "300 networks of one training", "input"),
        curves([("std", at[:, 0], std)], "Their spread; data at 1 to 3 on either side", "input"),
    )
