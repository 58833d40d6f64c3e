"""Networks written as timm, Transformers and torchvision write them run for all members at once, unchanged."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.train.population.fidelity import disagreement
from thalweg.train.population.forward import batched, stacked

EXACT = 1e-12


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def codes(*shape: int, size: int) -> Tensor:
    return torch.randint(0, size, shape, generator=torch.Generator().manual_seed(sum(shape)))


class BasicBlock(nn.Module):
    """Of torchvision's ResNet."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 8, 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.layers(self.maxpool(self.stem(x)))), 1))


class LayerNorm2d(nn.LayerNorm):
    """timm's, for channels in dimension 1."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.gamma = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.conv_dw(x).permute(0, 2, 3, 1)
        x = self.mlp(self.norm(x)).permute(0, 3, 1, 2)
        x = x.mul(self.gamma.reshape(1, -1, 1, 1))
        return x + shortcut


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce, self.conv_expand = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x_se = x.mean((2, 3), keepdim=True)
        x_se = F.silu(self.conv_reduce(x_se), inplace=True)
        return x * self.conv_expand(x_se).sigmoid()


class StandardizedConv2d(nn.Conv2d):
    """timm's StdConv2d: the weights are normalized by a batch norm that keeps nothing."""

    def forward(self, x: Tensor) -> Tensor:
        weight = F.batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None, training=True, momentum=0.0, eps=1e-6
        ).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ViT(nn.Module):
    """timm's, with fused attention and a class token."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, 5, dim))
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.q_norm, self.out = nn.Linear(dim, 3 * dim), nn.RMSNorm(4), nn.Linear(dim, dim)
        self.head = nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        h = F.scaled_dot_product_attention(self.q_norm(q), k, v).transpose(1, 2).reshape(b, n, c)
        return self.head((x + self.out(h))[:, 0])


class Conv1D(nn.Module):
    """Of Transformers' GPT-2: a linear layer with its weight the other way round."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf) / 4), nn.Parameter(torch.zeros(nf))

    def forward(self, x: Tensor) -> Tensor:
        size_out = (*x.size()[:-1], self.nf)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(size_out)


class GPT(nn.Module):
    """GPT-2's parts: a causal mask among the buffers, tied weights, a dictionary as output."""

    def __init__(self, vocabulary: int = 11, dim: int = 8, length: int = 6) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, dim), nn.Embedding(length, dim)
        self.drop = nn.Dropout(0.0)
        self.ln_1, self.ln_2, self.ln_f = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.c_attn, self.c_proj = Conv1D(3 * dim, dim), Conv1D(dim, dim)
        self.c_fc, self.c_out = Conv1D(4 * dim, dim), Conv1D(dim, 4 * dim)
        self.lm_head = nn.Linear(dim, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight
        causal = torch.tril(torch.ones((length, length), dtype=torch.bool)).view(1, 1, length, length)
        self.register_buffer("bias", causal, persistent=False)
        self.register_buffer("masked_bias", torch.tensor(-1e4), persistent=False)
        self.register_buffer("position_ids", torch.arange(length).expand((1, -1)), persistent=False)

    def attend(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        query, key, value = self.c_attn(x).split(x.shape[-1], dim=2)
        query, key, value = (t.view(*t.shape[:-1], 2, -1).transpose(1, 2) for t in (query, key, value))
        weights = torch.matmul(query, key.transpose(-1, -2)) / torch.full([], value.size(-1) ** 0.5, dtype=value.dtype)
        q, k = query.size(-2), key.size(-2)
        weights = torch.where(self.bias[:, :, k - q : k, :k], weights, self.masked_bias.to(weights.dtype))
        weights = F.softmax(weights + attention_mask, dim=-1).type(value.dtype)
        out = torch.matmul(weights, value).permute(0, 2, 1, 3).contiguous()
        return self.c_proj(out.view(*out.shape[:-2], -1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Any]:
        mask = attention_mask[:, None, None, :].to(dtype=self.wte.weight.dtype)
        mask = (1.0 - mask) * torch.finfo(mask.dtype).min
        positions = self.position_ids[:, : input_ids.size(-1)]
        h = self.drop(self.wte(input_ids) + self.wpe(positions))
        h = h + self.attend(self.ln_1(h), mask)
        f = self.c_fc(self.ln_2(h))
        h = h + self.c_out(0.5 * f * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (f + 0.044715 * torch.pow(f, 3.0)))))
        h = self.ln_f(h)
        return {"logits": self.lm_head(h), "hidden_states": (h,), "loss": None}


@dataclass
class Settings:
    hidden_size: int = 8
    eps: float = 1e-6


class Llama(nn.Module):
    """Llama's parts: its own RMS norm in float32, rotary positions, grouped queries, a gated MLP."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        dim = settings.hidden_size
        self.settings = settings
        self.embed = nn.Embedding(11, dim, padding_idx=0)
        self.weight = nn.Parameter(torch.ones(dim))
        self.q_proj, self.k_proj = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim // 2, bias=False)
        self.gate, self.up, self.down = nn.Linear(dim, 12), nn.Linear(dim, 12), nn.Linear(12, dim)
        self.register_buffer("inv_freq", 1.0 / (10.0 ** (torch.arange(0, 2, 2).float() / 2)), persistent=False)

    def norm(self, h: Tensor) -> Tensor:
        kept = h.dtype
        h = h.to(torch.float32)
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.settings.eps)
        return self.weight * h.to(kept)

    def rotated(self, t: Tensor) -> Tensor:
        position = torch.arange(t.shape[-2], device=t.device)[None]
        freqs = (self.inv_freq[None, :, None].float() @ position[:, None, :].float()).transpose(1, 2)
        emb = torch.cat((freqs, freqs), dim=-1)
        cos, sin = emb.cos()[:, None].to(t.dtype), emb.sin()[:, None].to(t.dtype)
        one, other = t[..., : t.shape[-1] // 2], t[..., t.shape[-1] // 2 :]
        return (t * cos) + (torch.cat((-other, one), dim=-1) * sin)

    def forward(self, input_ids: Tensor) -> Tensor:
        h = self.embed(input_ids)
        b, n, _ = h.shape
        normed = self.norm(h)
        query = self.rotated(self.q_proj(normed).view(b, n, -1, 2).transpose(1, 2))
        key = self.rotated(self.k_proj(normed).view(b, n, -1, 2).transpose(1, 2))
        key = key[:, :, None].expand(b, 2, 2, n, 2).reshape(b, 4, n, 2)
        h = h + F.scaled_dot_product_attention(query, key, key, is_causal=True).transpose(1, 2).reshape(b, n, -1)
        normed = self.norm(h)
        return h + self.down(F.silu(self.gate(normed)) * self.up(normed))


class WordRNN(nn.Module):
    """A cell in a loop over time, with its outputs put into a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(9, 4), nn.LSTMCell(4, 5), nn.Linear(5, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        h = torch.zeros(tokens.shape[0], 5, dtype=self.head.weight.dtype)
        c = torch.zeros_like(h)
        outputs = h.new_zeros(tokens.shape[0], tokens.shape[1], 5)
        for time in range(tokens.shape[1]):
            h, c = self.cell(self.embed(tokens[:, time]), (h, c))
            outputs[:, time] = h
        return self.head(outputs)


class AutoEncoder(nn.Module):
    """With its decoder tied to the encoder, and several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.bias = nn.Linear(6, 3), nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = torch.tanh(self.encoder(x))
        return F.linear(code, self.encoder.weight.t(), self.bias), code


class Tabular(nn.Module):
    """Embeddings of columns beside numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(5, 3), nn.Embedding(4, 2)])
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Sequential(nn.Linear(7, 8), nn.SELU(), nn.Linear(8, 1))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        parts = [layer(categories[:, i]) for i, layer in enumerate(self.embeddings)]
        return self.head(torch.cat([*parts, self.norm(numbers)], 1)).squeeze(-1)


MODELS: dict[str, tuple[nn.Module, Any]] = {
    "ResNet": (ResNet(), x(4, 3, 12, 12)),
    "ConvNeXt": (
        nn.Sequential(nn.Conv2d(3, 4, 2, 2), LayerNorm2d(4), ConvNeXtBlock(4), ConvNeXtBlock(4)),
        x(3, 3, 8, 8),
    ),
    "squeeze and excite": (nn.Sequential(nn.Conv2d(3, 4, 3), SqueezeExcite(4)), x(4, 3, 6, 6)),
    "standardized weights": (nn.Sequential(StandardizedConv2d(3, 4, 3), StandardizedConv2d(4, 2, 2)), x(4, 3, 6, 6)),
    "ViT": (ViT(), x(4, 3, 8, 8)),
    "GPT": (
        GPT(),
        {"input_ids": codes(4, 5, size=11), "attention_mask": torch.tensor([[1] * 5, [1] * 3 + [0] * 2] * 2)},
    ),
    "cell in a loop": (WordRNN(), codes(4, 5, size=9)),
    "autoencoder": (AutoEncoder(), x(5, 6)),
    "table": (Tabular(), (x(7, 2), codes(7, 2, size=4))),
    "depthwise separable": (
        nn.Sequential(nn.Conv1d(3, 3, 3, groups=3, padding=1), nn.Conv1d(3, 6, 1), nn.BatchNorm1d(6), nn.Hardswish()),
        x(4, 3, 9),
    ),
}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", MODELS)
def test_members_compute_what_separate_networks_do(name: str, training: bool, own: bool) -> None:
    network, inputs = MODELS[name]
    assert disagreement(network, inputs, training=training, own=own) <= EXACT


def test_what_computes_in_float32_agrees_to_its_rounding() -> None:
    network, inputs = Llama(Settings()), codes(4, 5, size=11)
    assert disagreement(network, inputs, training=True) <= 1e-5
    exact = batched(Llama(Settings()).double(), inputs, training=True)
    assert exact.program.tape.rounding == torch.finfo(torch.float32).eps


def test_tied_weights_have_one_slot() -> None:
    network, inputs = MODELS["GPT"]
    forward = batched(network, inputs, training=True)
    assert "lm_head.weight" not in forward.program.tape.parameters
    found = forward(*stacked(network, 2), inputs)
    assert found["logits"].shape == (2, 4, 5, 11)
    assert found["loss"] is None


@pytest.mark.parametrize("name", ["ResNet", "GPT", "ViT", "cell in a loop", "ConvNeXt"])
def test_they_compile_in_one_graph(name: str) -> None:
    network, inputs = MODELS[name]
    forward = batched(network, inputs, training=True)
    torch.compiler.reset()
    compiled = torch.compile(forward, fullgraph=True, backend="eager")
    (parameters, buffers), (_, copies) = stacked(network, 2), stacked(network, 2)
    torch.testing.assert_close(compiled(parameters, buffers, inputs), forward(parameters, copies, inputs))
    torch.testing.assert_close(buffers, copies)
