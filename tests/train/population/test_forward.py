"""Each layer run for all members at once equals separate networks, in float64."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.train.population.fidelity import disagreement
from thalweg.train.population.forward import batched, stacked
from thalweg.train.population.tape import NotBatched

EXACT = 1e-12


class Of(nn.Module):
    """A function of layers, as a module."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*self.layers, *args, **kwargs)


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def codes(*shape: int, size: int) -> Tensor:
    return torch.randint(0, size, shape, generator=torch.Generator().manual_seed(sum(shape)))


def behind(layer: nn.Module, *, channels: int, kind: type[nn.Module]) -> nn.Module:
    """A layer whose inputs differ by member already, as those of a convolution before it."""
    return nn.Sequential(kind(channels, channels, 1), layer)


CONVOLUTIONS: dict[str, tuple[nn.Module, Tensor]] = {
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), x(5, 4, 11)),
    "conv1d same": (nn.Conv1d(4, 6, 3, padding="same", dilation=2), x(5, 4, 11)),
    "conv2d": (nn.Conv2d(4, 6, 3, padding=1), x(5, 4, 7, 6)),
    "conv2d groups": (nn.Conv2d(4, 6, 3, groups=2, bias=False), x(5, 4, 7, 6)),
    "conv2d depthwise": (nn.Conv2d(4, 4, 3, groups=4, dilation=2), x(5, 4, 7, 6)),
    "conv2d circular": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), x(5, 4, 7, 6)),
    "conv2d reflect": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), x(5, 4, 7, 6)),
    "conv2d one image": (nn.Conv2d(4, 6, 3), x(4, 7, 6)),
    "conv3d": (nn.Conv3d(4, 3, 2, stride=(1, 2, 1)), x(3, 4, 4, 5, 4)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1), x(5, 4, 6)),
    "transposed 2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), x(5, 4, 5, 4)),
    "transposed 3d": (nn.ConvTranspose3d(4, 2, 2, dilation=2), x(3, 4, 3, 3, 3)),
}
LAYERS: dict[str, tuple[nn.Module, Any]] = {
    **CONVOLUTIONS,
    **{
        f"{name} behind another": (
            behind(layer, channels=4, kind=(nn.Conv1d, nn.Conv2d, nn.Conv3d)[given.dim() - 3]),
            given,
        )
        for name, (layer, given) in CONVOLUTIONS.items()
        if given.dim() > 3 or "1d" in name
    },
    "linear": (nn.Linear(4, 3), x(5, 4)),
    "linear of a vector": (nn.Linear(4, 3), x(4)),
    "linear in 4 dimensions": (nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 2)), x(5, 2, 3, 4)),
    "bilinear": (nn.Bilinear(4, 4, 3), (x(5, 4), x(5, 4) + 1)),
    "batch norm 1d": (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)), x(9, 4)),
    "batch norm of inputs": (nn.BatchNorm2d(3), x(5, 3, 4, 4)),
    "batch norm of sequences": (nn.Sequential(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4)), x(5, 3, 7)),
    "batch norm 2d": (
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 2)),
        x(5, 3, 6, 6),
    ),
    "batch norm without estimates": (nn.BatchNorm2d(3, track_running_stats=False), x(5, 3, 4, 4)),
    "batch norm without affine": (nn.BatchNorm1d(3, affine=False), x(5, 3)),
    "layer norm": (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 6), nn.LayerNorm(6)), x(5, 3, 4)),
    "layer norm of images": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.LayerNorm([3, 4, 4], bias=False)), x(5, 2, 4, 4)),
    "layer norm without affine": (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4, elementwise_affine=False)), x(5, 4)),
    "group norm": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(3, 6), nn.Conv2d(6, 2, 2)), x(5, 3, 6, 6)),
    "group norm of features": (nn.Sequential(nn.Linear(4, 6), nn.GroupNorm(2, 6)), x(5, 4)),
    "instance norm": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True)), x(5, 3, 6, 6)),
    "instance norm with estimates": (nn.InstanceNorm1d(3, track_running_stats=True), x(5, 3, 6)),
    "rms norm": (nn.Sequential(nn.RMSNorm(4), nn.Linear(4, 6), nn.RMSNorm(6)), x(5, 3, 4)),
    "local response norm": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.LocalResponseNorm(3)), x(5, 3, 6, 6)),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), x(5, 4)),
    "embedding": (nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2)), codes(5, 3, size=7)),
    "embedding with padding": (nn.Embedding(7, 4, padding_idx=-1), codes(8, 3, size=7)),
    "embedding scaled by frequency": (nn.Embedding(7, 4, scale_grad_by_freq=True), codes(8, 3, size=7)),
    "embedding bag": (nn.EmbeddingBag(7, 4, mode="sum"), codes(5, 3, size=7)),
    "prelu": (nn.Sequential(nn.Linear(4, 3), nn.PReLU(3), nn.PReLU()), x(5, 4)),
    "prelu of images": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.PReLU(3), nn.PReLU()), x(5, 2, 4, 4)),
    "max pool 1d": (nn.Sequential(nn.Conv1d(2, 3, 1), nn.MaxPool1d(2)), x(5, 2, 8)),
    "max pool 2d": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.MaxPool2d(2, stride=1)), x(5, 2, 6, 6)),
    "max pool 3d": (nn.Sequential(nn.Conv3d(2, 3, 1), nn.MaxPool3d(2)), x(2, 2, 4, 4, 4)),
    "average pool": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(3, padding=1)), x(5, 2, 6, 6)),
    "adaptive pool": (
        nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)),
        x(5, 2, 6, 6),
    ),
    "adaptive max pool": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.AdaptiveMaxPool2d((2, 1))), x(5, 2, 6, 6)),
    "pool after a linear layer": (nn.Sequential(nn.Linear(6, 8), nn.MaxPool1d(2), nn.AdaptiveAvgPool1d(2)), x(5, 3, 6)),
    "lp pool": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.LPPool2d(2, 2)), x(5, 2, 6, 6).abs()),
    "unpooled": (
        Of(lambda c, p, u, t: u(*p(c(t))), nn.Conv2d(2, 3, 1), nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)),
        x(5, 2, 6, 6),
    ),
    "upsample": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Upsample(scale_factor=2, mode="bilinear")), x(5, 2, 3, 3)),
    "pixel shuffle": (nn.Sequential(nn.Conv2d(2, 8, 1), nn.PixelShuffle(2), nn.PixelUnshuffle(2)), x(5, 2, 4, 4)),
    "unfold and fold": (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Unfold(2), nn.Fold(4, 2)), x(5, 2, 4, 4)),
    "zero and replication padding": (
        nn.Sequential(nn.Conv1d(2, 3, 1), nn.ZeroPad1d(2), nn.ReplicationPad1d(1)),
        x(5, 2, 4),
    ),
    "gated": (nn.Sequential(nn.Linear(4, 6), nn.GLU(), nn.Softmax(dim=1)), x(5, 4)),
    "softmax head": (nn.Sequential(nn.Linear(4, 6), nn.LogSoftmax(dim=-1)), x(5, 4)),
    "bends": (
        nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.ELU(), nn.Softplus(), nn.Hardtanh(), nn.SiLU(), nn.Mish()),
        x(5, 4),
    ),
    "cosine": (Of(lambda a, b, t: F.cosine_similarity(a(t), b(t)), nn.Linear(4, 3), nn.Linear(4, 3)), x(5, 4)),
    "determinant": (Of(lambda a, t: torch.linalg.det(a(t)), nn.Linear(3, 3)), x(5, 3, 3)),
}
RECURRENT: dict[str, tuple[nn.Module, Any]] = {
    f"{kind.__name__} {settings}": (kind(3, 4, **settings), x(5, 6, 3))
    for kind in (nn.LSTM, nn.GRU, nn.RNN)
    for settings in (
        {},
        {"num_layers": 2, "batch_first": True},
        {"num_layers": 2, "bidirectional": True, "bias": False},
    )
}
RECURRENT |= {
    "rnn with relu": (nn.RNN(3, 4, nonlinearity="relu"), x(5, 6, 3)),
    "lstm with projection": (nn.LSTM(3, 4, 2, proj_size=2, bidirectional=True), x(5, 6, 3)),
    "lstm of one sequence": (nn.LSTM(3, 4), x(6, 3)),
    "gru from a state": (nn.GRU(3, 4), (x(6, 5, 3), x(1, 5, 4))),
    "lstm from a state": (Of(lambda r, t, h, c: r(t, (h, c)), nn.LSTM(3, 4)), (x(6, 5, 3), x(1, 5, 4), x(1, 5, 4) + 1)),
    "cells": (Of(lambda g, c, t: c(g(t))[1], nn.GRUCell(3, 4), nn.LSTMCell(4, 5)), x(5, 3)),
    "behind an embedding": (Of(lambda e, r, t: r(e(t))[1], nn.Embedding(9, 3), nn.GRU(3, 4)), codes(6, 5, size=9)),
}
CAUSAL = nn.Transformer.generate_square_subsequent_mask(4)
PADDED = torch.tensor([[False] * 4, [False, False, True, True], [False] * 3 + [True]])
ATTENTION: dict[str, tuple[nn.Module, Any]] = {
    "self": (Of(lambda a, t: a(t, t, t), nn.MultiheadAttention(8, 2, batch_first=True)), x(3, 4, 8)),
    "sequence first": (Of(lambda a, t: a(t, t, t, need_weights=False)[0], nn.MultiheadAttention(8, 2)), x(4, 3, 8)),
    "cross": (
        Of(lambda a, q, t: a(q, t, t)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
        (x(3, 5, 8), x(3, 4, 8)),
    ),
    "cross of other sizes": (
        Of(lambda a, q, t: a(q, t, t)[0], nn.MultiheadAttention(8, 2, kdim=6, vdim=6, bias=False, batch_first=True)),
        (x(3, 5, 8), x(3, 4, 6)),
    ),
    "causal": (
        Of(
            lambda a, t: a(t, t, t, attn_mask=CAUSAL.to(t), is_causal=True)[0],
            nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        x(3, 4, 8),
    ),
    "padded": (
        Of(lambda a, t: a(t, t, t, key_padding_mask=PADDED)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
        x(3, 4, 8),
    ),
    "with a bias and zeros": (
        Of(
            lambda a, t: a(t, t, t, average_attn_weights=False),
            nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True),
        ),
        x(4, 3, 8),
    ),
    "behind a layer, padded and causal": (
        Of(
            lambda w, a, t: a(*[w(t)] * 3, key_padding_mask=PADDED, attn_mask=CAUSAL.isinf(), need_weights=False)[0],
            nn.Linear(8, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        x(3, 4, 8),
    ),
    "encoder layer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), x(3, 4, 8)),
    "encoder layer, norm first": (nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, activation="gelu"), x(4, 3, 8)),
    "encoder": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False),
        x(3, 4, 8),
    ),
    "transformer": (nn.Transformer(8, 2, 1, 1, 16, batch_first=True), (x(3, 5, 8), x(3, 4, 8))),
    "grouped queries": (
        Of(
            lambda q, k, t: F.scaled_dot_product_attention(
                q(t).unflatten(-1, (4, 2)).transpose(1, 2),
                *[k(t).unflatten(-1, (2, 2)).transpose(1, 2)] * 2,
                enable_gqa=True,
            ),
            nn.Linear(8, 8),
            nn.Linear(8, 4),
        ),
        x(3, 4, 8),
    ),
}
ALL = {**LAYERS, **RECURRENT, **ATTENTION}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", ALL)
def test_members_compute_what_separate_networks_do(name: str, training: bool, own: bool) -> None:
    network, inputs = ALL[name]
    assert disagreement(network, inputs, training=training, own=own) <= EXACT


FORMS: dict[str, tuple[Callable[..., Any], Any]] = {
    "residual": (lambda a, b, t: b(a(t).relu() + t) + t, x(5, 4)),
    "concatenated": (lambda a, b, t: torch.cat([a(t), t, b(t)], dim=1), x(5, 4)),
    "concatenated from behind": (lambda a, b, t: torch.cat((t, a(t)), -1).split([3, 5], dim=-1), x(5, 4)),
    "stacked": (lambda a, b, t: torch.stack([a(t), b(t), t]).mean(0), x(5, 4)),
    "views": (lambda a, b, t: b(a(t).view(5, 2, 2).transpose(1, 2).reshape(-1, 4)), x(5, 4)),
    "permuted": (lambda a, b, t: a(t).permute(2, 0, 1).flatten(1).softmax(0), x(5, 3, 4)),
    "of matrices": (lambda a, b, t: a(t).T @ b(t), x(5, 4)),
    "a weight by itself": (lambda a, b, t: t @ a.weight.T + b.bias.sum() * a.bias[1], x(5, 4)),
    "tied": (lambda a, b, t: F.linear(a(t), a.weight) * b.bias, x(5, 4)),
    "squeezed": (
        lambda a, b, t: a(t).unsqueeze(1).unsqueeze(-1).squeeze() + b(t)[:, :1].squeeze(-1).unsqueeze(1),
        x(5, 4),
    ),
    "broadcast": (lambda a, b, t: a(t)[:, None] * b(t) - t.mean(0), x(5, 4)),
    "ranks that differ": (lambda a, b, t: a(t) * b.bias[0] / (1 + b.bias.square().sum()) + b.weight[:, 0], x(5, 4)),
    "expanded": (lambda a, b, t: a.bias.expand(5, -1) + b.bias.expand_as(t) + a(t).repeat(1, 2)[:, 4:], x(5, 4)),
    "indexed": (lambda a, b, t: a(t)[[0, 2, 4]][..., 1:] + b(t)[torch.tensor([1, 1, 0]), None, 3], x(5, 4)),
    "indexed by two": (lambda a, b, t: a(t)[torch.tensor([0, 1]), :, torch.tensor([1, 2])], x(5, 3, 4)),
    "picked by a gather": (lambda a, b, t: a(t).gather(1, torch.tensor([[0], [3], [1], [1], [2]])), x(5, 4)),
    "picked by members": (lambda a, b, t: b.weight[a(t).argmax(1)], x(5, 4)),
    "sums": (lambda a, b, t: a(t).sum() + b(t).mean((0, 1), keepdim=True) + t.sum(dim=-1, keepdim=True), x(5, 4)),
    "maxima": (lambda a, b, t: (a(t).max(1)[0], b(t).max(), a(t).amin(-1), torch.max(a(t), t)), x(5, 4)),
    "deviations": (
        lambda a, b, t: (a(t).std(0), b(t).var(dim=1, unbiased=False), a(t).norm(dim=1), b(t).std()),
        x(5, 4),
    ),
    "sorted": (lambda a, b, t: (a(t).sort(descending=True), b(t).topk(2, 0)), x(5, 4)),
    "normalized": (lambda a, b, t: F.normalize(a(t)) @ F.normalize(b(t), dim=0).mT, x(5, 4)),
    "einsum": (lambda a, b, t: torch.einsum("nd,md->nm", a(t), b(t)), x(5, 4)),
    "masked": (lambda a, b, t: a(t).masked_fill(t > 0, -1.0).where(t < 1, b(t)), x(5, 4)),
    "causal": (lambda a, b, t: a(t).masked_fill(torch.tril(torch.ones(5, 4)) == 0, float("-inf")).softmax(0), x(5, 4)),
    "without gradient": (lambda a, b, t: a(t) + (a(t) * b(t)).detach(), x(5, 4)),
    "chunks": (lambda a, b, t: [p * q for p, q in zip(a(t).chunk(2, 1), b(t).split(2, -1), strict=True)], x(5, 4)),
    "rows one after the other": (lambda a, b, t: torch.stack([b(row).tanh() for row in a(t)]), x(5, 4)),
    "in place": (lambda a, b, t: F.relu(a(t).add_(t).mul_(2).sub_(b(t)), inplace=True), x(5, 4)),
    "constants": (lambda a, b, t: a(t) + torch.arange(4.0) * torch.full((5, 1), 2.0) + 1 / (3 - t), x(5, 4)),
    "types": (lambda a, b, t: (a(t) > 0).to(t.dtype) * b(t) + a(t).type_as(t), x(5, 4)),
    "several inputs": (lambda a, b, t, u: {"sum": a(t) + u, "rest": (b(t), [u, None])}, (x(5, 4), x(5, 1))),
    "named inputs": (lambda a, b, t, scale: a(t) * scale, {"t": x(5, 4), "scale": x(5, 1)}),
    "an input as it is": (lambda a, b, t: (a(t), t), x(5, 4)),
    "powers": (lambda a, b, t: 2 ** a(t) + a(t) ** 2 - 1 - b(t).abs().pow(0.5) + t.square(), x(5, 4)),
    "in another order": (
        lambda a, b, t: a(t).cumsum(1).flip(1).roll(1, 0) + b(t).roll((1, 2), (0, 1)).roll(3),
        x(5, 4),
    ),
    "picked by rows of their own": (lambda a, b, t: a(t)[b(t).argmax(0) - 5], x(5, 4)),
}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("name", FORMS)
def test_any_form_of_a_forward_pass(name: str, own: bool) -> None:
    function, inputs = FORMS[name]
    assert disagreement(Of(function, nn.Linear(4, 4), nn.Linear(4, 4)), inputs, training=True, own=own) <= EXACT


def test_writes_that_other_tensors_see() -> None:
    def views(a: nn.Module, t: Tensor) -> Tensor:
        h = a(t)
        first, rest = h[:, 0], h[:, 1:]
        rest += first[:, None]
        first *= 2
        h[:, 3] = t[:, 0]
        return h * h[:, :1]

    def filled(a: nn.Module, t: Tensor) -> Tensor:
        out = torch.zeros(len(t), 4, 3, dtype=t.dtype)
        for time in range(3):
            out[:, :, time] = a(t) if time == 0 else out[:, :, time - 1].clone().tanh()
        return out

    def halves(a: nn.Module, t: Tensor) -> Tensor:
        h = a(t).clone()
        h[:, ::2].mul_(3.0)
        h.view(-1)[:5].copy_(t[0, 0])
        return h

    for function in (views, filled, halves):
        for own in (False, True):
            assert disagreement(Of(function, nn.Linear(4, 4)), x(5, 4), training=True, own=own) <= EXACT


class Momentum(nn.Module):
    """Buffers that are written to, replaced, and read."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("mean", torch.ones(4))
        self.register_buffer("largest", torch.zeros(4))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, t: Tensor) -> Tensor:
        h = self.layer(t)
        with torch.no_grad():
            self.calls += 1
            self.mean.mul_(0.9).add_(h.mean(0), alpha=0.1)
            self.largest = torch.maximum(self.largest, h.amax(0))
        return h - self.mean + self.largest / self.calls


def test_buffers_that_the_network_updates() -> None:
    assert disagreement(Momentum(), x(5, 4), training=True) <= EXACT
    network = Momentum()
    forward = batched(network, x(5, 4), training=True)
    parameters, buffers = stacked(network, 2)
    kept = buffers["mean"]
    forward(parameters, buffers, x(5, 4))
    forward(parameters, buffers, x(5, 4))
    assert buffers["mean"] is kept
    assert buffers["calls"].tolist() == [2, 2]
    assert int(network.calls) == 0  # the network itself stays as it is


def test_what_members_share_is_computed_once() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).double()
    inputs = x(5, 1, 4, 4).double()
    forward = batched(network, inputs, training=True)
    heads, _ = stacked(network, 3)
    heads = {
        "0.weight": network[0].weight,
        "0.bias": network[0].bias,
        "3.weight": heads["3.weight"] * torch.arange(3)[:, None, None],
        "3.bias": heads["3.bias"],
    }
    found = forward(heads, {}, inputs)
    for k in range(3):
        own = {
            **{n: heads[n] for n in ("0.weight", "0.bias")},
            "3.weight": heads["3.weight"][k],
            "3.bias": heads["3.bias"][k],
        }
        torch.testing.assert_close(found[k], torch.func.functional_call(network, own, (inputs,)), rtol=0, atol=EXACT)


def test_inputs_of_another_shape_are_refused() -> None:
    network = nn.Linear(4, 3)
    forward = batched(network, x(5, 4), training=True)
    with pytest.raises(ValueError, match=r"recorded on inputs \[5, 4\] and got \[6, 4\]"):
        forward(*stacked(network, 2), x(6, 4))
    with pytest.raises(ValueError, match=r"weight is \[2, 4, 3\]; give \[K, 3, 4\]"):
        forward({**stacked(network, 2)[0], "weight": torch.zeros(2, 4, 3)}, {}, x(5, 4))


def test_named_inputs_come_in_any_order() -> None:
    network = Of(lambda a, t, u: a(t) - u, nn.Linear(4, 4))
    forward = batched(network, {"t": x(5, 4), "u": x(5, 4) + 1}, training=True)
    parameters, buffers = stacked(network, 2)
    one = forward(parameters, buffers, {"t": x(5, 4), "u": x(5, 4) + 1})
    assert torch.equal(one, forward(parameters, buffers, {"u": x(5, 4) + 1, "t": x(5, 4)}))


@pytest.mark.parametrize("compile_options", [{"fullgraph": True, "backend": "aot_eager"}])
@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(8, 3)), x(5, 4)),
        (
            nn.Sequential(
                nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
            ),
            x(5, 2, 6, 6),
        ),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), x(3, 4, 8)),
        (nn.GRU(3, 4), x(5, 6, 3)),
    ],
    ids=["mlp", "cnn", "transformer", "gru"],
)
def test_it_compiles_in_one_graph(network: nn.Module, inputs: Tensor, compile_options: dict[str, Any]) -> None:
    forward = batched(network, inputs, training=True)
    torch.compiler.reset()
    compiled = torch.compile(lambda p, b, i: forward(p, b, i), **compile_options)
    (parameters, buffers), (_, copies) = stacked(network, 3), stacked(network, 3)
    found, plain = compiled(parameters, buffers, inputs), forward(parameters, copies, inputs)
    torch.testing.assert_close(found, plain)
    torch.testing.assert_close(buffers, copies)


@pytest.mark.parametrize("name", ["batch norm 2d", "layer norm", "embedding", "self", "prelu", "gated"])
def test_mixed_precision(name: str) -> None:
    """Under autocast, and in bfloat16 itself: types as in a single network, values to bfloat16's rounding."""
    network, inputs = ALL[name]
    parameters, buffers = stacked(network, 2)
    forward = batched(network, inputs, training=False)
    network.eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found, single = forward(parameters, buffers, inputs), network(inputs)
    torch.testing.assert_close(first_of(found)[1], first_of(single), rtol=3e-2, atol=3e-2)
    halved = copy.deepcopy(network).bfloat16()
    given = inputs.bfloat16() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        found, single = batched(halved, given, training=False)(*stacked(halved, 2), given), halved(given)
    torch.testing.assert_close(first_of(found)[1], first_of(single), rtol=3e-2, atol=3e-2)


def first_of(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def test_refusals_say_why() -> None:
    def reading(a: nn.Module, t: Tensor) -> Tensor:
        return a(t) if a(t).mean() > 0 else t

    def drawing(a: nn.Module, t: Tensor) -> Tensor:
        return a(t) + torch.randn_like(t)

    def masking(a: nn.Module, t: Tensor) -> Tensor:
        return a(t)[t > 0]

    def counting(a: nn.Module, t: Tensor) -> Tensor:
        return a(t) * float(t.max())

    def hooked(a: nn.Module, t: Tensor) -> Tensor:
        h = a(t)
        h.register_hook(lambda g: g * 2)
        return h

    def scaling(a: nn.Module, t: Tensor) -> Tensor:
        with torch.no_grad():
            a.weight.mul_(0.5)
        return a(t)

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, t: Tensor) -> Tensor:
            return t * 2

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * 2

    reasons = {
        reading: "reads the value of a tensor",
        counting: "reads the value of a tensor",
        drawing: "randn_like draws random numbers",
        masking: "picks elements by a mask",
        hooked: "calls register_hook",
        scaling: "writes to a parameter",
        lambda a, t: Twice.apply(a(t)): "gradient of a tensor comes from elsewhere",
    }
    for function, reason in reasons.items():
        with pytest.raises(NotBatched, match=reason):
            batched(Of(function, nn.Linear(4, 4)), x(5, 4), training=True)
