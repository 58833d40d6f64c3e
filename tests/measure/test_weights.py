"""Fans against variances that are propagated by brute force through torch's own layers, in float64."""

import pytest
import torch
from torch import nn

from thalweg.measure.oriented import scale_of, terms_of, unknown_layer
from thalweg.measure.weights import Weight, constants_of, weights_of

LAYERS = {
    "linear": (nn.Linear(24, 40), (400, 24)),
    "conv1d": (nn.Conv1d(6, 8, 5, padding=2, padding_mode="circular"), (64, 6, 60)),
    "conv2d grouped": (nn.Conv2d(8, 12, 3, padding=1, groups=4, padding_mode="circular"), (48, 8, 12, 12)),
    "conv2d dilated": (nn.Conv2d(4, 6, 3, padding=2, dilation=2, padding_mode="circular"), (48, 4, 12, 12)),
    "conv2d strided": (nn.Conv2d(4, 6, 4, stride=2, padding=1, padding_mode="circular"), (48, 4, 12, 12)),
    "conv2d long stride": (nn.Conv2d(4, 6, 2, stride=3, padding_mode="circular"), (48, 4, 12, 12)),
    "depthwise": (nn.Conv2d(16, 32, 3, padding=1, groups=16, padding_mode="circular"), (32, 16, 12, 12)),
    "pointwise": (nn.Conv2d(16, 8, 1), (32, 16, 12, 12)),
    "conv3d": (nn.Conv3d(3, 4, (3, 1, 5), padding=(1, 0, 2), padding_mode="circular"), (16, 3, 8, 8, 10)),
    "transposed 1d": (nn.ConvTranspose1d(6, 8, 6, stride=2), (48, 6, 100)),
    "transposed 2d": (nn.ConvTranspose2d(6, 4, 4, stride=2), (24, 6, 32, 32)),
    "transposed grouped": (nn.ConvTranspose2d(8, 12, 3, stride=(3, 1), groups=4), (24, 8, 24, 32)),
    "transposed sparse": (nn.ConvTranspose1d(6, 8, 2, stride=3, output_padding=1), (96, 6, 100)),
    "bilinear": (nn.Bilinear(6, 9, 40), (2000, 6)),
}


def interior(name, value):
    """Without the border of a transposed convolution, where fewer inputs meet; whole periods of its stride."""
    if not name.startswith("transposed") or name == "transposed sparse":
        return value
    return value[(..., *(slice(6, 6 + (size - 12) // 6 * 6) for size in value.shape[2:]))]


@pytest.mark.parametrize("name", LAYERS)
def test_fans_are_those_of_the_variances(name):
    layer, shape = LAYERS[name]
    layer = layer.double()
    torch.manual_seed(0)
    (weight,) = weights_of(layer)
    forward, backward = [], []
    for _ in range(12):  # draws of the weights
        with torch.no_grad():
            layer.weight.normal_()
            layer.bias.zero_()
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        given = (x, torch.randn(shape[0], 9, dtype=torch.float64)) if name == "bilinear" else (x,)
        output = layer(*given)
        forward.append(float(interior(name, output).detach().square().mean()))
        (gradient,) = torch.autograd.grad((output * torch.randn_like(output)).sum(), x)
        backward.append(float(gradient.square().mean()))
    assert sum(forward) / 12 == pytest.approx(weight.fan_in, rel=0.06)
    if name == "bilinear":  # one of two inputs; the fan is the mean over both
        assert (sum(backward) / 12, weight.fan_out) == (pytest.approx(40 * 9, rel=0.06), 40 * 7.5)
    else:
        assert sum(backward) / 12 == pytest.approx(weight.fan_out, rel=0.06)


def test_embeddings_look_one_row_up():
    (weight,) = weights_of(nn.Embedding(100, 16, padding_idx=3))
    assert (weight.fan_in, weight.fan_out, weight.padding, weight.role) == (1, 1, 3, "embedding")


@pytest.mark.parametrize(("mode", "expected"), [("sum", 5.0), ("mean", 1 / 5)])
def test_bags_sum_what_is_not_padding(mode, expected):
    bag = nn.EmbeddingBag(5000, 64, mode=mode, padding_idx=0, dtype=torch.float64)
    torch.manual_seed(0)
    indices = torch.randint(1, 5000, (400, 7))
    indices[:, :2] = 0
    terms = terms_of(bag, (indices,), {})
    with torch.no_grad():
        bag.weight.normal_()
        assert terms == pytest.approx(expected)
        assert float(bag(indices).square().mean()) == pytest.approx(weights_of(bag, terms)[0].fan_in, rel=0.03)
    flat, offsets = torch.randint(1, 5000, (60,)), torch.arange(0, 60, 4)
    bag.padding_idx = None
    assert terms_of(bag, (flat,), {"offsets": offsets}) == (4 if mode == "sum" else 1 / 4)
    weights = torch.full((60,), 0.5)
    if mode == "sum":
        assert terms_of(bag, (flat, offsets, weights), {}) == 1.0


def test_packed_weights_are_several_maps():
    (packed,) = weights_of(nn.MultiheadAttention(16, 4))
    assert (packed.name, packed.fan_in, packed.fan_out, packed.groups) == ("in_proj_weight", 16, 16, 3)
    apart = {w.name: (w.fan_in, w.fan_out, w.groups) for w in weights_of(nn.MultiheadAttention(16, 4, kdim=6, vdim=8))}
    assert apart == {"q_proj_weight": (16, 16, 1), "k_proj_weight": (6, 16, 1), "v_proj_weight": (8, 16, 1)}
    for module, gates in ((nn.LSTM(5, 7), 4), (nn.GRU(5, 7), 3), (nn.RNN(5, 7), 1), (nn.LSTMCell(5, 7), 4)):
        first, second = weights_of(module)
        assert (first.fan_in, first.fan_out, first.groups, first.role) == (5, 7, gates, "weight")
        assert (second.fan_in, second.fan_out, second.groups, second.role) == (7, 7, gates, "recurrent")
    assert len(weights_of(nn.LSTM(5, 7, 2, bidirectional=True, proj_size=3))) == 12


def test_transposed_layout_is_undone():
    layer = nn.ConvTranspose2d(6, 4, (3, 2), groups=2)
    (weight,) = weights_of(layer)
    assert weight.shape(layer.weight) == (4, 3, 3, 2)
    outputs_first = torch.arange(4 * 3 * 6.0).view(4, 3, 3, 2)
    stored = weight.stored(outputs_first)
    assert stored.shape == layer.weight.shape
    for group in range(2):
        for output in range(2):
            for given in range(3):
                assert torch.equal(stored[3 * group + given, output], outputs_first[2 * group + output, given])


def test_constants():
    assert constants_of(nn.BatchNorm2d(2)) == {"weight": ("scale", 1.0), "bias": ("shift", 0.0)}
    assert constants_of(nn.Linear(2, 2)) == {"bias": ("bias", 0.0)}
    assert set(constants_of(nn.LSTM(2, 2))) == {"bias_ih_l0", "bias_hh_l0"}
    assert constants_of(nn.PReLU()) == {}


class Transposed(nn.Module):
    """As Transformers' `Conv1D`."""

    def __init__(self, inputs, outputs, transposed=True):
        super().__init__()
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        self.kernel, self.offset = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(outputs))
        self.transposed = transposed

    def forward(self, x):
        return x @ (self.kernel if self.transposed else self.kernel.T) + self.offset


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("outputs", [6, 9])
def test_unknown_matrices_are_tried(transposed, outputs):
    module, x = Transposed(6, outputs, transposed), torch.randn(4, 3, 6)
    assert unknown_layer(module, (x,), module(x)) == Weight("kernel", 6, outputs, transposed=transposed)


def test_undecidable_matrices_are_left():
    module, x = Transposed(6, 6), torch.randn(4, 6)
    for kernel in (module.kernel.detach() + module.kernel.detach().T, torch.zeros(6, 6)):
        with torch.no_grad():
            module.kernel.copy_(kernel)
        assert unknown_layer(module, (x,), module(x)) is None
    with torch.no_grad():
        module.kernel.normal_()
    assert unknown_layer(module, (x,), module(x).relu()) is None


class RootMeanSquare(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.factor * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def test_normalizations_of_ones_own_are_known_by_what_they_do():
    x = torch.randn(4, 6)
    norm = RootMeanSquare()
    assert unknown_layer(norm, (x,), norm(x)) == "norm"
    with torch.no_grad():
        norm.factor.uniform_(-1, 1)
    kept = norm.factor.detach().clone()
    assert scale_of(norm, (x,), norm(x)) == "factor"
    assert torch.equal(norm.factor, kept)
    for module in (nn.Dropout().eval(), nn.PReLU(), nn.Softsign(), nn.Softmax(1), nn.Identity()):
        assert unknown_layer(module, (x,), module(x)) is None
