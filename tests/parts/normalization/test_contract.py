"""Every normalization through the same cases; the references are torch's modules and formulas in float64."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.parts import normalization
from thalweg.parts.normalization import (
    BatchNorm,
    GhostBatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    OutputNormalization,
    RMSNorm,
    SpectralNorm,
    WeightNormalization,
    WeightStandardization,
)

OUTPUTS = [
    BatchNorm(),
    BatchNorm(eps=1e-3, momentum=None, affine=False),
    BatchNorm(track_running_stats=False),
    BatchNorm(synchronized=True),
    GhostBatchNorm(size=4),
    GhostBatchNorm(size=3, momentum=None),
    GhostBatchNorm(size=4, affine=False, track_running_stats=False),
    GroupNorm(groups=4),
    GroupNorm(affine=False),
    InstanceNorm(),
    InstanceNorm(affine=True, track_running_stats=True),
    LayerNorm(),
    LayerNorm(affine=False),
    LayerNorm(bias=False, eps=1e-3),
    RMSNorm(),
    RMSNorm(affine=False, eps=1e-3),
]
WEIGHTS = [WeightStandardization(), WeightStandardization(scaled=False), SpectralNorm(), SpectralNorm(norm=RMSNorm())]
every_output = pytest.mark.parametrize("part", OUTPUTS, ids=repr)
every_weight = pytest.mark.parametrize("part", WEIGHTS, ids=repr)
every_dims = pytest.mark.parametrize("dims", [0, 1, 2, 3])
PLACES = {0: (), 1: (5,), 2: (3, 4), 3: (2, 3, 2)}
C = 8


def built(part: OutputNormalization, dims: int | None) -> nn.Module:
    """With weights that are not 1 and 0."""
    if isinstance(part, InstanceNorm) and dims == 0:
        pytest.skip("instance norm needs places")
    norm = part.build(C, dims=dims)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return norm


def data(dims: int, rows: int = 11, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, C, *PLACES[dims], generator=generator, dtype=torch.float64) * 3 + 2).to(dtype)


def normalized(x: Tensor, over: list[int], eps: float) -> Tensor:
    return (x - x.mean(over, keepdim=True)) / (x.var(over, correction=0, keepdim=True) + eps).sqrt()


def formula(part: Any, x: Tensor) -> Tensor:
    """The docstring's formula in float64, in training, before γ and β."""
    places = list(range(2, x.dim()))
    match part:
        case BatchNorm():
            return normalized(x, [0, *places], part.eps)
        case GhostBatchNorm():
            return torch.cat([normalized(rows, [0, *places], part.eps) for rows in x.split(part.size)])
        case GroupNorm():
            groups = part.groups_of(C, x.dim() - 2)
            cut = x.unflatten(1, (groups, C // groups))
            return normalized(cut, list(range(2, cut.dim())), part.eps).flatten(1, 2)
        case InstanceNorm():
            return normalized(x, places, part.eps)
        case LayerNorm():
            return normalized(x, [1], part.eps)
        case RMSNorm():
            eps = torch.finfo(torch.float64).eps if part.eps is None else part.eps
            return x / (x.square().mean(1, keepdim=True) + eps).sqrt()
    raise AssertionError(part)


@every_dims
@every_output
def test_training_is_the_formula(part: OutputNormalization, dims: int) -> None:
    norm, x = built(part, dims).double(), data(dims, dtype=torch.float64)
    expected = formula(part, x)
    shape = (1, C) + (1,) * dims
    if norm.weight is not None:
        expected = expected * norm.weight.detach().view(shape)
    if getattr(norm, "bias", None) is not None:
        expected = expected + norm.bias.detach().view(shape)
    torch.testing.assert_close(norm(x).detach(), expected, rtol=1e-10, atol=1e-10)


@every_output
def test_any_number_of_dimensions(part: OutputNormalization) -> None:
    """`dims=None` gives one module for all, equal to those of each."""
    if isinstance(part, GroupNorm):
        part = GroupNorm(groups=1)  # elsewhere the number of groups depends on the places
    for dims in (0, 1, 2, 3):
        if isinstance(part, InstanceNorm) and dims == 0:
            continue
        x = data(dims)
        torch.testing.assert_close(built(part, None)(x), built(part, dims)(x))


@pytest.mark.parametrize(
    ("part", "torchs"),
    [
        (BatchNorm(momentum=0.3, eps=1e-4), nn.BatchNorm2d(C, 1e-4, 0.3)),
        (BatchNorm(affine=False, momentum=None), nn.BatchNorm2d(C, affine=False, momentum=None)),
        (BatchNorm(track_running_stats=False), nn.BatchNorm2d(C, track_running_stats=False)),
        (GroupNorm(groups=2, eps=1e-3), nn.GroupNorm(2, C, 1e-3)),
        (InstanceNorm(affine=True), nn.InstanceNorm2d(C, affine=True)),
        (InstanceNorm(track_running_stats=True), nn.InstanceNorm2d(C, track_running_stats=True)),
    ],
    ids=repr,
)  # fmt: skip
def test_build_is_torchs_module(part: OutputNormalization, torchs: nn.Module) -> None:
    norm = part.build(C, dims=2)
    assert type(norm) is type(torchs)
    assert repr(norm) == repr(torchs)
    for seed in range(3):
        x = data(2, seed=seed)
        assert torch.equal(norm(x), torchs(x))
    assert norm.state_dict().keys() == torchs.state_dict().keys()
    x = data(2, seed=9)
    assert torch.equal(norm.eval()(x), torchs.eval()(x))


def test_defaults_are_torchs() -> None:
    pairs = [(BatchNorm(), nn.BatchNorm2d(C)), (InstanceNorm(), nn.InstanceNorm2d(C))]
    pairs += [(LayerNorm(), nn.LayerNorm(C)), (RMSNorm(), nn.RMSNorm(C)), (GroupNorm(groups=4), nn.GroupNorm(4, C))]
    for part, torchs in pairs:
        dims = 0 if isinstance(part, LayerNorm | RMSNorm) else 2
        built = part.build(C, dims=dims)
        assert isinstance(built, type(torchs))
        assert built.extra_repr() == torchs.extra_repr()


@pytest.mark.parametrize(
    "part", [BatchNorm(), BatchNorm(synchronized=True), GhostBatchNorm(size=4), InstanceNorm(track_running_stats=True)]
)
def test_evaluation_uses_the_estimates(part: OutputNormalization) -> None:
    norm, x = built(part, 1), data(1)
    norm(x)
    norm.eval()
    expected = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=part.eps)
    torch.testing.assert_close(norm(x), expected)
    before = norm.running_mean.clone()
    assert torch.equal(norm(x[:1]), norm(x)[:1])
    assert torch.equal(before, norm.running_mean)


@every_output
def test_bfloat16_has_float32_statistics(part: OutputNormalization) -> None:
    """With float32 weights, as under autocast; where all is bfloat16, or nothing is kept, torch's own rounds."""
    low = (data(2) + 30).bfloat16()  # a mean that bfloat16 sums would lose
    norm = built(part, 2)
    reference = built(part, 2)
    with torch.no_grad():
        expected = reference(low.float())
        if isinstance(part, BatchNorm | GhostBatchNorm | InstanceNorm) and norm.weight is None:
            pytest.skip("torch's batch norm on a CPU takes the type of its statistics from the weights")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = norm(low)
        assert float((found.float() - expected).abs().max() / expected.abs().max()) < 2**-7
        for own, wanted in zip(norm.buffers(), reference.buffers(), strict=True):
            torch.testing.assert_close(own, wanted, rtol=1e-5, atol=1e-6)


@every_output
def test_layouts_are_kept(part: OutputNormalization) -> None:
    norm, x = built(part, 2), data(2)
    expected = norm(x)
    last = norm(x.to(memory_format=torch.channels_last))
    assert expected.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last) or isinstance(part, InstanceNorm | GroupNorm)
    torch.testing.assert_close(last, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm(x.transpose(2, 3)), expected.transpose(2, 3), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm(torch.stack([x, x], -1)[..., 0]), expected, rtol=1e-5, atol=1e-5)
    volume = data(3).to(memory_format=torch.channels_last_3d)
    if isinstance(part, LayerNorm | RMSNorm):
        assert built(part, 3)(volume).is_contiguous(memory_format=torch.channels_last_3d)


@every_output
def test_no_rows(part: OutputNormalization) -> None:
    if isinstance(part, GroupNorm):
        part = GroupNorm(groups=1)
    if isinstance(part, InstanceNorm) and part.track_running_stats:
        pytest.skip("torch's own fails")
    norm = built(part, 1).eval()
    x = data(1)[:0].requires_grad_()
    assert norm(x).shape == (0, C, 5)
    norm(x).sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@every_output
def test_compiled_as_one_graph(part: OutputNormalization) -> None:
    if isinstance(part, BatchNorm | GhostBatchNorm) and part.momentum is None:
        pytest.skip("the share of a plain mean is read from the count, which synchronizes, in torch too")
    x = data(1)
    for training in (True, False):
        eager, compiled = built(part, 1).train(training), built(part, 1).train(training)
        torch._dynamo.reset()
        torch.testing.assert_close(torch.compile(compiled, backend="aot_eager", fullgraph=True)(x), eager(x))
        for a, b in zip(eager.buffers(), compiled.buffers(), strict=True):
            torch.testing.assert_close(a, b)


@every_output
def test_vmap_in_evaluation(part: OutputNormalization) -> None:
    norm = built(part, 1)
    norm(data(1))
    norm.eval()
    x = torch.stack([data(1, seed=1), data(1, seed=2)])
    torch.testing.assert_close(torch.func.vmap(norm)(x), torch.stack([norm(x[0]), norm(x[1])]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [BatchNorm, GhostBatchNorm])
def test_vmap_in_training(kind: Any) -> None:
    """Without running estimates; with them torch refuses to write into one buffer from many members."""
    x = torch.stack([data(1, seed=1), data(1, seed=2)])
    norm = kind(track_running_stats=False, **({"size": 4} if kind is GhostBatchNorm else {})).build(C, dims=1)
    torch.testing.assert_close(torch.func.vmap(norm)(x), torch.stack([norm(x[0]), norm(x[1])]))
    tracking = kind(**({"size": 4} if kind is GhostBatchNorm else {})).build(C, dims=1)
    with pytest.raises(RuntimeError, match=r"running_mean|in-place"):
        torch.func.vmap(tracking)(x)


@every_output
def test_exported_for_use(part: OutputNormalization) -> None:
    norm = built(part, 2)
    norm(data(2))
    norm.eval()
    rows = {} if isinstance(part, GhostBatchNorm) and not part.track_running_stats else {0: torch.export.Dim("rows")}
    program = torch.export.export(norm, (data(2),), dynamic_shapes=(rows,))
    x = data(2, rows=11 if not rows else 5, seed=4)
    torch.testing.assert_close(program.module()(x), norm(x))


@every_weight
def test_weights_compile_and_export(part: WeightNormalization) -> None:
    torch.manual_seed(0)
    layer = part.apply(nn.Conv1d(3, 4, 3)).eval()
    x = torch.randn(2, 3, 9)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager", fullgraph=True)(x), layer(x))
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x[:, None]), layer(x)[:, None])


ALL: list[Any] = [*OUTPUTS, *WEIGHTS, WeightStandardization(norm=GroupNorm(groups=4), eps=1e-6)]


@pytest.mark.parametrize("part", ALL, ids=repr)
def test_a_plan_and_back(part: Any) -> None:
    plan = tw.Plan(normalization=part)
    assert tw.Plan.from_json(plan.to_json()) == plan
    import json

    assert tw.Plan.from_json(json.dumps(plan.to_json())).normalization == part


def test_names_of_the_family() -> None:
    assert set(normalization.__all__) == {type(part).__name__ for part in ALL}
    for name in normalization.__all__:
        assert issubclass(getattr(normalization, name), normalization.Normalization)
        assert tw.Plan.from_json({"normalization": name.lower()}).normalization == getattr(normalization, name)()
    assert callable(tw.normalization.recalibrate)
    with pytest.raises(AttributeError, match="BatchNorm"):
        tw.normalization.BatchNorms  # noqa: B018


def test_import_and_specs_need_no_torch() -> None:
    program = (
        "import sys; from thalweg.parts import normalization\n"
        "for name in normalization.__all__: getattr(normalization, name)()\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (BatchNorm, {"eps": 0}, r"BatchNorm got eps=0; allowed: a number above 0"),
        (BatchNorm, {"eps": float("nan")}, "eps=nan"),
        (BatchNorm, {"momentum": 1.1}, r"momentum=1.1; allowed: None \(a plain mean"),
        (BatchNorm, {"momentum": "0.1"}, "momentum='0.1'"),
        (BatchNorm, {"synchronized": 1}, "synchronized=1; allowed: True or False"),
        (GhostBatchNorm, {"size": 1}, "size=1; allowed"),
        (GhostBatchNorm, {"size": 0}, "GhostBatchNorm got size=0; allowed: an integer of at least 2"),
        (GhostBatchNorm, {"size": True}, "size=True"),
        (GroupNorm, {"groups": 2.0}, "groups=2.0"),
        (GroupNorm, {"groups": 0}, "groups=0"),
        (InstanceNorm, {"momentum": None, "track_running_stats": True}, "momentum=None.*no plain mean"),
        (LayerNorm, {"bias": None}, "bias=None"),
        (RMSNorm, {"eps": -1}, "eps=-1"),
        (WeightStandardization, {"scaled": "yes"}, "scaled='yes'"),
        (WeightStandardization, {"norm": SpectralNorm()}, r"norm=SpectralNorm.*such as GroupNorm\(\)"),
        (SpectralNorm, {"power_iterations": 0}, "power_iterations=0"),
    ],
)
def test_wrong_values_are_named(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kind(**values)


@pytest.mark.parametrize("part", OUTPUTS, ids=repr)
def test_wrong_sizes_are_named(part: OutputNormalization) -> None:
    name = type(part).__name__
    for wrong in (0, 2.0, True, "8"):
        with pytest.raises(UsageError, match=rf"{name} got num_features={wrong!r}"):
            part.build(wrong)  # type: ignore[arg-type]
    for wrong in (4, -1, True):
        with pytest.raises(UsageError, match=rf"{name} got dims={wrong!r}"):
            part.build(8, dims=wrong)


def test_one_value_per_channel_is_torchs_error() -> None:
    for part in (BatchNorm(), BatchNorm(synchronized=True), GhostBatchNorm()):
        for dims in (0, None):
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                part.build(C, dims=dims)(data(0)[:1])
        assert part.build(C, dims=2)(data(2)[:1]).shape == (1, C, 3, 4)
    with pytest.raises(UsageError, match="one value per channel"):
        InstanceNorm().build(C, dims=0)
    with pytest.raises(ValueError, match=r"places, \.\.\.\], and received \[11, 8\]"):
        InstanceNorm().build(C, dims=None)(data(0))


@every_output
def test_wrong_channels_are_refused(part: OutputNormalization) -> None:
    if isinstance(part, BatchNorm | InstanceNorm | LayerNorm | RMSNorm) and not dataclasses.asdict(part).get("affine"):
        pytest.skip("torch's modules without weights take any number")
    with pytest.raises((ValueError, RuntimeError)):
        part.build(C + 1, dims=1)(data(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_output
def test_cuda_equals_the_cpu(part: OutputNormalization) -> None:
    here, there = built(part, 2), built(part, 2).cuda()
    for seed in range(2):
        x = data(2, seed=seed)
        torch.testing.assert_close(there(x.cuda()).cpu(), here(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(there.eval()(x.cuda()).cpu(), here.eval()(x), rtol=1e-4, atol=1e-5)
