"""Which norms a normalization takes the place of, what they keep, and whole trainings under a plan."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.parts.normalization import (
    BatchNorm,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    RMSNorm,
    SpectralNorm,
    WeightStandardization,
)
from thalweg.parts.normalization.modules.any_rank import BatchNormNd, InstanceNormNd
from thalweg.parts.normalization.modules.channels import ChannelLayerNorm, ChannelRMSNorm
from thalweg.parts.normalization.modules.ghost import GhostBatchNormNd
from thalweg.parts.normalization.replace import replace_normalization

SOURCES = [
    nn.BatchNorm1d(16),
    nn.BatchNorm2d(16),
    nn.BatchNorm3d(16),
    nn.SyncBatchNorm(16),
    nn.InstanceNorm2d(16, affine=True),
    nn.GroupNorm(2, 16),
    GhostBatchNormNd(16),
    ChannelLayerNorm(nn.LayerNorm(16)),
    ChannelRMSNorm(nn.RMSNorm(16)),
]
TARGETS = [BatchNorm(), GhostBatchNorm(), GroupNorm(), InstanceNorm(affine=True), LayerNorm(), RMSNorm()]


def places(norm: nn.Module) -> tuple[int, ...]:
    return {"BatchNorm1d": (4,), "BatchNorm3d": (2, 2, 2)}.get(type(norm).__name__, (3, 4))


@pytest.mark.parametrize("source", SOURCES, ids=lambda norm: type(norm).__name__)
@pytest.mark.parametrize("target", TARGETS, ids=lambda part: type(part).__name__)
def test_every_norm_of_channels_by_every_other(source: nn.Module, target: Any) -> None:
    network = nn.Sequential(nn.Identity(), copy.deepcopy(source)).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_()
    old = network[1]
    assert [place.split()[0] for place in replace_normalization(network, target)] == ["1"]
    new: Any = network[1]
    x = torch.randn(5, 16, *places(source), dtype=torch.float64)
    assert new(x).shape == x.shape
    assert not new.training
    for name in ("weight", "bias", "running_mean", "running_var"):
        one, other = getattr(old, name, None), getattr(new, name, None)
        if one is not None and other is not None:
            assert torch.equal(one, other), name
            assert other.dtype == torch.float64
    if isinstance(target, LayerNorm):  # the weights are the old ones, so that they act
        expected = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        shape = (-1,) + (1,) * (x.dim() - 2)
        weight, shift = old.weight, getattr(old, "bias", torch.zeros(16, dtype=torch.float64))
        torch.testing.assert_close(new(x), expected * weight.view(shape) + shift.view(shape))  # type: ignore[operator]


def test_the_same_kind_keeps_its_function() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    network(torch.randn(6, 3, 5, 5))
    network[1].weight.requires_grad_(False)
    network.eval()
    x = torch.randn(2, 3, 5, 5)
    before = network(x)
    for part in (GhostBatchNorm(size=2), BatchNorm(synchronized=True), BatchNorm()):
        assert replace_normalization(network, part) == ["1"]
        torch.testing.assert_close(network(x), before)
        assert not network[1].weight.requires_grad
        assert int(network[1].num_batches_tracked) == 1
    assert isinstance(network[1], BatchNormNd)


def transformer() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), enable_nested_tensor=False)


def test_a_transformer_takes_rms_norm_and_is_the_same_in_both_modes() -> None:
    network = transformer()
    names = ["layers.0.norm1", "layers.0.norm2", "layers.1.norm1", "layers.1.norm2", "norm"]
    assert replace_normalization(network, RMSNorm(eps=1e-6)) == names
    x = torch.randn(3, 5, 16)
    with torch.no_grad():  # torch's fused form would compute layer norms
        training, evaluation = network(x), network.eval()(x)
    torch.testing.assert_close(training, evaluation)
    torch.testing.assert_close(training.square().mean(-1), torch.ones(3, 5), rtol=1e-4, atol=1e-4)
    assert replace_normalization(network, LayerNorm()) == names
    assert type(network.norm) is nn.LayerNorm


def test_a_transformer_is_left_alone_by_batch_norm() -> None:
    network = transformer()
    with pytest.raises(ModelError, match=r"not at layers.0.norm1, .*LayerNorm over the last dimensions, which only"):
        replace_normalization(network, GroupNorm())
    both = nn.Sequential(nn.Conv1d(2, 16, 1), nn.BatchNorm1d(16), nn.Flatten(), nn.LayerNorm(80))
    assert replace_normalization(both, GroupNorm(groups=2)) == [
        "1", "not at 3 (LayerNorm over the last dimensions, which only LayerNorm and RMSNorm can replace)"
    ]  # fmt: skip
    assert replace_normalization(both, RMSNorm()) == ["1", "3"]
    assert isinstance(both[1], ChannelRMSNorm)
    assert isinstance(both[3], nn.RMSNorm)


def test_what_else_is_left_alone() -> None:
    class Own(nn.BatchNorm1d):
        pass

    network = nn.Sequential(nn.LazyBatchNorm1d(), Own(3), nn.BatchNorm1d(3))
    changed, note = replace_normalization(network, RMSNorm())
    assert changed == "2"
    assert "not at 0 (its channels are known only after a first call" in note
    assert "not at 1 (Own is a class of its own)" in note
    with pytest.raises(ModelError, match="it is the network itself"):
        replace_normalization(nn.BatchNorm1d(3), RMSNorm())
    assert replace_normalization(nn.Linear(2, 2), RMSNorm()) == []


def test_a_shared_norm_stays_one() -> None:
    norm = nn.BatchNorm1d(8)
    network = nn.ModuleDict({"a": nn.Sequential(nn.Linear(8, 8), norm), "b": nn.Sequential(norm)})
    assert replace_normalization(network, GroupNorm(groups=1)) == ["a.1"]
    assert network["a"][1] is network["b"][0]  # type: ignore[index]
    assert isinstance(network["b"][0], nn.GroupNorm)  # type: ignore[index]


def test_places_of_unknown_rank() -> None:
    network = nn.Sequential(nn.BatchNorm1d(24))
    assert replace_normalization(network, GroupNorm()) == ["0 (3 groups)"]
    network = nn.Sequential(nn.BatchNorm1d(24))
    replace_normalization(network, InstanceNorm())
    assert isinstance(network[0], InstanceNormNd)
    with pytest.raises(ValueError, match="Without places"):
        network(torch.zeros(24, 24))  # torch's InstanceNorm1d takes it for one row


def test_weights_of_layers() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, groups=4), nn.Flatten(), nn.Linear(64, 8),
        nn.Linear(8, 2),
    )  # fmt: skip
    changed = replace_normalization(network, WeightStandardization(norm=GroupNorm(groups=2)))
    assert changed == [
        "1", "0", "4",
        "not at 2 (each of its units has one weight); not at 5 (the last layer, whose scale is to be learned)",
    ]  # fmt: skip
    assert [is_parametrized(module) for module in network] == [True, False, False, False, True, False]
    assert isinstance(network[1], nn.GroupNorm)
    assert network(torch.randn(2, 4, 6, 6)).shape == (2, 2)


@pytest.mark.filterwarnings("ignore:.*spectral_norm:FutureWarning")
def test_weights_that_a_hook_computes_are_left_alone() -> None:
    network = nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 4), nn.Linear(4, 2))
    assert replace_normalization(network, WeightStandardization()) == [
        "1",
        "not at 0 (its weight is computed before each call, from parameters of other names); "
        "not at 2 (the last layer, whose scale is to be learned)",
    ]


def test_a_network_that_is_one_layer(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    x, y = digits
    experiment = tw.Experiment(nn.Linear(64, 10), train=(x[:300], y[:300]), loss="cross_entropy", directory=runs)
    plan = tw.Plan(normalization=SpectralNorm(), optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, probes=False)
    run = experiment.train(plan, listeners=())
    assert "asked for; changed at Linear" in [d["reason"] for d in run.decisions]
    assert torch.equal(tw.Run.open(run.directory, network=nn.Linear(64, 10)).model(x), run.model(x))


def test_tied_and_zero_weights_are_left_alone() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 9))
    network[3].weight = network[0].weight
    nn.init.zeros_(network[2].weight)
    assert replace_normalization(network, SpectralNorm()) == [
        "1", "not at 2 (its weights are all 0); not at 3 (its weight is that of another layer too)"
    ]  # fmt: skip


# ---------------------------------------------------------------------- whole trainings


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )


@pytest.mark.parametrize(
    "part",
    [GroupNorm(groups=2), GhostBatchNorm(size=16), WeightStandardization(norm=GroupNorm(groups=4)), SpectralNorm()],
    ids=lambda part: type(part).__name__,
)
def test_a_plan_trains_resumes_and_reopens(digits: tuple[Tensor, Tensor], runs: Path, part: Any) -> None:
    x, y = digits
    experiment = tw.Experiment(
        convolutional, train=(x[:600], y[:600]), loss="cross_entropy", directory=runs, test=False, seed=3
    )
    plan = tw.Plan(
        normalization=part, optimizer=tw.optimizers.AdamW(lr=0.01), epochs=2, batch_size=64, probes=False,
        memory_format="contiguous",
    )  # fmt: skip
    run = experiment.train(plan, listeners=())
    assert run.plan.normalization == part
    assert run.history["validation.loss"][-1] < run.history["validation.loss"][0]
    expected = run.predict_probabilities(x[600:650])
    assert torch.equal(experiment.open(run.name).predict_probabilities(x[600:650]), expected)
    opened = tw.Run.open(run.directory, network=convolutional())
    assert torch.equal(opened.predict_probabilities(x[600:650]), expected)
    again = tw.Run.open(run.directory, network=run.network)  # which has been changed already
    assert torch.equal(again.predict_probabilities(x[600:650]), expected)
    longer = experiment.resume(run, epochs=3, listeners=())
    whole = experiment.train(plan.replace(epochs=3), listeners=())
    assert len(longer.history["validation.loss"]) == len(whole.history["validation.loss"]) == 3


def test_weights_are_normalized_where_the_run_has_them_so(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    """A last layer of zeros was left alone by the run; of the network that is given others are zeros."""
    x, y = digits

    def build(zeros: int = 2) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        nn.init.zeros_(network[zeros].weight)
        return network

    experiment = tw.Experiment(build(), train=(x[:300], y[:300]), loss="cross_entropy", directory=runs)
    plan = tw.Plan(normalization=SpectralNorm(), optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, probes=False)
    run = experiment.train(plan, listeners=())
    assert [is_parametrized(run.network[k]) for k in (0, 2)] == [True, False]
    for zeros in (0, 2):
        opened = tw.Run.open(run.directory, network=build(zeros))
        assert torch.equal(opened.model(x), run.model(x))


def test_lazy_layers_are_changed_once_they_have_shapes(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    x, y = digits

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)), nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(),
            nn.LazyLinear(10),
        )  # fmt: skip

    experiment = tw.Experiment(build, train=(x[:300], y[:300]), loss="cross_entropy", directory=runs)
    part = WeightStandardization(norm=GroupNorm(groups=4))
    plan = tw.Plan(normalization=part, optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, probes=False)
    run = experiment.train(plan, listeners=())
    assert isinstance(run.network[2], nn.GroupNorm)
    assert is_parametrized(run.network[1])
    assert torch.equal(experiment.open(run.name).model(x), run.model(x))


def test_group_norm_stays_as_it_is_divided() -> None:
    """The module does not say whether there are places, on which the number of groups that fits depends."""
    for channels in (8, 24, 64):
        network = nn.Sequential(nn.BatchNorm2d(channels), nn.BatchNorm1d(channels))
        for _ in range(2):
            replace_normalization(network, GroupNorm(groups=4))
        assert [norm.num_groups for norm in network] == [4, {8: 1, 24: 3, 64: 4}[channels]]


def test_rms_norm_is_fused_under_autocast_too() -> None:
    """torch warns where it is not, and warnings are errors here."""
    norm = RMSNorm().build(8, dims=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(torch.randn(4, 8).bfloat16()).dtype == torch.bfloat16


def test_a_plan_says_what_it_changed(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    x, y = digits
    experiment = tw.Experiment(convolutional, train=(x[:300], y[:300]), loss="cross_entropy", directory=runs)
    plan = tw.Plan(normalization=GroupNorm(), optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, probes=False)
    decisions = experiment._set_up(plan).decisions
    assert any("changed at 2 (4 groups)" in decision.reason for decision in decisions)
    mlp = tw.Experiment(nn.Linear(64, 10), train=(x[:300], y[:300]), loss="cross_entropy", directory=runs)
    with pytest.raises(ModelError, match="normalization"):
        mlp.train(plan, listeners=())
