"""Pictures of the normalizations: which values share statistics, what they do to channels, how noisy a batch is."""

import torch
from pictures.plot import curves, heat, row
from torch import Tensor, nn

from thalweg.measure.batch_noise import estimate_noise
from thalweg.parts.normalization import (
    BatchNorm,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    OutputNormalization,
    RMSNorm,
    SpectralNorm,
    WeightNormalization,
    WeightStandardization,
)

ROWS, CHANNELS, PLACES = 4, 4, 6
OUTPUTS: dict[str, OutputNormalization] = {
    "batch_norm": BatchNorm(affine=False),
    "ghost_batch_norm": GhostBatchNorm(size=2, affine=False),
    "group_norm": GroupNorm(groups=2, affine=False),
    "instance_norm": InstanceNorm(),
    "layer_norm": LayerNorm(affine=False),
    "rms_norm": RMSNorm(affine=False),
}
SIZES = (2, 4, 8, 16, 32, 64, 128)


def draw() -> dict[str, str]:
    """The pictures by the names of the parts' files."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pictures = {name: row(shared(part), before(), after(part)) for name, part in OUTPUTS.items()}
        pictures["batch_norm"] = row(shared(BatchNorm(affine=False)), after(BatchNorm(affine=False)), noise())
        pictures["weight_standardization"] = weights()
        pictures["spectral_norm"] = singular_values()
    return pictures


def shared(part: OutputNormalization) -> str:
    """Which values the output at one place of one row's channel is computed from: those its derivative is not 0 by."""
    x = torch.randn(ROWS, CHANNELS, PLACES, dtype=torch.float64, requires_grad=True)
    norm = part.build(CHANNELS, dims=1).double()
    (gradient,) = torch.autograd.grad(norm(x)[1, 1, 2], x)
    values = (gradient != 0).double()
    values[1, 1, 2] = 2
    names = [f"row {n + 1}, ch. {c + 1}" for n in range(ROWS) for c in range(CHANNELS)]
    return heat(
        names,
        range(1, PLACES + 1),
        values.flatten(0, 1).tolist(),
        "What one value (2) is normalized by",
        "place",
        "1: enters its statistics",
    )


def channels() -> Tensor:
    """Four channels of unlike mean and scale, at 64 places of 256 rows that are unlike in scale too."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, CHANNELS, 64, generator=generator, dtype=torch.float64)
    x = x * torch.rand(256, 1, 1, generator=generator, dtype=torch.float64).add(0.5)
    center = torch.tensor([-4.0, 0.0, 3.0, 8.0], dtype=torch.float64).view(1, -1, 1)
    scale = torch.tensor([0.5, 2.0, 1.0, 1.5], dtype=torch.float64).view(1, -1, 1)
    return x * scale + center


def densities(x: Tensor, title: str, low: float, high: float) -> str:
    """A histogram of each channel, as a curve."""
    edges = torch.linspace(low, high, 81, dtype=torch.float64)
    centers = (edges[1:] + edges[:-1]) / 2
    series = []
    for c in range(CHANNELS):
        counts = torch.histogram(x[:, c].flatten(), edges).hist
        series.append((f"channel {c + 1}", centers, counts / x[:, c].numel() / (edges[1] - edges[0])))
    return curves(series, title, "value", "density")


def before() -> str:
    return densities(channels(), "What comes in", -8, 14)


def after(part: OutputNormalization) -> str:
    with torch.no_grad():
        return densities(part.build(CHANNELS, dims=1).double()(channels()), "What goes out", -4, 4)


def noise() -> str:
    """The errors of the batch's statistics on features that follow from each other, as in a network."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4096, 16, generator=generator)
    network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 8))
    found = estimate_noise(network, [x], sizes=SIZES)
    names = {"norm.mean_error": "mean", "norm.variance_error": "variance", "norm.output_gap": "output"}
    series = [(label, SIZES, [readings.value(name) for readings in found.values()]) for name, label in names.items()]
    return curves(series, "Error of a batch's statistics", "batch size", "relative error", x_scale="log", y_scale="log")


def weights() -> str:
    """Two units' weights as a training may leave them, and as the layer computes with them."""
    layer = nn.Linear(512, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 512) * torch.tensor([[0.02], [0.1]]) + torch.tensor([[-0.1], [0.05]]))
    shown = [("What is trained", layer.weight.detach().clone())]
    apply: WeightNormalization = WeightStandardization()
    shown.append(("What the layer computes with", apply.apply(layer).weight.detach()))  # type: ignore[union-attr, operator]
    edges = torch.linspace(-0.4, 0.4, 61)
    centers = (edges[1:] + edges[:-1]) / 2
    panels = []
    for title, weight in shown:
        series = [
            (f"unit {k + 1}", centers, torch.histogram(weight[k], edges).hist / (edges[1] - edges[0]) / 512)
            for k in range(2)
        ]
        panels.append(curves(series, title, "weight", "density"))
    return row(*panels)


def singular_values() -> str:
    """The singular values of a layer's weight before and after."""
    layer = nn.Linear(64, 32)
    with torch.no_grad():
        layer.weight.mul_(5)
    plain = torch.linalg.svdvals(layer.weight.detach())
    normalized = torch.linalg.svdvals(SpectralNorm().apply(layer).eval().weight.detach())  # type: ignore[operator, arg-type]
    order = range(1, 33)
    series = [("what is trained", order, plain), ("what the layer computes with", order, normalized)]
    return curves(series, "Singular values of a layer's weight", "number", "singular value")
