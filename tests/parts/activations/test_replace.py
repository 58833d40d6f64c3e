"""Activations are recognized and replaced where they stand between layers, and only there."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.errors import ModelError
from thalweg.parts.activations import ELU, GELU, LeakyReLU, PReLU, ReLU, SiLU, Softplus, Tanh
from thalweg.parts.activations.last_prelu import LastPReLU
from thalweg.parts.activations.recognize import activation_of, is_activation
from thalweg.parts.activations.replace import replace_activations


def changed(network: nn.Module, part) -> list[str]:
    """The places that were changed, without the last line about what was not."""
    return [place for place in replace_activations(network, part) if not place.startswith("not ")]


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (F.relu, ReLU()),
        (torch.relu, ReLU()),
        (torch.Tensor.relu_, ReLU()),
        (F.gelu, GELU()),
        (functools.partial(F.gelu, approximate="tanh"), GELU(approximate="tanh")),
        (functools.partial(F.leaky_relu, negative_slope=0.2, inplace=True), LeakyReLU(slope=0.2)),
        (F.softplus, Softplus()),
        (F.silu, SiLU()),
        (torch.tanh, Tanh()),
        (F.softmax, None),
        (F.dropout, None),
        ("relu", None),
    ],
)
def test_functions_are_recognized(function, part):
    assert activation_of(function) == part


class NewGELU(nn.Module):
    """As Transformers' NewGELUActivation."""

    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh((2.0 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3.0))))


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Swish(nn.Module):
    """As timm's, with `inplace`."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, x):
        return x.mul_(x.sigmoid()) if self.inplace else x.mul(x.sigmoid())


class Counter(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x.relu()


@pytest.mark.parametrize(
    ("module", "part", "known"),
    [
        (NewGELU(), GELU(approximate="tanh"), True),
        (Swish(), SiLU(), True),
        (Swish(inplace=True), SiLU(), True),
        (QuickGELU(), None, True),  # no part, and an activation all the same
        (nn.ReLU6(), None, True),
        (nn.Softmax(dim=-1), None, False),
        (nn.LogSoftmax(dim=0), None, False),
        (nn.GLU(), None, False),
        (nn.Dropout(), None, False),
        (nn.Flatten(), None, False),
        (nn.Identity(), None, False),
        (nn.Linear(1, 1), None, False),
        (nn.LeakyReLU(1.0), None, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_modules_of_other_classes_by_what_they_compute(module, part, known):
    assert activation_of(module) == part
    assert is_activation(module) is known


def test_a_module_that_is_tried_stays_as_it_was():
    module, state = Counter(), torch.get_rng_state()
    assert activation_of(module) == ReLU()
    assert module.calls == 0
    assert torch.equal(torch.get_rng_state(), state)


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules() if is_activation(module)]


def test_mlp_keeps_its_squashed_output():
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 1))
    network.append(nn.Sigmoid())
    assert changed(network, GELU()) == ["1", "4"]
    assert kinds(network) == ["GELU", "GELU", "Sigmoid"]
    with pytest.raises(ModelError, match=r"GELU.* changes nothing in Sequential: not at 1 \(it ends the network\)"):
        changed(nn.Sequential(nn.Linear(4, 2), nn.Sigmoid(), nn.Flatten()), GELU())


def test_mode_device_and_type_are_the_networks():
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).double().eval()
    changed(network, PReLU(shared=False))
    assert network[1].weight.dtype == torch.float64
    assert not network[1].training
    assert activation_of(network[1]) == PReLU(shared=False)


@pytest.mark.parametrize("part", [PReLU(), PReLU(shared=False)])
def test_parts_of_a_network_may_differ_in_type(part):
    body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)).bfloat16()
    head = nn.Sequential(nn.Linear(4, 8), nn.ModuleDict({"act": nn.ReLU()})["act"], nn.Linear(8, 2))
    network = nn.Sequential(body, head)
    changed(network, part)
    assert body[1].weight.dtype == torch.bfloat16
    assert head[1].weight.dtype == torch.float32
    assert head(body(torch.randn(3, 4).bfloat16()).float()).dtype == torch.float32


def test_slopes_of_the_last_dimension_keep_the_type_under_autocast():
    x = torch.randn(3, 5, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert LastPReLU(4)(x).dtype == nn.PReLU()(x).dtype == torch.bfloat16


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)  # called twice

    def forward(self, x):
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(x + self.norm2(self.conv2(y)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.blocks = nn.ModuleList([Block(6), Block(6)])
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def test_residual_network():
    network = Residual()
    assert changed(network, PReLU(shared=False)) == ["stem.1", "blocks.0.relu", "blocks.1.relu"]
    widths = {name: tuple(p.shape) for name, p in network.named_parameters() if p.dim() == 1 and "relu" in name}
    assert widths == {"blocks.0.relu.weight": (6,), "blocks.1.relu.weight": (6,)}
    assert network.stem[1].num_parameters == 6
    assert not isinstance(network.stem[1], LastPReLU)
    network(torch.randn(2, 3, 12, 12)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


class Squeeze(nn.Module):
    """As timm's and torchvision's squeeze-and-excitation."""

    def __init__(self, channels: int):
        super().__init__()
        self.pool, self.fc1, self.fc2 = nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)
        self.act, self.gate = Swish(inplace=True), nn.Sigmoid()

    def forward(self, x):
        return x * self.gate(self.fc2(self.act(self.fc1(self.pool(x)))))


class Attend(nn.Module):
    """The gate ends a module of its own and multiplies in the one above, after views."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(), nn.Linear(2, channels), nn.Sigmoid())

    def forward(self, x):
        n, c, _, _ = x.size()
        return x * self.fc(x.mean((2, 3))).view(n, c, 1, 1).expand_as(x)


def test_gates_stay():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardswish(), Squeeze(4), Attend(4), nn.Flatten(), nn.LazyLinear(2))
    assert changed(network, ReLU()) == ["1", "2.act", "3.fc.1"]
    assert kinds(network) == ["ReLU", "ReLU", "Sigmoid", "ReLU", "Sigmoid"]


class Cell(nn.Module):
    """A recurrent cell of someone's own, whose loop cannot be traced."""

    def __init__(self):
        super().__init__()
        self.layer, self.sigmoid, self.tanh, self.out = nn.Linear(6, 12), nn.Sigmoid(), nn.Tanh(), nn.ReLU()

    def forward(self, x):
        h = x.new_zeros(len(x), 3)
        for t in range(x.shape[1]):
            i, f, g, o = self.layer(torch.cat([x[:, t], h], 1)).chunk(4, 1)
            h = self.sigmoid(o) * self.tanh(self.sigmoid(i) * self.tanh(g) + self.sigmoid(f) * h)
        return self.out(h)


def test_the_inside_of_recurrent_layers_stays():
    network = nn.Sequential(Cell(), nn.Linear(3, 2))
    assert changed(network, GELU()) == ["0.out"]
    assert changed(nn.LSTM(3, 4), GELU()) == []


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.layers = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)])
        self.body = nn.Sequential(nn.Linear(2, 4), self.act, nn.Linear(4, 2))

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(x))
        return self.body(x)


def test_one_module_in_several_places_stays_one():
    network = Shared()
    assert changed(network, PReLU()) == ["act", "body.1"]
    assert network.act is network.body[1]
    assert sum(p.numel() for p in network.act.parameters()) == 1
    with pytest.raises(ModelError, match=r"channels at 'act'.*several widths.*PReLU\(\)"):
        changed(Shared(), PReLU(shared=False))


class Feed(nn.Module):
    """As in Transformers: an activation from a table of classes and functions, by the configuration's word."""

    ACT2FN = {"gelu": F.gelu, "gelu_new": NewGELU(), "quick_gelu": QuickGELU()}  # noqa: RUF012

    def __init__(self, word: str):
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
        self.intermediate_act_fn = self.ACT2FN[word]

    def forward(self, hidden_states):
        return self.down(self.intermediate_act_fn(self.up(hidden_states)))


class Pooler(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.activation = nn.Linear(4, 4), nn.Tanh()

    def forward(self, hidden_states):
        return self.activation(self.dense(hidden_states[:, 0]))


@pytest.mark.parametrize("word", ["gelu", "gelu_new", "quick_gelu"])
def test_transformers_like(word):
    network = nn.Sequential(Feed(word), Feed(word), Pooler(), nn.Linear(4, 2))
    before = dict(Feed.ACT2FN)
    x = torch.randn(3, 5, 4)
    expected = network[0].down(F.relu(network[0].up(x)))
    names = changed(network, ReLU())
    assert names == ["0.intermediate_act_fn", "1.intermediate_act_fn", "2.activation"]
    assert torch.equal(network[0](x), expected)
    assert before == Feed.ACT2FN
    network = nn.Sequential(Feed(word), Pooler())
    assert changed(network, PReLU(shared=False)) == ["0.intermediate_act_fn"]  # the pooler ends it
    assert network[0].intermediate_act_fn.weight.shape == (8,)
    assert isinstance(network[0].intermediate_act_fn, LastPReLU)
    network(x).sum().backward()
    assert network[0].intermediate_act_fn.weight.grad is not None


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # its fast path's own
@pytest.mark.parametrize("activation", [F.relu, F.gelu, "gelu", nn.ReLU()])
@pytest.mark.parametrize("part", [GELU(), GELU(approximate="tanh"), SiLU(), ReLU(), PReLU(shared=False)], ids=repr)
def test_transformer_takes_it_in_its_fast_path_too(activation, part):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation=activation, batch_first=True)
    network = nn.TransformerEncoder(layer, 2).double()
    assert changed(network, part) == ["layers.0.activation", "layers.1.activation"]
    first = network.layers[0]
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    padding = torch.tensor([[False] * 5, [False] * 4 + [True], [False] * 3 + [True] * 2])
    y = first.norm1(x + first.self_attn(x, x, x, key_padding_mask=padding, need_weights=False)[0])
    y = first.norm2(y + first.linear2(part.function(first.linear1(y))))
    torch.testing.assert_close(first(x, src_key_padding_mask=padding), y)
    trained = network(x, src_key_padding_mask=padding)
    with torch.no_grad():
        network.eval()
        torch.testing.assert_close(first(x, src_key_padding_mask=padding)[~padding], y[~padding])
        tested = network(x, src_key_padding_mask=padding)
    torch.testing.assert_close(tested[~padding], trained[~padding])


def test_transformer_decoder():
    network = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1)
    assert changed(network, SiLU()) == ["layers.0.activation"]
    assert type(network.layers[0].activation) is nn.SiLU


class Held(nn.Module):
    """Functions as attributes: between layers, as a gate, and at the end."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.act, self.gate, self.final, self.loss = F.relu, torch.sigmoid, torch.sigmoid, F.cross_entropy

    def forward(self, x):
        return self.final(self.b(x * self.gate(self.a(x)) + self.act(self.a(x))))


def test_functions_held_as_attributes():
    network, x = Held(), torch.randn(3, 4)
    assert changed(network, ELU()) == ["act"]
    assert network.gate is torch.sigmoid
    assert network.final is torch.sigmoid
    a = network.a(x)
    assert torch.equal(network(x), torch.sigmoid(network.b(x * torch.sigmoid(a) + F.elu(a))))


class Counting(nn.Module):
    """Its forward changes attributes and buffers and draws numbers: tracing must leave all as it was."""

    def __init__(self):
        super().__init__()
        self.layer, self.act, self.last, self.calls = nn.Linear(4, 4), nn.ReLU(), None, 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen.add_(1)
        self.last = self.act(self.layer(x)) + torch.rand(1)
        return self.layer(self.last)


def test_the_network_is_left_as_it_was_besides():
    network, state = Counting(), torch.get_rng_state()
    weights = copy.deepcopy(network.state_dict())
    assert changed(network, SiLU()) == ["act"]
    assert (network.calls, network.last) == (0, None)
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_parametrizations_stay():
    layer = nn.utils.parametrize.register_parametrization(nn.Linear(4, 4), "weight", nn.Softplus())
    network = nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 2))
    assert changed(network, Tanh()) == ["1"]


class Gated(nn.Module):
    """As Llama's feed-forward network."""

    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 4)
        self.act_fn = nn.SiLU()

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.act, self.b = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)

    def forward(self, x):
        x = F.gelu(self.b(self.act(self.a(x))))
        return torch.sigmoid(self.a(x).relu() + x.relu_())


def test_what_was_left_alone_is_said():
    network = nn.Sequential(Gated(), Functional(), Cell(), nn.Linear(3, 1), nn.Sigmoid())
    *places, said = replace_activations(network, ELU())
    assert places == ["1.act", "2.out"]
    assert said == (
        "not at 0.act_fn (a gate); not at 2.sigmoid (it may be a gate or an output: the code around it cannot be "
        "traced); not at 2.tanh (it may be a gate or an output: the code around it cannot be traced); "
        "not at 4 (it ends the network); not gelu, relu, sigmoid in forward of 1 (functions)"
    )
