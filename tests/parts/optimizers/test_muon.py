"""Muon: what its iteration does to singular values, and what of a network it moves."""

import pytest
import torch
from torch import nn

from thalweg.errors import UsageError
from thalweg.parts.optimizers import AdamW, Muon
from thalweg.parts.optimizers.muon import JORDAN, orthogonal
from thalweg.train.step import Step


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (30, 30)])
def test_singular_values_come_near_one(shape):
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], shape[0], generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(shape[1], shape[1], generator=generator, dtype=torch.float64))
    count = min(shape)
    values = torch.logspace(-2, 0, count, dtype=torch.float64)
    matrix = left[:, :count] @ values.diag() @ right[:count]
    found = orthogonal(matrix, JORDAN, 5, 1e-7).double()
    assert found.shape == shape
    singular = torch.linalg.svdvals(found)
    assert float(singular.min()) > 0.4
    assert float(singular.max()) < 1.3
    exact = left[:, :count] @ right[:count]  # U Vᵀ
    assert float((found * exact).sum() / (found.norm() * exact.norm())) > 0.95


def test_steps_have_the_size_of_adamws():
    """What lets one rate serve both: the root mean square of a step is about 0.2 of the rate."""
    generator = torch.Generator().manual_seed(0)
    for shape in ((64, 64), (256, 32), (32, 16, 3, 3)):
        gradient = torch.randn(shape, generator=generator)
        rule = Muon(lr=1.0, weight_decay=0.0)
        change, _ = rule.update(gradient, rule.start(gradient), 1, gradient)
        assert 0.15 < float(change.square().mean().sqrt()) < 0.25


def routed(network: nn.Module, **values) -> tuple[set[str], set[str]]:
    names = {id(p): name for name, p in network.named_parameters()}
    found = {
        type(rule): {names[id(p)] for p in own} for rule, own in Muon(**values).route(network, [*network.parameters()])
    }
    return found.get(Muon, set()), found.get(AdamW, set())


class TwoHeads(nn.Module):
    """The heads are defined before the body, and the last layer by definition is not the last on the way."""

    def __init__(self):
        super().__init__()
        self.policy, self.value = nn.Linear(8, 3), nn.Linear(8, 1)
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 8)

    def forward(self, x):
        h = torch.relu(self.first(x))
        h = h + torch.relu(self.second(h))
        return self.policy(h), self.value(h).squeeze(-1)


class Tied(nn.Module):
    """A language model whose output layer is its embedding, used by a function."""

    def __init__(self):
        super().__init__()
        self.embedding, self.norm = nn.Embedding(11, 8), nn.LayerNorm(8)
        self.position = nn.Parameter(torch.zeros(6, 8))
        self.mix, self.out = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)

    def forward(self, tokens):
        x = self.embedding(tokens) + self.position
        return self.out(self.norm(x + self.mix(x).relu())) @ self.embedding.weight.t()


class Depends(nn.Module):
    """A forward pass that depends on values, of which no graph is had."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x)) if x.sum() > 0 else self.head(x)


def test_heads_vectors_and_norms_go_to_adamw():
    muon, adamw = routed(TwoHeads())
    assert muon == {"first.weight", "second.weight"}
    assert adamw == {"policy.weight", "value.weight", "first.bias", "second.bias", "policy.bias", "value.bias"}
    muon, adamw = routed(Depends())
    assert muon == {"body.weight"}
    assert "head.weight" in adamw


def test_a_single_output_and_norms_over_images_are_known():
    network = nn.Sequential(
        nn.Linear(4, 6), nn.Linear(6, 8), nn.Unflatten(1, (2, 4)), nn.LayerNorm((2, 4)), nn.Flatten()
    )
    muon, adamw = routed(nn.Sequential(*network, nn.Linear(8, 1)))
    assert muon == {"0.weight", "1.weight"}
    assert {"3.weight", "5.weight"} < adamw
    assert routed(nn.Sequential(nn.Linear(1, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 1)))[0] == {"2.weight"}


def test_a_tied_head_is_an_embedding_and_the_layer_before_it_is_hidden():
    muon, adamw = routed(Tied())
    assert muon == {"mix.weight", "out.weight"}
    assert adamw == {"embedding.weight", "position", "norm.weight", "norm.bias", "mix.bias"}


def test_convolutions_are_matrices_but_grouped_ones_are_several():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    muon, adamw = routed(network)
    assert muon == {"0.weight", "3.weight"}
    assert "2.weight" in adamw
    assert "5.weight" in adamw
    text = Muon().describe_routing(network)
    assert "Muon moves 2 tensors" in text
    assert "5.weight (output layer), 2.weight (grouped convolution)" in text


def test_whole_layers_of_torch_are_looked_into():
    network = nn.Sequential(nn.Embedding(5, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 5))
    muon, _ = routed(network)
    assert muon == {f"1.{name}.weight" for name in ("self_attn.out_proj", "linear1", "linear2")} | {
        "1.self_attn.in_proj_weight"
    }
    muon, adamw = routed(nn.Sequential(nn.LSTM(4, 6, num_layers=2)))  # no layer after it: its last matrix
    assert "0.weight_hh_l1" in adamw
    assert len(muon) == 3


def test_names_go_to_adamw_too_and_wrong_ones_are_told():
    muon, adamw = routed(TwoHeads(), also_adamw=("first",))
    assert muon == {"second.weight"}
    assert "first.weight" in adamw
    with pytest.raises(UsageError, match=r"also_adamw='frist'.*Did you mean 'first'"):
        routed(TwoHeads(), also_adamw=("frist",))


def test_routing_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    routed(network)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_a_step_moves_all_parameters_and_spares_biases_of_decay():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    stepper = Step(network, nn.functional.cross_entropy, Muon(weight_decay=0.5))
    kinds = {
        (type(g.optimizer), g.optimizer.weight_decay): [stepper.names[i] for i in g.positions] for g in stepper.groups
    }
    assert kinds == {(Muon, 0.5): ["0.weight"], (AdamW, 0.5): ["2.weight"], (AdamW, 0.0): ["0.bias", "2.bias"]}
    before = [p.detach().clone() for p in network.parameters()]
    stepper([(torch.randn(16, 6), torch.arange(16) % 3)], step=0, rate=0.01)
    assert all(not torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


def test_built_of_a_module_it_equals_the_step_and_of_parameters_it_goes_by_shape():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    other = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    other.load_state_dict(network.state_dict())
    batch = (torch.randn(16, 6), torch.arange(16) % 3)
    loss = nn.functional.cross_entropy
    stepper = Step(network, loss, Muon(), decay_all=True)
    built = Muon(lr=0.01).build(other)
    for step in range(5):
        stepper([batch], step=step, rate=0.01)
        built.zero_grad()
        loss(other(batch[0]), batch[1]).backward()
        built.step()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    shaped = Muon(lr=0.01, also_adamw=("2",)).build(network.named_parameters())
    rules = {name: group["rule"] for group in shaped.param_groups for name in group["param_names"]}
    assert rules == {"0.weight": "Muon", "0.bias": "AdamW", "2.weight": "AdamW", "2.bias": "AdamW"}
    assert [g["rule"] for g in Muon(lr=0.01).build(network.parameters()).param_groups] == ["Muon", "AdamW"]
