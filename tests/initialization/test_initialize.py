"""A whole network drawn anew: what is done to each tensor, and what is left."""

import copy
import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import thalweg as tw
from thalweg.data.rows import Batch
from thalweg.errors import ModelError, UsageError
from thalweg.initialization import initialize
from thalweg.parts.initializers import (
    LSUV,
    Constant,
    Dirac,
    ForgetBias,
    He,
    LeCun,
    Normal,
    Orthogonal,
    Sparse,
    Uniform,
    Xavier,
    ZeroResidual,
)

GAINS = {"ReLU": 2**0.5, "output": 1.0}
ALL = [
    Constant(value=0.1), Dirac(), ForgetBias(), He(), LeCun(), LSUV(), Normal(), Orthogonal(), Sparse(), Uniform(),
    tw.initializers.TruncatedNormal(), Xavier(), ZeroResidual(),
]  # fmt: skip


def rows(done):
    return {row.name: row for row in done.rows}


def is_orthogonal(matrix):
    product = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return float((product - torch.eye(len(product), dtype=matrix.dtype)).abs().max()) < 1e-5


class Convolutional(nn.Module):
    """Depthwise separable, with functional activations, a transposed convolution, several outputs."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.pointwise = nn.Conv2d(32, 64, 1)
        self.up = nn.ConvTranspose2d(64, 16, 4, stride=2, padding=1, groups=2)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.silu(self.norm(self.depthwise(x)), inplace=True)
        x = self.pointwise(x).relu_()
        return self.head(x.mean((2, 3))), torch.sigmoid(self.up(x))


def test_convolutions():
    network, x = Convolutional(), torch.randn(8, 3, 16, 16)
    found = rows(initialize(network, x, He()))
    expected = {
        "stem.weight": (27, 32 * 9 / 4, "ReLU"),
        "depthwise.weight": (9, 9, "BatchNorm2d, SiLU"),
        "pointwise.weight": (32, 64, "ReLU"),
        "up.weight": (32 * 16 / 4, 8 * 16, "Sigmoid"),
        "head.weight": (64, 10, "output"),
    }
    for name, (fan_in, fan_out, follower) in expected.items():
        row = found[name]
        assert (row.fan_in, row.fan_out, row.follower) == (fan_in, fan_out, follower)
        assert row.wanted == pytest.approx(row.gain / fan_in**0.5)
        assert row.drawn == pytest.approx(row.wanted, rel=0.15)
        assert row.drawn == pytest.approx(float(network.state_dict()[name].std(correction=0)), rel=1e-5)
    assert "its scale is lost in BatchNorm2d" in found["depthwise.weight"].done
    assert (found["norm.weight"].role, found["norm.weight"].done) == ("scale", "set to 1")
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
    assert list(found) == [name for place in ("stem", "depthwise", "norm", "pointwise", "head", "up")
                           for name in (f"{place}.weight", f"{place}.bias") if name in found]  # fmt: skip


def test_groups_and_transposed_maps_are_orthogonal_each():
    network = Convolutional()
    initialize(network, torch.randn(8, 3, 16, 16), Orthogonal())
    up = network.up.weight.detach().view(2, 32, 8, 4, 4).transpose(1, 2).flatten(2)
    gain = float(up[0].norm()) / 8**0.5
    assert gain == pytest.approx(1.8475, rel=1e-3)  # of sigmoid
    assert is_orthogonal(up[0] / gain)
    assert is_orthogonal(up[1] / gain)
    for kernel in network.depthwise.weight.detach():
        assert float(kernel.norm()) == pytest.approx(1.5588, rel=1e-3)  # of SiLU


class Transformer(nn.Module):
    def __init__(self, *, tied=True):
        super().__init__()
        self.tokens = nn.Embedding(60, 32, padding_idx=0)
        self.positions, self.summary = nn.Parameter(torch.randn(1, 7, 32)), nn.Parameter(torch.randn(1, 1, 32))
        block = partial(nn.TransformerEncoderLayer, 32, 4, 64, activation="gelu", batch_first=True, norm_first=True)
        self.blocks = nn.ModuleList(block() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 60, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, tokens, scale):
        x = torch.cat([self.summary.expand(len(tokens), -1, -1), self.tokens(tokens)], 1) * scale
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        return {"logits": self.head(self.norm(x))}


INPUTS = {"tokens": torch.randint(60, (4, 6)), "scale": torch.ones(())}


def test_transformers():
    network = Transformer()
    kept = network.positions.detach().clone(), network.summary.detach().clone()
    found = rows(initialize(network, INPUTS, ZeroResidual(then=Xavier(distribution="normal"))))
    packed = found["blocks.0.self_attn.in_proj_weight"]
    assert (packed.fan_in, packed.fan_out, packed.gain, packed.follower) == (32, 32, 1, "inside the layer")
    assert packed.drawn == pytest.approx(32**-0.5, rel=0.05)
    assert found["blocks.1.linear1.weight"].follower == "GELU"
    for block in network.blocks:
        assert not block.self_attn.out_proj.weight.any()
        assert not block.linear2.weight.any()
        assert block.linear1.weight.any()
    for name, value in zip(("positions", "summary"), kept, strict=True):
        assert (found[name].changed, found[name].role) == (False, "unknown")
        assert "a parameter of Transformer whose role is unknown" in found[name].done
        assert torch.equal(getattr(network, name), value)


def test_tied_weights_are_drawn_once_and_for_the_output():
    network = Transformer()
    found = rows(initialize(network, INPUTS, LeCun()))
    assert "head.weight" not in found
    assert found["tokens.weight"].drawn == pytest.approx(32**-0.5, rel=0.05)
    done = found["tokens.weight"].done
    assert "shared by tokens.weight, head.weight; drawn once, for head.weight" in done
    assert "row 0 (padding) 0" in done
    assert not network.tokens.weight[0].any()
    assert network.head.weight is network.tokens.weight
    apart = rows(initialize(Transformer(tied=False), INPUTS, LeCun()))
    assert apart["tokens.weight"].drawn == pytest.approx(1, rel=0.05)
    assert "row 0 (padding) 0" in apart["tokens.weight"].done


def test_attention_maps_are_orthogonal_each():
    attention = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.randn(4, 5, 16)
    initialize(attention, (x, x, x), Orthogonal())
    assert all(is_orthogonal(block) for block in attention.in_proj_weight.detach().chunk(3))
    assert is_orthogonal(attention.out_proj.weight.detach())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind):
    gates = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}[kind]
    network = kind(6, 12, 2, batch_first=True, bidirectional=True)
    found = rows(initialize(network, torch.randn(3, 5, 6), ForgetBias(then=Xavier())))
    for name, parameter in network.named_parameters():
        if name.startswith("weight_hh"):
            assert all(is_orthogonal(gate) for gate in parameter.detach().chunk(gates))
        elif name.startswith("weight_ih"):
            assert found[name].wanted == pytest.approx((2 / (parameter.shape[1] + 12)) ** 0.5)
            assert found[name].drawn == pytest.approx(found[name].wanted, rel=0.15)
        elif kind is nn.LSTM and name.startswith("bias_ih"):
            assert parameter.tolist() == [0.0] * 12 + [1.0] * 12 + [0.0] * 24
            assert found[name].done == "set to 0, forget gates to 1"
        else:
            assert not parameter.any()
    initialize(network, torch.randn(3, 5, 6), Normal(std=0.02))
    assert float(network.weight_hh_l0.detach().std()) == pytest.approx(0.02, rel=0.2)


def test_cells_and_lstm_with_projections():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTMCell(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return self.head(state[0])

    network = Loop()
    initialize(network, torch.randn(3, 5, 4), ForgetBias(value=2.0))
    assert network.cell.bias_ih.tolist() == [0.0] * 8 + [2.0] * 8 + [0.0] * 16
    assert all(is_orthogonal(gate) for gate in network.cell.weight_hh.detach().chunk(4))


def test_parametrized_weights():
    layers = [nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)]
    network = nn.Sequential(
        parametrizations.weight_norm(layers[0]), nn.ReLU(), parametrizations.spectral_norm(layers[1]), layers[2]
    )
    found = rows(initialize(network, torch.randn(8, 16), He()))
    normed = found["0.weight"]
    assert normed.drawn == pytest.approx(normed.wanted, rel=0.2)
    assert "through WeightNorm" in normed.done
    assert normed.drawn == pytest.approx(float(network[0].weight.detach().std(correction=0)), rel=1e-4)
    assert "through SpectralNorm, which changes it" in found["2.weight"].done
    network.eval()
    assert float(torch.linalg.matrix_norm(network[2].weight.detach(), 2)) == pytest.approx(1, rel=0.05)

    class Fixed(nn.Module):
        def forward(self, weight):
            return weight / 2

    nn.utils.parametrize.register_parametrization(network[3], "weight", Fixed())
    before = network[3].weight.detach().clone()
    row = rows(initialize(network, torch.randn(8, 16), He()))["3.weight"]
    assert not row.changed
    assert "left: Fixed cannot be given a weight" in row.done
    assert torch.equal(network[3].weight, before)


def test_a_parametrization_that_draws_leaves_the_generators_alone():
    """The inverse of an orthogonal matrix fills it up with random columns."""
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(0)
        network = nn.Sequential(parametrizations.orthogonal(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 2))
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        initialize(network, torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), Orthogonal())
        assert torch.equal(torch.get_rng_state(), state)
        drawn.append(network[0].weight)
    assert torch.equal(*drawn)


@pytest.mark.filterwarnings("ignore:.*spectral_norm:FutureWarning")
def test_a_weight_that_a_hook_computes_is_left_and_said():
    network = nn.Sequential(nn.utils.spectral_norm(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 2))
    before = network[0].weight_orig.clone()
    done = initialize(network, torch.randn(4, 8), He())
    assert torch.equal(network[0].weight_orig, before)
    assert "computed before each call" in next(row.done for row in done.left if row.name == "0.weight")


def test_frozen_parameters_stay():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    for parameter in network[:2].parameters():
        parameter.requires_grad_(False)
    kept = copy.deepcopy(network[:2].state_dict())
    done = initialize(network, torch.randn(6, 4), ZeroResidual())
    assert all(torch.equal(value, kept[name]) for name, value in network[:2].state_dict().items())
    assert [row.name for row in done.left] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert {row.done for row in done.left} == {"left: frozen"}


def test_lazy_modules_and_wrong_arguments():
    with pytest.raises(ModelError, match=r"Layer '0' \(LazyLinear\) is lazy.*Call network\(inputs\) once"):
        initialize(nn.Sequential(nn.LazyLinear(4)), torch.randn(2, 3), He())
    with pytest.raises(UsageError, match=r"initialize got 'he'.*tw.initializers.He\(\)"):
        initialize(nn.Linear(3, 2), torch.randn(2, 3), "he")
    with pytest.raises(ModelError, match="expects 4 values in the last dimension"):
        initialize(nn.Sequential(nn.Linear(4, 2)), torch.randn(2, 3), He())


class Conv1D(nn.Module):
    """As in Transformers: the weight is `[inputs, outputs]`."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


def test_matrices_of_unknown_modules_are_read_by_running_them():
    network = nn.Sequential(Conv1D(12, 48), nn.GELU(), Conv1D(48, 12))
    found = rows(initialize(network, torch.randn(4, 5, 12), He()))
    assert [(row.fan_in, row.fan_out) for row in (found["0.weight"], found["2.weight"])] == [(12, 48), (48, 12)]
    assert found["0.weight"].follower == "GELU"
    assert found["0.bias"].done == "set to 0"
    assert not network[0].bias.any()


def test_layers_that_do_not_run_are_drawn_and_named():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(4, 2), nn.Linear(100, 100)

        def forward(self, x):
            return self.used(x)

    done = initialize(Unused(), torch.randn(4, 4), He())
    assert "did not run on these inputs, gain 1" in rows(done)["unused.weight"].done
    assert done.rows[-1].name == "unused.bias"


@pytest.mark.parametrize("initializer", ALL, ids=str)
def test_every_part_draws_a_network_and_leaves_no_trace(initializer):
    network = Convolutional().train()
    network.norm.eval()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    x = torch.randn(8, 3, 16, 16)
    state, kept = torch.get_rng_state(), x.clone()
    done = initialize(network, x, initializer, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())
    assert (network.training, network.norm.training) == (True, False)
    assert all(p.grad is None and p.requires_grad and p.is_leaf for p in network.parameters())
    assert all(bool(p.isfinite().all()) for p in network.parameters())
    assert len(done.rows) == len(list(network.parameters()))
    assert done.changed == done.rows
    again = copy.deepcopy(network)
    initialize(again, x, initializer, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_a_draw_depends_on_seed_and_name_only():
    x = torch.randn(8, 6)
    one = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 2))
    two = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 5)).bfloat16()
    initialize(one, x, He(), seed=1)
    initialize(two, x.bfloat16(), He(), seed=1)
    assert torch.equal(one[2].weight.bfloat16(), two[2].weight)
    assert not torch.equal(one[0].weight[:, :2], one[2].weight[:, :2])
    before = one[2].weight.detach().clone()
    initialize(one, x, He(), seed=2)
    assert not torch.equal(one[2].weight, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_does_not_matter():
    networks = [nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2)).to(d) for d in ("cpu", "cuda")]
    for network, device in zip(networks, ("cpu", "cuda"), strict=True):
        initialize(network, torch.randn(8, 6, device=device), Orthogonal(), seed=1)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True))


def test_result_prints_and_draws():
    network = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(8, 8), nn.Tanh())), nn.Linear(8, 2))
    done = initialize(network, torch.randn(16, 8), Xavier())
    text = str(done)
    assert text.startswith("10 tensors drawn or set, 0 left, by Xavier(distribution='uniform'), seed 0\ntensor ")
    assert re.search(r"^0\.weight +8×8 +weight +Tanh +8 +8 +1\.593 ", text, re.MULTILINE)
    assert "log std of outputs, after: " in text
    assert done.figure().startswith("<svg")
    assert "outputs before" in done.figure()
    html = done._repr_html_()
    assert "<table" in html
    assert "<svg" in html
    assert "0.weight" in html


def test_public_names_stay_callable():
    tw.initialize(nn.Linear(2, 2), torch.randn(4, 2), He())
    assert tw.initialize is initialize


def test_a_plan_draws_the_networks_weights(runs):
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    experiment = tw.Experiment(network, train=(x, (x[:, 0] > 0).long()), loss="cross_entropy", directory=runs)
    optimizer = tw.optimizers.SGD(lr=1e-12)  # the weights stay as they were drawn
    plan = tw.Plan.plain(optimizer=optimizer, epochs=1, batch_size=50, initialization=Orthogonal(), seed=3)
    run = experiment.train(plan, listeners=())
    weight = run.network[0].weight.detach()
    assert torch.allclose(weight.T @ weight, 2 * torch.eye(6), atol=1e-5)
    again = experiment.train(plan, listeners=())
    assert torch.equal(again.network[0].weight, run.network[0].weight)
    assert not torch.equal(network[0].weight, run.network[0].weight)


class RootMeanSquare(nn.Module):
    """As LlamaRMSNorm: known by what it does."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.full((16,), 0.3))

    def forward(self, x):
        return self.factor * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class Gated(nn.Module):
    """A block of a language model: norm, gated layers, a factor per channel, dropout of whole branches."""

    def __init__(self):
        super().__init__()
        self.norm, self.gate, self.up = RootMeanSquare(), nn.Linear(16, 40, bias=False), nn.Linear(16, 40, bias=False)
        self.down, self.after, self.gamma = nn.Linear(40, 16), RootMeanSquare(), nn.Parameter(torch.full((16,), 1e-4))

    def forward(self, x):
        y = self.norm(x)
        y = self.after(self.down(F.silu(self.gate(y)) * self.up(y)))
        keep = torch.rand(len(x), 1) < 0.9 if self.training else 1
        return x + keep * self.gamma * y


def test_normalizations_and_factors_of_ones_own():
    network = nn.Sequential(Gated(), Gated(), nn.Linear(16, 3))
    found = rows(initialize(network, torch.randn(32, 16), ZeroResidual(then=He())))
    assert found["0.norm.factor"].done == "set to 1"
    assert found["0.gate.weight"].follower.startswith("SiLU")
    assert found["0.up.weight"].follower == "Linear"
    assert found["0.down.weight"].follower.startswith("RootMeanSquare")
    for block in network[:2]:
        assert block.norm.factor.tolist() == [1.0] * 16
        assert block.after.factor.tolist() == [0.0] * 16
        assert block.gamma.tolist() == pytest.approx([1e-4] * 16)
    assert found["1.gamma"].role == "unknown"


def test_normalizations_of_this_library():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    for part in (tw.normalization.LayerNorm(), tw.normalization.RMSNorm(), tw.normalization.GroupNorm(groups=2)):
        network[1] = part.build(8)
        with torch.no_grad():
            network[1].weight.fill_(3.0)
        found = rows(initialize(network, torch.randn(4, 3, 8, 8), He()))
        assert found["1.weight"].done == "set to 1"
        assert "its scale is lost" in found["0.weight"].done


def test_several_inputs_and_the_users_own_step():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.mix = nn.Linear(4, 8), nn.Embedding(9, 8), nn.Bilinear(8, 8, 3)

        def forward(self, x, tokens):
            return self.mix(torch.tanh(self.one(x)), self.two(tokens))

    x, tokens = torch.randn(16, 4), torch.randint(9, (16,))
    drawn = []
    for inputs in (
        (x, tokens),
        {"x": x, "tokens": tokens},
        Batch((x, tokens), lambda model, batch: model(*batch).square().mean()),
    ):
        network = Two()
        found = rows(initialize(network, inputs, He()))
        assert found["mix.weight"].fan_in == 64
        assert found["one.weight"].follower == "Tanh"
        drawn.append(network.mix.weight.detach())
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("change", ["double", "bfloat16", "channels_last"])
def test_types_and_layouts(change):
    network, x = Convolutional(), torch.randn(8, 3, 16, 16)
    if change == "channels_last":
        network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    else:
        network, x = getattr(network, change)(), getattr(x, change)()
    done = initialize(network, x, Orthogonal(), seed=1)
    reference = Convolutional()
    initialize(reference, torch.randn(8, 3, 16, 16), Orthogonal(), seed=1)
    assert len(done.changed) == len(done.rows)
    if change == "channels_last":
        assert network.stem.weight.is_contiguous(memory_format=torch.channels_last)
    if change != "double":
        same = reference.pointwise.weight.to(network.pointwise.weight.dtype)
        assert torch.equal(same, network.pointwise.weight)
