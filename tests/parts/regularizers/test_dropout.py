"""The dropout modules: torch's numbers where torch has them, expectations where not, and every form of running."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.parts.regularizers import AlphaDropout, ChannelDropout, DropConnect, Dropout, StochasticDepth
from thalweg.parts.regularizers.stochastic_depth import rates_by_depth


def drop_connect(mode: str, p: float = 0.5, bias: bool = True) -> DropConnect:
    torch.manual_seed(7)
    return DropConnect(nn.Linear(6, 6, bias=bias), p, mode=mode)


CASES = {
    "Dropout, training": lambda: Dropout(0.3),
    "Dropout, inference": lambda: Dropout(0.3, scale_at="inference"),
    "ChannelDropout": lambda: ChannelDropout(0.3),
    "AlphaDropout": lambda: AlphaDropout(0.3),
    "DropConnect, batch": lambda: drop_connect("batch"),
    "DropConnect, row": lambda: drop_connect("row"),
    "StochasticDepth, row": lambda: StochasticDepth(0.3),
    "StochasticDepth, batch": lambda: StochasticDepth(0.3, mode="batch"),
}
every_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


def seeded(module, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return module(x)


def mean_over_draws(module: nn.Module, x: Tensor, draws: int = 20_000) -> tuple[Tensor, Tensor]:
    """The mean output for one row, with its standard error, over draws as rows of one batch or as batches."""
    torch.manual_seed(1)
    with torch.no_grad():
        if getattr(module, "mode", "row") == "batch":
            outputs = torch.cat([module(x) for _ in range(draws // 10)])
        else:
            outputs = module(x.expand(draws, *x.shape[1:]))
    return outputs.mean(0), outputs.std(0) / len(outputs) ** 0.5


# ---------------------------------------------------------------------- what they compute


@every_case
def test_expectation_in_training_is_the_value_at_inference(make):
    """Exact for a linear map of the inputs or weights, so that only the draws' own error is left (5 sigma)."""
    module = make().train()
    x = torch.linspace(-1, 2, 6)[None]
    mean, error = mean_over_draws(module, x)
    expected = module.eval()(x)[0].detach()
    if isinstance(module, AlphaDropout):  # of alpha dropout it is a property of standardized inputs as a whole
        normal = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
        dropped = seeded(module.train(), normal)
        assert (float(dropped.mean()), float(dropped.var())) == pytest.approx((0.0, 1.0), abs=0.02)
        return
    assert ((mean - expected).abs() <= 5 * error + 1e-6).all()
    assert (error > 0).any()


def test_the_two_scalings_are_one_network_with_other_weights():
    """Weights behind the unscaled form times 1 - p give the scaled form, draw by draw and at inference."""
    x = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    after, smaller = nn.Linear(10, 3, bias=False), nn.Linear(10, 3, bias=False)
    with torch.no_grad():
        smaller.weight.copy_(after.weight / (1 - 0.4))
    ours, theirs = Dropout(0.4, scale_at="inference"), Dropout(0.4)
    for train in (True, False):
        a, b = seeded(ours.train(train), x), seeded(theirs.train(train), x)
        torch.testing.assert_close(smaller(a), after(b))


def test_mean_of_all_networks_is_the_one_at_inference_for_a_linear_layer():
    """All 2^4 masks, each by its probability: no sampling in it."""
    p, x = 0.3, torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    shares = (p ** (1 - masks) * (1 - p) ** masks).prod(1)
    for scale_at, factor in (("training", 1 / (1 - p)), ("inference", 1.0)):
        mean = (shares[:, None] * ((masks * x * factor) @ weight.T)).sum(0)
        torch.testing.assert_close(mean, weight @ Dropout(p, scale_at=scale_at).eval()(x))


def test_equals_torch_where_torch_has_it():
    x, image = torch.randn(8, 6), torch.randn(4, 3, 5, 5)
    assert torch.equal(seeded(Dropout(0.4), x), seeded(nn.Dropout(0.4), x))
    assert torch.equal(seeded(AlphaDropout(0.4), x), seeded(nn.AlphaDropout(0.4), x))
    assert torch.equal(seeded(ChannelDropout(0.4), image), seeded(nn.Dropout2d(0.4), image))
    assert torch.equal(seeded(ChannelDropout(0.4), image[..., 0]), seeded(nn.Dropout1d(0.4), image[..., 0]))
    volume = image[..., None]
    assert torch.equal(seeded(ChannelDropout(0.4), volume), seeded(nn.Dropout3d(0.4), volume))
    kept = seeded(Dropout(0.4, scale_at="inference"), x) != 0
    assert torch.equal(kept, seeded(nn.Dropout(0.4), x) != 0)


def reference_stochastic_depth(x: Tensor, p: float, mode: str) -> Tensor:
    """torchvision.ops.stochastic_depth, as published."""
    survival = 1 - p
    size = [x.shape[0]] + [1] * (x.ndim - 1) if mode == "row" else [1] * x.ndim
    noise = torch.empty(size, dtype=x.dtype).bernoulli_(survival)
    return x * (noise.div_(survival) if survival > 0 else noise)


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("p", [0.2, 1.0])
def test_stochastic_depth_equals_torchvisions(mode, p):
    x = torch.randn(16, 3, 4, 4)
    torch.manual_seed(5)
    expected = reference_stochastic_depth(x, p, mode)
    assert torch.equal(seeded(StochasticDepth(p, mode=mode), x, seed=5), expected)


def test_whole_channels_and_branches_drop():
    image = torch.ones(50, 8, 3, 3)
    channels = seeded(ChannelDropout(0.5), image).flatten(2)
    assert ((channels == 0).all(2) | (channels == 2).all(2)).all()
    assert len(channels[..., 0].unique(dim=0)) > 30  # each sample its own
    assert len(seeded(StochasticDepth(0.5), image).flatten(1).unique(dim=0)) == 2
    assert len(seeded(StochasticDepth(0.5, mode="batch"), image).unique()) == 1


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Linear(6, 4), torch.randn(5, 6)),
        (nn.Linear(6, 4, bias=False), torch.randn(5, 3, 2, 6)),
        (nn.Conv2d(6, 4, 3, groups=2), torch.randn(5, 6, 7, 7)),
        (nn.ConvTranspose1d(6, 4, 3), torch.randn(5, 6, 7)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_drop_connect_drops_weights_and_keeps_the_bias(layer, x):
    """The output is that of the layer whose weights are multiplied by the drawn masks, sample by sample."""
    for mode in ("batch", "row") if isinstance(layer, nn.Linear) else ("batch",):
        module = DropConnect(layer, 0.5, mode=mode)
        found = seeded(module, x)
        torch.manual_seed(0)
        weight = layer.weight.detach()
        masks = F.dropout(torch.ones(len(x) if mode == "row" else 1, *weight.shape), 0.5)
        for k in range(len(x)):
            masked = {"weight": weight * masks[k if mode == "row" else 0]}
            expected = torch.func.functional_call(layer, masked, (x[k : k + 1],))
            torch.testing.assert_close(found[k : k + 1], expected, rtol=1e-4, atol=1e-5)


def test_drop_connect_trains_its_layer():
    module = drop_connect("row")
    seeded(module, torch.randn(9, 6)).sum().backward()
    assert module.layer.weight.grad.abs().sum() > 0
    assert torch.equal(module.layer.bias.grad, torch.full((6,), 9.0))


def test_rates_grow_in_a_line():
    assert rates_by_depth(0.5, num_blocks=54)[53] == 0.5
    stay = sum(1 - rate for rate in rates_by_depth(0.5, num_blocks=54))
    assert stay == pytest.approx(54 - 0.5 * 55 / 2)  # Huang et al.: about 40 of 54 blocks
    for bad in ({"last": 2.0, "num_blocks": 3}, {"last": 0.1, "num_blocks": 0}):
        with pytest.raises(UsageError, match="rates_by_depth got"):
            rates_by_depth(**bad)


# ---------------------------------------------------------------------- in every form of running


@every_case
def test_same_seed_same_noise_and_nothing_at_inference(make):
    module, x = make(), torch.randn(16, 6)
    assert torch.equal(seeded(module, x), seeded(module, x))
    assert any(not torch.equal(seeded(module, x), seeded(module, x, seed=k)) for k in range(1, 9))
    state = torch.get_rng_state()
    assert torch.equal(module.eval()(x), module.eval()(x))
    assert torch.equal(torch.get_rng_state(), state)


@every_case
@pytest.mark.parametrize("train", [True, False])
def test_gradients_equal_finite_differences(make, train):
    module, x = make().double().train(train), torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: seeded(module, value), (x,))


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtypes_zero_rows_and_strides(make, dtype):
    module = make().to(dtype)
    assert seeded(module, torch.randn(4, 6, dtype=dtype)).dtype == dtype
    assert seeded(module, torch.zeros(0, 6, dtype=dtype)).shape == (0, 6)
    turned = torch.randn(6, 4).to(dtype).t()  # torch draws in the order of memory: the noise differs, the rest does not
    assert seeded(module, turned).shape == turned.shape
    torch.testing.assert_close(module.eval()(turned), module(turned.contiguous()))


@pytest.mark.parametrize("make", [v for k, v in CASES.items() if "Connect" not in k])
def test_channels_last_stays(make):
    x = torch.randn(4, 6, 5, 5).to(memory_format=torch.channels_last)
    assert seeded(make(), x).is_contiguous(memory_format=torch.channels_last)


@every_case
def test_compiles_into_one_graph(make):
    module, x = make(), torch.randn(16, 6)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    found = seeded(compiled, x)
    assert found.shape == x.shape
    assert not torch.equal(found, module.eval()(x))
    torch.testing.assert_close(torch.compile(module.eval(), backend="aot_eager", fullgraph=True)(x), module(x))
    torch._dynamo.reset()


@every_case
def test_members_at_once_draw_their_own(make):
    module, x = make(), torch.ones(4, 6)
    members = torch.func.vmap(lambda _: module(x), randomness="different")(torch.zeros(200))
    assert len(members.flatten(1).unique(dim=0)) > 1
    with torch.no_grad():
        at_inference = torch.func.vmap(module.eval())(x.expand(3, 4, 6))
    torch.testing.assert_close(at_inference[0], module(x))


@every_case
def test_exports_for_inference(make):
    module, x = make().eval(), torch.randn(4, 6)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
    torch.testing.assert_close(program.module()(torch.cat([x, x])), module(torch.cat([x, x])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dropout(0.5, scale_at="both"), r"scale_at='both'; allowed: 'training' or 'inference'"),
        (lambda: Dropout(0.5, scale_at="inference", inplace=True), r"inplace=True with scale_at='inference'"),
        (lambda: ChannelDropout(0.5)(torch.ones(3)), r"shape \[3\]; expected \[N, C, \.\.\.\]"),
        (lambda: DropConnect(nn.ReLU()), r"got ReLU, whose `weight` is no parameter"),
        (lambda: DropConnect(nn.Linear(2, 2), 1.0), r"p=1.0; allowed: a probability from 0 to below 1"),
        (lambda: DropConnect(nn.Linear(2, 2), mode="rows"), r"mode='rows'"),
        (
            lambda: DropConnect(nn.Conv1d(2, 2, 1), mode="row"),
            r"mode='row' with Conv1d; allowed: nn.Linear, or 'batch'",
        ),
        (lambda: StochasticDepth(-0.1), r"StochasticDepth got p=-0.1"),
        (lambda: StochasticDepth(0.1, mode="sample"), r"mode='sample'; allowed: 'row' or 'batch'"),
    ],
)
def test_wrong_values_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_case
def test_runs_on_cuda(make):
    module, x = make().cuda(), torch.ones(256, 6, device="cuda")
    assert torch.equal(seeded(module, x), seeded(module, x))
    assert not torch.equal(seeded(module, x), module.eval()(x))
