"""Networks and losses of the healthy programs, from plain data: `build({"kind": "mlp", "widths": [32, 32]}, ...)`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Spec = dict[str, Any]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}


def norm_of(kind: str | None, width: int, dims: int) -> list[nn.Module]:
    """The layer of a norm over `width` channels; `dims` of the inputs' places."""
    if kind == "batch":
        return [(nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[dims](width)]
    if kind == "group" or (kind == "layer" and dims):
        return [nn.GroupNorm(1 if kind == "layer" else min(4, width), width)]
    return [nn.LayerNorm(width)] if kind == "layer" else []


class Residual(nn.Module):
    """x + body(x), with a projection where the width changes."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)  # type: ignore[no-any-return]


def mlp(inputs: int, outputs: int, spec: Spec) -> nn.Sequential:
    """Hidden layers of `widths`, each with norm, activation and dropout, residual where asked."""
    parts: list[nn.Module] = [nn.Flatten()]
    for width in spec.get("widths", []):
        linear = nn.Linear(inputs, width, bias=spec.get("norm") != "batch")
        if spec.get("init") == "he":
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        if spec.get("init") == "lecun":
            nn.init.normal_(linear.weight, std=1 / math.sqrt(inputs))
        if spec.get("init") == "xavier":
            nn.init.xavier_uniform_(linear.weight)
        block = [linear, *norm_of(spec.get("norm"), width, 0), ACTIVATIONS[spec.get("act", "relu")]()]
        if dropout := spec.get("dropout"):
            block.append(nn.Dropout(dropout))
        parts += [Residual(nn.Sequential(*block))] if spec.get("residual") and width == inputs else block
        inputs = width
    return nn.Sequential(*parts, nn.Linear(inputs, outputs))


def convolutional(shape: tuple[int, ...], outputs: int, spec: Spec) -> nn.Sequential:
    """Stages of convolutions over [C, T] or [C, H, W], each halving the places; then their mean, or all of them."""
    dims, channels = len(shape) - 1, shape[0]
    conv, pool = (nn.Conv1d, nn.Conv2d)[dims - 1], (nn.MaxPool1d, nn.MaxPool2d)[dims - 1]
    parts: list[nn.Module] = []
    for width in spec["channels"]:
        act = ACTIVATIONS[spec.get("act", "relu")]
        parts += [conv(channels, width, 3, padding=1), *norm_of(spec.get("norm"), width, dims), act(), pool(2)]
        if spec.get("residual"):
            body = [conv(width, width, 3, padding=1), *norm_of(spec.get("norm"), width, dims), act()]
            body += [conv(width, width, 3, padding=1), *norm_of(spec.get("norm"), width, dims)]
            parts += [Residual(nn.Sequential(*body)), act()]
        channels = width
    if spec.get("flat"):
        parts.append(nn.Flatten())
        channels *= math.prod(size // 2 ** len(spec["channels"]) for size in shape[1:])
        parts += [nn.Linear(channels, 32), nn.ReLU()]
        channels = 32
    else:
        parts += [(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)[dims - 1](1), nn.Flatten()]
    if dropout := spec.get("dropout"):
        parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts, nn.Linear(channels, outputs))


class Recurrent(nn.Module):
    """A recurrent layer over [N, T, C]; its last state, or every state for an answer per position."""

    def __init__(self, channels: int, outputs: int, spec: Spec) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[spec["cell"]]
        both = spec.get("both_ways", False)
        self.cell = kind(channels, spec["width"], spec.get("layers", 1), batch_first=True, bidirectional=both)
        self.last = nn.Linear(spec["width"] * (1 + both), outputs)
        self.per_position, self.pooled = spec.get("per_position", False), spec.get("pooled", False)

    def forward(self, x: Tensor) -> Tensor:
        states = self.cell(x)[0]
        if not self.per_position:
            states = states.mean(1) if self.pooled else states[:, -1]
        return self.last(states)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A small encoder over [N, T, C] with learned positions; the mean of its places, or an answer at each."""

    def __init__(self, length: int, channels: int, outputs: int, spec: Spec) -> None:
        super().__init__()
        width = spec["width"]
        self.first = nn.Linear(channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(
            width,
            spec.get("heads", 2),
            2 * width,
            spec.get("dropout", 0.0),
            batch_first=True,
            norm_first=spec.get("norm_first", True),
            activation="gelu",
        )
        self.body = nn.TransformerEncoder(layer, spec.get("layers", 1), enable_nested_tensor=False)
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, outputs)
        self.per_position, self.causal = spec.get("per_position", False), spec.get("causal", False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + self.positions
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        x = self.norm(self.body(x, mask=mask, is_causal=self.causal))
        return self.last(x if self.per_position else x.mean(1))  # type: ignore[no-any-return]


class Positions(nn.Module):
    """Convolutions of width 3 over [N, T, C] that keep every place."""

    def __init__(self, channels: int, outputs: int, spec: Spec) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in spec["channels"]:
            parts += [nn.Conv1d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        self.body = nn.Sequential(*parts, nn.Conv1d(channels, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]


class Pixels(nn.Module):
    """[N, C, H, W] -> [N, K, H, W] with a way down, a way up, and the fine image beside it."""

    def __init__(self, channels: int, outputs: int, spec: Spec) -> None:
        super().__init__()
        width = spec["width"]
        norm = norm_of(spec.get("norm"), width, 2)
        self.fine = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), *norm, nn.ReLU())
        self.coarse = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(2 * width, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        up = F.interpolate(self.coarse(fine), scale_factor=2.0)
        return self.last(torch.cat([fine, up], 1))  # type: ignore[no-any-return]


class OnTokens(nn.Module):
    """An embedding, and a network on `[N, T, C]` behind it; `kind: "bag"` takes their mean."""

    def __init__(self, vocabulary: int, shape: tuple[int, ...], outputs: int, spec: Spec) -> None:
        super().__init__()
        width = spec.get("embedding", 16)
        self.words = nn.Embedding(vocabulary, width)
        self.body = mlp(width, outputs, spec) if spec["kind"] == "bag" else on_places(shape[0], width, outputs, spec)
        self.bag = spec["kind"] == "bag"
        if spec.get("tied"):  # the states have the embedding's width
            assert isinstance(self.body, Recurrent | Transformer)
            nn.init.normal_(self.words.weight, std=1 / math.sqrt(width))
            self.body.last = nn.Linear(width, vocabulary, bias=False)
            self.body.last.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        words = self.words(tokens)
        return self.body(words.mean(1) if self.bag else words)  # type: ignore[no-any-return]


class Turned(nn.Module):
    """[N, C, T] as [N, T, C], or rows of an image as steps."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.flatten(1, -2).transpose(1, 2))  # type: ignore[no-any-return]


def on_places(length: int, channels: int, outputs: int, spec: Spec) -> nn.Module:
    if spec["kind"] == "recurrent":
        return Recurrent(channels, outputs, spec)
    if spec["kind"] == "transformer":
        return Transformer(length, channels, outputs, spec)
    if spec["kind"] == "positions":
        return Positions(channels, outputs, spec)
    return nn.Sequential(Swap(), convolutional((channels, length), outputs, spec))


class Swap(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Mixed(nn.Module):
    """Two inputs, numbers and a category, each with a way of its own; called by name or by place."""

    def __init__(self, numbers: int, categories: int, outputs: int, spec: Spec) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(categories, 8), mlp(numbers + 8, outputs, spec)

    def forward(self, numbers: Tensor, category: Tensor) -> Tensor:
        return self.body(torch.cat([numbers, self.words(category)], 1))  # type: ignore[no-any-return]


class Siamese(nn.Module):
    """The same tower on two inputs; what they differ in goes to the head."""

    def __init__(self, inputs: int, outputs: int, spec: Spec) -> None:
        super().__init__()
        self.tower, self.head = mlp(inputs, 16, spec), mlp(16, outputs, {"widths": [16]})

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head((self.tower(left) - self.tower(right)).abs())  # type: ignore[no-any-return]


class Factors(nn.Module):
    """A user's vector times an item's, plus a number of each."""

    def __init__(self, users: int, items: int, spec: Spec) -> None:
        super().__init__()
        width = spec["width"]
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width)
        self.user_bias, self.item_bias = nn.Embedding(users, 1), nn.Embedding(items, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.3)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, pair: Tensor) -> Tensor:
        user, item = pair[:, 0], pair[:, 1]
        product = (self.users(user) * self.items(item)).sum(1, keepdim=True)
        return product + self.user_bias(user) + self.item_bias(item)  # type: ignore[no-any-return]


class Autoencoder(nn.Module):
    """The decoder's weights are the encoder's, transposed."""

    def __init__(self, inputs: int, spec: Spec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(spec["width"], inputs) / math.sqrt(inputs))
        self.down, self.up = nn.Parameter(torch.zeros(spec["width"])), nn.Parameter(torch.zeros(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(F.linear(x, self.weight, self.down)), self.weight.T, self.up)


def build(spec: Spec, form: str, shapes: list[tuple[int, ...]], outputs: int, vocabulary: int) -> nn.Module:
    """The network of a spec.

    Args:
        spec: its kind and sizes.
        form: of the data: `"vector"`, `"image"`, `"series"`, `"tokens"`, `"mixed"`, `"pair"`, `"factors"`.
        shapes: of a row of each input.
        outputs: how many.
        vocabulary: of tokens or categories.
    """
    head = {"sigmoid": nn.Sigmoid, "log_softmax": lambda: nn.LogSoftmax(1), "softplus": nn.Softplus}.get(
        spec.get("head", "")
    )
    shape, kind = shapes[0], spec["kind"]
    network: nn.Module
    if form == "mixed":
        network = Mixed(shape[0], vocabulary, outputs, spec)
    elif form == "pair":
        network = Siamese(shape[0], outputs, spec)
    elif form == "factors":
        network = Factors(vocabulary, vocabulary, spec)
    elif form == "tokens":
        network = OnTokens(vocabulary, shape, outputs, spec)
    elif kind == "mlp":
        network = mlp(math.prod(shape), outputs, spec)
    elif kind == "autoencoder":
        network = Autoencoder(shape[0], spec)
    elif kind == "pixels":
        network = Pixels(shape[0], outputs, spec)
    elif kind == "convolutional":
        network = convolutional(shape, outputs, spec)
    else:
        network = Turned(on_places(shape[-1], math.prod(shape[:-1]), outputs, spec))
    return nn.Sequential(network, head()) if head else network


def focal(output: Tensor, target: Tensor) -> Tensor:
    each = F.cross_entropy(output, target, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def log_cosh(output: Tensor, target: Tensor) -> Tensor:
    error = output - target
    return (error + F.softplus(-2 * error) - math.log(2)).mean()


def gaussian(output: Tensor, target: Tensor) -> Tensor:
    mean, log_variance = output.chunk(2, 1)
    return (0.5 * log_variance + 0.5 * (target - mean) ** 2 * torch.exp(-log_variance)).mean()


def quantile(output: Tensor, target: Tensor) -> Tensor:
    error = target - output
    return torch.maximum(0.8 * error, -0.2 * error).mean()


def hinge(output: Tensor, target: Tensor) -> Tensor:
    return F.relu(1 - output * (2 * target - 1)).mean()


def balanced_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Each class of the batch counts alike."""
    counts = target.bincount(minlength=output.shape[1]).clamp(min=1)
    each = F.cross_entropy(output, target, reduction="none") / counts[target]
    return each.sum() / (counts[target.unique()] > 0).sum()


def per_position(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


# A name that the experiment knows, or a function.
LOSSES: dict[str, Any] = {
    "cross_entropy": "cross_entropy",
    "torch_cross_entropy": F.cross_entropy,
    "label_smoothing": nn.CrossEntropyLoss(label_smoothing=0.1),
    "sum_cross_entropy": nn.CrossEntropyLoss(reduction="sum"),
    "nll": "nll",
    "focal": focal,
    "balanced_cross_entropy": balanced_cross_entropy,
    "multi_margin": nn.MultiMarginLoss(),
    "binary_cross_entropy": "binary_cross_entropy",
    "torch_bce_logits": F.binary_cross_entropy_with_logits,
    "bce": nn.BCELoss(),
    "weighted_bce": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(10.0)),
    "hinge": hinge,
    "mse": "mse",
    "torch_mse": nn.MSELoss(),
    "sum_mse": nn.MSELoss(reduction="sum"),
    "mae": "mae",
    "huber": "huber",
    "smooth_l1": F.smooth_l1_loss,
    "log_cosh": log_cosh,
    "gaussian": gaussian,
    "quantile": quantile,
    "poisson": nn.PoissonNLLLoss(),
    "per_position": per_position,
}
