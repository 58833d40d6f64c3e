"""Thirteen small models of other kinds than the three of speed.py: sequences, several inputs, own layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
CLASSES, WORDS, LENGTH = 10, 1000, 24


class LSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(16, 64, batch_first=True), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class GRUWithLengths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 32, padding_idx=0)
        self.gru, self.head = nn.GRU(32, 64, batch_first=True), nn.Linear(64, CLASSES)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.gru(packed)[1][-1])


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.place = nn.Embedding(WORDS, 64), nn.Parameter(0.02 * torch.randn(LENGTH, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(tokens) + self.place).mean(1))


class Residual(nn.Module):
    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.second, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        same = width == out and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(width, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(inner + self.short(x))


def resnet() -> nn.Sequential:
    blocks = (Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2))
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(WORDS, 64, mode="mean")
        self.rest = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rest(self.bag(tokens))


class TiedLanguageModel(nn.Module):
    """The token after `LENGTH` others; the embedding is the output layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(CLASSES, 64), nn.GRU(64, 64, batch_first=True)
        self.head = nn.Linear(64, CLASSES)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.gru(self.embedding(tokens))[0][:, -1])


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.table, self.head = nn.Linear(12, 32), nn.Linear(16 * 4 * 4 + 32, CLASSES)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        return self.head(torch.cat([self.image(image).flatten(1), F.relu(self.table(table))], 1))


class NamedInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(20, 8) for _ in range(4))
        self.rest = nn.Sequential(nn.Linear(4 * 8 + 12, 128), nn.ReLU(), nn.Linear(128, CLASSES))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        embedded = [embed(categories[:, k]) for k, embed in enumerate(self.embeddings)]
        return self.rest(torch.cat([numbers, *embedded], 1))


def partly_frozen() -> nn.Sequential:
    """A convolutional body that stays as it is, as a pretrained one would, and a head that is trained."""
    body = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
    )
    head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    return nn.Sequential(body.requires_grad_(False), head)


class Clamp(torch.autograd.Function):
    """Clamps, and lets the gradient pass."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return gradient


class OwnLayer(nn.Module):
    """A gated product of two projections, scaled by its norm: parameters of its own and a function of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = (nn.Parameter(torch.randn(width, width) / width**0.5) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        gated = (x @ self.left) * torch.sigmoid(x @ self.right)
        return x + Clamp.apply(self.scale * gated / (gated.norm(dim=-1, keepdim=True) + 1e-6))


def own_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 96), OwnLayer(96), OwnLayer(96), nn.Linear(96, CLASSES))


def depthwise() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU()]
    for width, out in ((16, 32), (32, 64)):
        layers += [nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.Conv2d(width, out, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def conv1d() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv1d(4, 32, 7, 2, 3), nn.ReLU(), nn.Conv1d(32, 64, 5, 2, 2), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, CLASSES)),
    )


def normalized() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU(), nn.Dropout(0.2), nn.Linear(128, CLASSES)),
    )


# ---------------------------------------------------------------------- inputs


def numbers(count: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(count, *shape)


def tokens(count: int, words: int = WORDS) -> Tensor:
    return torch.randint(1, words, (count, LENGTH))


def padded(count: int) -> dict[str, Tensor]:
    lengths = torch.randint(4, LENGTH + 1, (count,))
    return {"tokens": tokens(count) * (torch.arange(LENGTH) < lengths[:, None]), "lengths": lengths}


def image_and_table(count: int) -> tuple[Tensor, Tensor]:
    return numbers(count, (1, 16, 16)), numbers(count, (12,))


def named(count: int) -> dict[str, Tensor]:
    return {"numbers": numbers(count, (12,)), "categories": torch.randint(0, 20, (count, 4))}


@dataclass(frozen=True)
class Model:
    """A model, what makes its inputs, and how much of it is timed."""

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Inputs]
    batch_size: int
    num_steps: int


IMAGES = partial(numbers, shape=(3, 16, 16))
MODELS = (
    Model("LSTM", LSTM, partial(numbers, shape=(LENGTH, 16)), 64, 300),
    Model("GRU with lengths (dict)", GRUWithLengths, padded, 64, 200),
    Model("transformer encoder, dropout", Transformer, tokens, 32, 256),
    Model("residual CNN, batch norm", resnet, IMAGES, 32, 256),
    Model("embedding bag", Bag, tokens, 64, 800),
    Model("language model, tied weights", TiedLanguageModel, partial(tokens, words=CLASSES), 64, 200),
    Model("two inputs (tuple)", TwoInputs, image_and_table, 64, 500),
    Model("named inputs (dict)", NamedInputs, named, 64, 800),
    Model("partly frozen CNN", partly_frozen, IMAGES, 64, 300),
    Model("own layers and autograd.Function", own_layers, partial(numbers, shape=(64,)), 64, 800),
    Model("depthwise CNN", depthwise, IMAGES, 32, 256),
    Model("1-D CNN", conv1d, partial(numbers, shape=(4, 64)), 64, 300),
    Model("MLP, batch norm, layer norm, dropout", normalized, partial(numbers, shape=(64,)), 64, 800),
)
