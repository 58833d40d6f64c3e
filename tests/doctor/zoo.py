"""Trainings that are healthy, of the kinds that a rule could take for faulty. Nothing here may raise an alarm."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.data.rows import Inputs

G = torch.Generator().manual_seed(0)
ROWS = 300
X = torch.randn(ROWS, 12, generator=G)
LABELS = (X @ torch.randn(12, 5, generator=G)).argmax(1)
HALVES = (X[:, 0] * X[:, 1] > 0).float()
NUMBERS = torch.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * torch.randn(ROWS, generator=G)
IMAGES = torch.rand(ROWS, 3, 8, 8, generator=G)
BRIGHT = (IMAGES[:, 0].mean((1, 2)) > 0.5).long()
WORDS = torch.randint(0, 30, (ROWS, 6), generator=G)
FIRST = (WORDS[:, 0] > 15).long()


@dataclass(frozen=True)
class Healthy:
    """A training: `build` makes the network."""

    build: Callable[[], nn.Module]
    loss: str | Callable[..., Tensor]
    inputs: Inputs
    target: Tensor


def mlp(outputs: int = 5, *last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, outputs), *last)


def zero_last() -> nn.Module:
    network = mlp()
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    return network


class Adapter(nn.Module):
    """A frozen layer with a low-rank addition that starts at zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down = nn.Parameter(0.1 * torch.randn(2, inputs))
        self.up = nn.Parameter(torch.zeros(outputs, 2))

    def forward(self, x):
        return self.base(x) + x @ self.down.T @ self.up.T


class Gated(nn.Module):
    """A residual branch whose gain starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.gain * self.body(x)


class Block(nn.Module):
    """A residual block whose last norm starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        nn.init.zeros_(self.body[-1].weight)

    def forward(self, x):
        return torch.relu(x + self.body(x))


def convolutional() -> nn.Module:
    body = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Block(8), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(8, 2))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 16, padding_idx=0)
        self.cell, self.last = nn.GRU(16, 24, batch_first=True), nn.Linear(24, 2)

    def forward(self, words):
        return self.last(self.cell(self.words(words))[0][:, -1])


class Transformer(nn.Module):
    """With positions that start at zero, all equal."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(30, 16), nn.Parameter(torch.zeros(6, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.body, self.last = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 2)

    def forward(self, words):
        return self.last(self.body(self.words(words) + self.positions).mean(1))


class Language(nn.Module):
    """Predicts the next word; the embedding is the last layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell, self.last = nn.Embedding(30, 16), nn.LSTM(16, 16, batch_first=True), nn.Linear(16, 30)
        self.last.weight = self.words.weight

    def forward(self, words):
        return self.last(self.cell(self.words(words))[0])


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.numbers_, self.words_, self.last = nn.Linear(12, 8), nn.Embedding(30, 8), nn.Linear(16, 5)

    def forward(self, numbers, words):
        return self.last(torch.cat([torch.relu(self.numbers_(numbers)), self.words_(words).mean(1)], 1))


class Pooler(nn.Module):
    """With a layer that nothing uses, as pretrained networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.pooler, self.last = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.last(F.gelu(self.body(x)))


class Variational(nn.Module):
    """Several outputs, noise in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 12))

    def forward(self, x):
        mean, spread = self.encoder(x).chunk(2, 1)
        return self.decoder(mean + torch.randn_like(mean) * (spread / 2).exp()), mean, spread


def evidence_bound(output, target):
    found, mean, spread = output
    return F.mse_loss(found, target) - 0.005 * (1 + spread - mean**2 - spread.exp()).mean()


def gaussian(output, target):
    return F.gaussian_nll_loss(output[:, 0], target, F.softplus(output[:, 1]) + 1e-3)


def focal(output, target):
    right = F.softmax(output, 1).gather(1, target[:, None])[:, 0]
    return ((1 - right) ** 2 * F.cross_entropy(output, target, reduction="none")).mean()


def quantile(output, target):
    miss = target - output[:, 0]
    return torch.maximum(0.9 * miss, -0.1 * miss).mean()


def dice(output, target):
    found = output[:, 0].sigmoid()
    return 1 - 2 * (found * target).sum() / (found.sum() + target.sum())


def contrast(output, target):
    return F.cross_entropy(F.normalize(output) @ F.normalize(output).T / 0.1, torch.arange(len(output)))


def column(output, target):
    return F.mse_loss(output[:, 0], target.float())


ZOO: dict[str, Healthy] = {
    "mlp": Healthy(mlp, "cross_entropy", X, LABELS),
    "label smoothing": Healthy(mlp, nn.CrossEntropyLoss(label_smoothing=0.1), X, LABELS),
    "last layer of zeros": Healthy(zero_last, "cross_entropy", X, LABELS),
    "log_softmax and nll": Healthy(lambda: mlp(5, nn.LogSoftmax(1)), "nll", X, LABELS),
    "log_softmax twice": Healthy(lambda: mlp(5, nn.LogSoftmax(1)), "cross_entropy", X, LABELS),
    "hinge": Healthy(mlp, nn.MultiMarginLoss(), X, LABELS),
    "focal": Healthy(mlp, focal, X, LABELS),
    "binary": Healthy(lambda: mlp(1), "binary_cross_entropy", X, HALVES),
    "binary, flat outputs": Healthy(lambda: mlp(1, nn.Flatten(0)), F.binary_cross_entropy_with_logits, X, HALVES),
    "probabilities": Healthy(lambda: mlp(1, nn.Sigmoid(), nn.Flatten(0)), F.binary_cross_entropy, X, HALVES),
    "dice": Healthy(lambda: mlp(1), dice, X, HALVES),
    "regression": Healthy(lambda: mlp(1), "mse", X, NUMBERS),
    "absolute": Healthy(lambda: mlp(1), "mae", X, NUMBERS),
    "small target": Healthy(lambda: mlp(1), "mse", X, 0.01 * NUMBERS),
    "sigmoid for shares": Healthy(lambda: mlp(1, nn.Sigmoid()), column, X, torch.sigmoid(NUMBERS)),
    "tanh for signs": Healthy(lambda: mlp(1, nn.Tanh()), column, X, torch.tanh(NUMBERS)),
    "softplus for sizes": Healthy(lambda: mlp(1, nn.Softplus()), column, X, NUMBERS.exp()),
    "learned variance": Healthy(lambda: mlp(2), gaussian, X, NUMBERS),
    "quantile": Healthy(lambda: mlp(1), quantile, X, NUMBERS),
    "ordered classes as a number": Healthy(lambda: mlp(1), column, X, LABELS),
    "several labels": Healthy(mlp, lambda o, t: F.binary_cross_entropy_with_logits(o, t), X, F.one_hot(LABELS).float()),
    "autoencoder": Healthy(lambda: nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 12)), "mse", X, X),
    "linear autoencoder": Healthy(lambda: nn.Sequential(nn.Linear(12, 3), nn.Linear(3, 12)), "mse", X, X),
    "variational": Healthy(Variational, evidence_bound, X, X),
    "contrastive": Healthy(lambda: mlp(16), contrast, X, LABELS),
    "low-rank adapter": Healthy(
        lambda: nn.Sequential(Adapter(12, 32), nn.ReLU(), Adapter(32, 5)), "cross_entropy", X, LABELS
    ),
    "gated residuals": Healthy(
        lambda: nn.Sequential(nn.Linear(12, 16), *(Gated(16) for _ in range(4)), nn.Linear(16, 5)),
        "cross_entropy",
        X,
        LABELS,
    ),
    "frozen body": Healthy(
        lambda: nn.Sequential(mlp(16).requires_grad_(False), nn.ReLU(), nn.Linear(16, 5)), "cross_entropy", X, LABELS
    ),
    "unused layer": Healthy(Pooler, "cross_entropy", X, LABELS),
    "linear": Healthy(lambda: nn.Linear(12, 5), "cross_entropy", X, LABELS),
    "weight norm": Healthy(
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(12, 32)), nn.ReLU(), nn.Linear(32, 5)),
        "cross_entropy",
        X,
        LABELS,
    ),
    "float64": Healthy(lambda: mlp().double(), "cross_entropy", X.double(), LABELS),
    "six rows": Healthy(lambda: mlp(2), "cross_entropy", X[:6], torch.tensor([0, 1, 0, 1, 1, 0])),
    "rare class": Healthy(lambda: mlp(2), "cross_entropy", X, (X[:, 0] > 2).long()),
    "residual convolutions": Healthy(convolutional, "cross_entropy", IMAGES, BRIGHT),
    "raw pixels behind a norm": Healthy(
        lambda: nn.Sequential(nn.BatchNorm2d(3), convolutional()), "cross_entropy", 255 * IMAGES, BRIGHT
    ),
    "segmentation": Healthy(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)),
        lambda o, t: F.cross_entropy(o, t),
        IMAGES,
        (IMAGES[:, 0] * 3.999).long(),
    ),
    "recurrent": Healthy(Recurrent, "cross_entropy", WORDS, FIRST),
    "transformer": Healthy(Transformer, "cross_entropy", WORDS, FIRST),
    "language": Healthy(Language, lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()), WORDS, WORDS.roll(-1, 1)),
    "one-hot inputs": Healthy(lambda: nn.Linear(30, 2), "cross_entropy", F.one_hot(WORDS[:, 0], 30).float(), FIRST),
    "two inputs": Healthy(Two, "cross_entropy", (X, WORDS), LABELS),
    "two inputs by name": Healthy(Two, "cross_entropy", {"numbers": X, "words": WORDS}, LABELS),
}
