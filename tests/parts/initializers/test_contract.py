"""Every initializer through the same cases, and against torch.nn.init where torch has it."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from scipy import stats
from torch import nn

from thalweg.errors import UsageError
from thalweg.parts import initializers
from thalweg.parts.initializers import (
    LSUV,
    Constant,
    Dirac,
    ForgetBias,
    He,
    Initializer,
    LeCun,
    Normal,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    Xavier,
    ZeroResidual,
)
from thalweg.parts.initializers.initializer import Scale, fans_of
from thalweg.plan import Plan

CASES = [
    Constant(value=0.3),
    Normal(mean=0.1, std=0.2),
    TruncatedNormal(mean=-0.1, std=0.2),
    TruncatedNormal(std=0.1, low=-0.5, high=3.0),
    Uniform(low=-0.2, high=0.3),
    Xavier(),
    Xavier(distribution="normal"),
    He(),
    He(mode="fan_out", distribution="uniform"),
    He(distribution="truncated_normal"),
    LeCun(),
    LeCun(distribution="uniform"),
    Orthogonal(),
    Dirac(),
    Sparse(sparsity=0.7),
    Sparse(std=0.05),
    LSUV(tolerance=0.05),
    ZeroResidual(then=Orthogonal()),
    ForgetBias(then=Normal(std=0.3), value=2.0),
]
every_case = pytest.mark.parametrize("initializer", CASES, ids=str)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(initializer, shape=(96, 48), *, dtype=torch.float64, seed=0, **values):
    return initializer.fill_(torch.empty(shape, dtype=dtype), generator=generator(seed), **values)


@every_case
def test_entries_have_the_deviation_that_is_promised(initializer):
    for shape, groups in (((96, 48), 1), ((96, 12, 3, 3), 4), ((1024, 64), 4)):
        for gain in (None, 1.7):
            weight = drawn(initializer, shape, gain=gain, groups=groups)
            fan_in, fan_out = fans_of(shape, groups)
            expected = initializer.deviation(Scale(fan_in, fan_out, gain), shape, groups)
            assert float(weight.std(correction=0)) == pytest.approx(expected, rel=0.05, abs=1e-9)


@every_case
def test_float_types(initializer):
    exact = drawn(initializer, dtype=torch.float32)
    half = drawn(initializer, dtype=torch.bfloat16)
    assert (exact.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(half, exact.bfloat16())
    assert drawn(initializer).std().item() == pytest.approx(exact.std().item(), rel=0.05, abs=1e-6)


@every_case
def test_layouts(initializer):
    shape = (8, 6, 3, 3)
    expected = drawn(initializer, shape).flatten().sort().values
    channels_last = torch.empty(shape, dtype=torch.float64).to(memory_format=torch.channels_last)
    transposed = torch.empty(3, 3, 6, 8, dtype=torch.float64).permute(3, 2, 0, 1)
    for tensor in (channels_last, transposed):
        strides = tensor.stride()
        initializer.fill_(tensor, generator=generator())
        assert tensor.stride() == strides
        found = tensor.flatten().sort().values
        assert found[0] <= found[-1]
        assert float(found.std()) == pytest.approx(float(expected.std()), rel=0.15, abs=1e-9)
    strided = torch.zeros(8, 12, dtype=torch.float64)
    initializer.fill_(strided[:, ::2], generator=generator())
    assert not strided[:, 1::2].any()
    assert strided[:, ::2].any()


@every_case
def test_nothing_to_fill(initializer):
    for shape in ((0, 4), (4, 0), (0, 3, 2, 2)):
        assert initializer.fill_(torch.empty(shape)).shape == shape


@every_case
def test_seed_decides_and_the_global_generator_is_not_read(initializer):
    before = torch.get_rng_state()
    first, again, other = drawn(initializer), drawn(initializer), drawn(initializer, seed=1)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, other) == isinstance(initializer, Constant | Dirac)


@every_case
def test_a_parameter_keeps_no_history(initializer):
    weight = nn.Linear(4, 3).weight
    assert initializer.fill_(weight) is weight
    assert weight.is_leaf
    assert weight.requires_grad
    assert weight.grad_fn is None


@every_case
def test_json_and_back(initializer):
    plan = Plan(initialization=initializer)
    assert Plan.from_json(plan.to_json()) == plan
    assert dataclasses.replace(initializer) == initializer
    assert hash(initializer) == hash(dataclasses.replace(initializer))


@every_case
def test_vector_needs_fans_where_they_count(initializer):
    if initializer.scales:
        with pytest.raises(UsageError, match=r"fewer than 2 dimensions.*fan_in="):
            initializer.fill_(torch.empty(5))
    else:
        assert initializer.fill_(torch.empty(5)).shape == (5,)


@every_case
def test_groups_must_divide_the_rows(initializer):
    with pytest.raises(UsageError, match="groups=3 does not divide"):
        initializer.fill_(torch.empty(4, 4), groups=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_case
def test_on_cuda(initializer):
    weight = torch.empty(96, 48, device="cuda")
    initializer.fill_(weight, generator=torch.Generator("cuda").manual_seed(0))
    expected = initializer.deviation(Scale(48, 96), (96, 48))
    assert float(weight.std(correction=0)) == pytest.approx(expected, rel=0.05, abs=1e-6)


SHAPE = (400, 50, 3)
FAN_IN, FAN_OUT = 150, 1200
TORCHS = {
    "normal": (Normal(mean=0.5, std=2.0), lambda w: nn.init.normal_(w, 0.5, 2.0)),
    "uniform": (Uniform(low=-1.0, high=3.0), lambda w: nn.init.uniform_(w, -1.0, 3.0)),
    "xavier uniform": (Xavier(), nn.init.xavier_uniform_),
    "xavier normal": (Xavier(distribution="normal"), nn.init.xavier_normal_),
    "he normal": (He(), nn.init.kaiming_normal_),
    "he uniform": (He(distribution="uniform"), nn.init.kaiming_uniform_),
    "he fan out": (He(mode="fan_out"), lambda w: nn.init.kaiming_normal_(w, mode="fan_out")),
    "lecun": (LeCun(), lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCHS.values(), ids=TORCHS)
def test_distribution_is_torchs(ours, theirs):
    torch.manual_seed(0)
    expected = theirs(torch.empty(SHAPE, dtype=torch.float64)).flatten()
    found = drawn(ours, SHAPE, seed=1).flatten()
    assert stats.ks_2samp(found, expected).pvalue > 0.01
    assert float(found.std()) == pytest.approx(float(expected.std()), rel=0.01)
    assert stats.ks_2samp(found * 1.05, expected).pvalue < 0.01, "the test has no power"


def test_truncated_normal_has_the_deviation_that_was_asked_for():
    for low, high in ((-2.0, 2.0), (-1.0, 1.0), (-0.5, 3.0), (1.0, 2.0)):
        weight = drawn(TruncatedNormal(mean=0.7, std=0.4, low=low, high=high), (400, 500)).flatten()
        exact = stats.truncnorm(low, high)
        assert float(weight.mean()) == pytest.approx(0.7, abs=0.005)
        assert float(weight.std()) == pytest.approx(0.4, rel=0.01)
        standard = (weight - 0.7) / 0.4 * exact.std() + exact.mean()
        assert stats.kstest(standard, exact.cdf).pvalue > 0.01
    torchs = nn.init.trunc_normal_(torch.empty(400, 500), std=0.4, a=-0.8, b=0.8)
    assert float(torchs.std()) == pytest.approx(0.4 * 0.8796, rel=0.01)  # what is corrected


@pytest.mark.parametrize("shape", [(64, 64), (128, 32), (32, 128), (16, 8, 3, 3), (4, 2, 5)])
def test_orthogonal_matrices(shape):
    weight = drawn(Orthogonal(), shape, gain=1.5).flatten(1) / 1.5
    product = weight.T @ weight if weight.shape[0] >= weight.shape[1] else weight @ weight.T
    assert float((product - torch.eye(len(product), dtype=torch.float64)).abs().max()) < 1e-12
    torchs = nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64), 1.5, generator()).flatten(1)
    assert torch.allclose(weight * 1.5, torchs, rtol=1e-13, atol=1e-15)


def test_orthogonal_groups_are_matrices_of_their_own():
    weight = drawn(Orthogonal(), (4 * 16, 16), groups=4)
    for block in weight.chunk(4):
        assert float((block @ block.T - torch.eye(16)).abs().max()) < 1e-12
    assert float((weight.T @ weight - 4 * torch.eye(16)).abs().max()) < 1e-12
    blocks = weight.chunk(4)
    assert not torch.allclose(blocks[0], blocks[1])


@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_is_torchs_and_passes_inputs_on(groups):
    weight = drawn(Dirac(), (6, 6 // groups, 3, 5), groups=groups)
    assert torch.equal(weight, nn.init.dirac_(torch.empty(6, 6 // groups, 3, 5, dtype=torch.float64), groups))
    x = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    assert torch.equal(nn.functional.conv2d(x, weight, padding=(1, 2), groups=groups), x)
    assert torch.equal(drawn(Dirac(), (3, 4)), torch.eye(3, 4, dtype=torch.float64))


def test_sparse_leaves_each_unit_the_same_number_of_inputs():
    weight = drawn(Sparse(sparsity=0.9), (300, 40, 5), seed=1)  # over 200 seeds the p-values below are uniform
    assert (weight != 0).flatten(1).sum(1).tolist() == [20] * 300
    values = weight[weight != 0]
    assert stats.kstest(values * 20**0.5, "norm").pvalue > 0.01
    torchs = nn.init.sparse_(torch.empty(300, 200, dtype=torch.float64), 0.9, std=0.05)
    ours = drawn(Sparse(std=0.05), (300, 200), seed=1)
    assert stats.ks_2samp(ours[ours != 0], torchs[torchs != 0]).pvalue > 0.01
    assert float((ours == 0).double().mean()) == float((torchs == 0).double().mean()) == 0.9
    assert (drawn(Sparse(sparsity=0.99), (5, 3)) != 0).sum(1).tolist() == [1] * 5
    x = torch.randn(4000, 200, dtype=torch.float64, generator=generator(5))
    assert float((x @ drawn(Sparse(), (300, 200)).T).var()) == pytest.approx(1, rel=0.05)


def test_other_names():
    assert (initializers.Kaiming, initializers.Glorot) == (He, Xavier)
    assert {type(case).__name__ for case in CASES} == set(initializers.__all__)
    assert all(issubclass(getattr(initializers, name), Initializer) for name in initializers.__all__)


def test_gain_of_fill_is_the_parts_own_where_nobody_says():
    assert He().deviation(Scale(50, 10), (10, 50)) == pytest.approx((2 / 50) ** 0.5)
    assert Xavier().deviation(Scale(50, 10), (10, 50)) == pytest.approx((2 / 60) ** 0.5)
    assert LeCun().deviation(Scale(50, 10, 1.7), (10, 50)) == pytest.approx(50**-0.5)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Constant, {"value": float("nan")}, "Constant got value=nan; allowed: a finite number"),
        (Normal, {"std": -1}, "Normal got std=-1; allowed: a number of at least 0"),
        (Normal, {"mean": None}, "mean=None"),
        (TruncatedNormal, {"low": 2.0, "high": 1.0}, r"high=1.0; allowed: a number above low=2.0"),
        (TruncatedNormal, {"low": -9}, "low=-9"),
        (Uniform, {"low": 1.0, "high": 1.0}, r"high=1.0; allowed: a number above low=1.0"),
        (Xavier, {"distribution": "gauss"}, "Xavier got distribution='gauss'; allowed: 'normal' or 'uniform' or"),
        (He, {"mode": "fan"}, "He got mode='fan'; allowed: 'fan_in' or 'fan_out'"),
        (Sparse, {"sparsity": 1.0}, "Sparse got sparsity=1.0; allowed: a share from 0 to below 1"),
        (Sparse, {"std": "big"}, "std='big'"),
        (LSUV, {"tolerance": 0}, "LSUV got tolerance=0; allowed: a number above 0"),
        (LSUV, {"max_iterations": 0.5}, "max_iterations=0.5; allowed: an integer of at least 1"),
        (ZeroResidual, {"then": "he"}, "ZeroResidual got then='he'; allowed: an initializer"),
        (ForgetBias, {"value": float("inf")}, "ForgetBias got value=inf"),
    ],
)
def test_wrong_values_are_named(kind, values, message):
    with pytest.raises(UsageError, match=message):
        kind(**values)


def test_import_and_specs_need_no_torch():
    program = (
        "import sys; from thalweg.parts import initializers\n"
        "for name in initializers.__all__: getattr(initializers, name)()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
