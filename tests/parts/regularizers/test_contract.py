"""Every regularizer of the weights against the norm in the loss, torch.optim's decay, and itself in other forms."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.parts import regularizers
from thalweg.parts.regularizers import L1, L2, DecoupledDecay, ElasticNet, MaxNorm, Regularizer, Several
from thalweg.train.clipping import Clipping
from thalweg.train.step import Step, undecayed

CASES = [
    L1(strength=0.01),
    L1(strength=0.01, proximal=True),
    L2(strength=0.1),
    ElasticNet(l1=0.01, l2=0.1),
    ElasticNet(l1=0.01, l2=0.1, proximal=True),
    DecoupledDecay(strength=0.1),
    MaxNorm(limit=0.5),
    Several(parts=(L2(strength=0.1), MaxNorm(limit=0.5))),
]
every_case = pytest.mark.parametrize("part", CASES, ids=str)
PENALTIES = [part for part in CASES if isinstance(part, L1 | L2 | ElasticNet) and not getattr(part, "proximal", False)]
SGD = tw.optimizers.SGD(lr=0.1, momentum=0.9)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 3)).double()


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(20, 6, dtype=torch.float64, generator=generator), torch.randint(0, 3, (20,), generator=generator))
        for _ in range(count)
    ]


def penalized(model: nn.Module) -> list[Tensor]:
    spared = undecayed(model)
    return [p for p in model.parameters() if id(p) not in spared]


def values(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def assert_equal(found: nn.Module, expected: nn.Module) -> None:
    for a, b in zip(values(found), values(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def trained(part: Regularizer, count: int = 30, optimizer: tw.optimizers.Optimizer = SGD, **options) -> nn.Module:
    model = network()
    step = Step(model, F.cross_entropy, optimizer, regularizer=part, **options)
    for k, batch in enumerate(batches(count)):
        step([batch], step=k, rate=float(optimizer.lr))
    return model


def tensors(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    shapes = [(5, 4), (3, 2, 3, 3), (7,), (0, 3)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


# ---------------------------------------------------------------------- against the loop everyone writes


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("part", PENALTIES, ids=str)
def test_equals_the_norm_in_the_loss(part, clip):
    theirs = network()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for x, y in batches(30):
        optimizer.zero_grad()
        weights = [theirs[0].weight, theirs[3].weight]
        l1, l2 = sum(w.abs().sum() for w in weights), sum((w**2).sum() for w in weights)
        factors = {L1: (0.01, 0.0), L2: (0.0, 0.1), ElasticNet: (0.01, 0.1)}[type(part)]
        (F.cross_entropy(theirs(x), y) + factors[0] * l1 + factors[1] / 2 * l2).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        optimizer.step()
    assert_equal(trained(part, clipping=Clipping(norm=clip)), theirs)


def test_l2_equals_torchs_weight_decay_unless_gradients_are_clipped():
    theirs = network()
    spared = [p for p in theirs.parameters() if id(p) in undecayed(theirs)]
    groups = [{"params": penalized(theirs), "weight_decay": 0.1}, {"params": spared}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    clipped = trained(L2(strength=0.1), clipping=Clipping(norm=0.3))
    for x, y in batches(30):
        optimizer.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        optimizer.step()
    assert_equal(trained(L2(strength=0.1)), theirs)
    assert not torch.allclose(clipped[0].weight, theirs[0].weight)


def test_decoupled_decay_makes_adamw_of_adam():
    expected = network()
    step = Step(expected, F.cross_entropy, tw.optimizers.AdamW(lr=0.01, weight_decay=0.1))
    for k, batch in enumerate(batches(30)):
        step([batch], step=k, rate=0.01)
    assert_equal(trained(DecoupledDecay(strength=0.1), optimizer=tw.optimizers.Adam(lr=0.01)), expected)


def test_decoupled_decay_of_sgd_is_sgdw():
    theirs, buffers = network(), {}
    for x, y in batches(30):
        theirs.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        with torch.no_grad():
            weights = {id(p) for p in penalized(theirs)}
            for p in theirs.parameters():
                buffers[p] = 0.9 * buffers.get(p, 0) + p.grad
                decay = 0.1 * 0.1 * p if id(p) in weights else 0
                p -= 0.1 * buffers[p] + decay
    assert_equal(trained(DecoupledDecay(strength=0.1)), theirs)


def test_proximal_l1_reaches_the_lassos_solution():
    """Under plain full-batch descent it is iterative soft thresholding: scikit-learn's minimum, zeros included."""
    from sklearn.linear_model import Lasso

    generator = torch.Generator().manual_seed(3)
    x = torch.randn(60, 8, generator=generator, dtype=torch.float64)
    y = x[:, :2] @ torch.tensor([1.0, -2.0], dtype=torch.float64) + 0.1 * torch.randn(60, generator=generator)
    expected = Lasso(alpha=0.3, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y).coef_
    model = nn.Linear(8, 1, bias=False).double()
    part = L1(strength=0.3, proximal=True)
    step = Step(model, lambda o, t: F.mse_loss(o[:, 0], t) / 2, tw.optimizers.SGD(lr=0.3), regularizer=part)
    for k in range(600):
        step([(x, y)], step=k, rate=0.3)
    torch.testing.assert_close(model.weight.detach()[0], torch.tensor(expected), rtol=1e-9, atol=1e-9)
    assert [int(v == 0) for v in model.weight.detach()[0]] == [int(v == 0) for v in expected]
    assert int((model.weight == 0).sum()) >= 5


# ---------------------------------------------------------------------- the form of each


@pytest.mark.parametrize("part", PENALTIES, ids=str)
def test_gradient_is_that_of_the_penalty(part):
    parameters = [p.requires_grad_() for p in tensors()]
    expected = torch.autograd.grad(part.penalty(parameters), parameters)
    found = [torch.full_like(p, 2.0) for p in parameters]
    with torch.no_grad():
        part.add_(found, parameters)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a - 2.0, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (L1(strength=0.5), 0.5 * 7.0),
        (L2(strength=0.5), 0.25 * 25.0),
        (ElasticNet(l1=1.0, l2=0.5), 7.0 + 0.25 * 25.0),
        (DecoupledDecay(strength=0.5), 0.25 * 25.0),
        (MaxNorm(limit=1.0), 0.0),
        (Several(parts=(L1(strength=0.5), L2(strength=0.5))), 3.5 + 6.25),
    ],
    ids=str,
)
def test_penalty_by_hand(part, expected):
    parameters = [torch.tensor([[3.0], [0.0]]), torch.tensor([-4.0])]
    assert float(part.penalty(parameters)) == pytest.approx(expected)
    half = [p.bfloat16() for p in [*parameters, torch.full((3000,), 0.01)]]
    exact = [p.double() for p in half]  # sums over many small entries need more than bfloat16
    assert float(part.penalty(half)) == pytest.approx(float(part.penalty(exact)), rel=1e-5)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_agree_with_float64(part, dtype):
    found, gradients = tensors(dtype), tensors(dtype)
    exact, exact_gradients = [t.double() for t in found], [t.double() for t in gradients]
    with torch.no_grad():
        for p, g in ((found, gradients), (exact, exact_gradients)):
            part.add_(g, p)
            part.decay_(p, rate=0.5)
            part.constrain_(p, rate=0.5)
    for a, b in zip([*found, *gradients], [*exact, *exact_gradients], strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=8 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)


@every_case
def test_layouts_do_not_matter(part):
    plain = [torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12.0).reshape(3, 4)]
    laid = [plain[0].to(memory_format=torch.channels_last, copy=True), plain[1].t().contiguous().t()]
    gradients, laid_gradients = [p.clone() for p in plain], [p.clone() for p in laid]
    strides = [p.stride() for p in laid]
    with torch.no_grad():
        for p, g in ((plain, gradients), (laid, laid_gradients)):
            part.add_(g, p)
            part.decay_(p, rate=0.1)
            part.constrain_(p, rate=0.1)
    assert [p.stride() for p in laid] == strides
    for a, b in zip([*laid, *laid_gradients], [*plain, *gradients], strict=True):
        torch.testing.assert_close(a, b)


@every_case
def test_penalty_over_members_at_once(part):
    members = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    together = torch.func.vmap(lambda p: part.penalty([p]))(members)
    torch.testing.assert_close(together, torch.stack([part.penalty([p]) for p in members]))


@every_case
@pytest.mark.parametrize("rate", [0.05, torch.tensor(0.05, dtype=torch.float64)], ids=["number", "tensor"])
def test_traces_into_one_graph_and_equals_the_eager_form(part, rate):
    def act(parameters, gradients, rate):
        part.add_(gradients, parameters)
        part.decay_(parameters, rate=rate)
        part.constrain_(parameters, rate=rate)

    eager, gradients, traced, traced_gradients = tensors(), tensors(), tensors(), tensors()
    with torch.no_grad():
        act(eager, gradients, 0.05)
        torch.compile(act, backend="aot_eager", fullgraph=True)(traced, traced_gradients, rate)
    torch._dynamo.reset()
    for a, b in zip([*traced, *traced_gradients], [*eager, *gradients], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@every_case
def test_spares_biases_norms_and_embeddings_unless_asked(part):
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 3))
    before = copy.deepcopy(model)
    for decay_all in (False, True):
        step = Step(model, F.cross_entropy, tw.optimizers.SGD(lr=0.1), regularizer=part, decay_all=decay_all)
        step.apply([torch.zeros_like(p) for p in step.parameters], rate=0.1)
        moved = [n for (n, p), q in zip(model.named_parameters(), before.parameters(), strict=True) if (p != q).any()]
        if not decay_all:
            assert moved == ["3.weight"]
    assert "0.weight" in moved


@every_case
def test_tied_weights_are_regularized_once(part):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

    step = Step(Tied(), F.cross_entropy, tw.optimizers.SGD(lr=0.1), regularizer=part)
    weight = step.parameters[0].detach().clone()
    assert len(step.parameters) == 1
    assert step.penalty(0)[0].value == pytest.approx(float(part.penalty([weight])))


@every_case
def test_parameter_without_gradient_stays(part):
    model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    step = Step(model, F.cross_entropy, tw.optimizers.SGD(lr=0.1), regularizer=part)
    before = [p.detach().clone() for p in step.parameters]
    step.apply([torch.ones(3, 3), torch.ones(3), None, None], rate=0.1)
    assert torch.equal(step.parameters[2], before[2])
    assert not torch.equal(step.parameters[0], before[0])


@every_case
def test_accumulated_batches_equal_one_large_batch(part):
    (x, y), whole, parts = batches(1)[0], nn.Linear(6, 3).double(), None
    parts = copy.deepcopy(whole)
    for model, window in ((whole, [(x, y)]), (parts, [(x[:7], y[:7]), (x[7:], y[7:])])):
        step = Step(model, F.cross_entropy, SGD, regularizer=part)
        for k in range(5):
            step(window, step=k, rate=0.1)
    assert_equal(parts, whole)


@every_case
def test_json_in_a_plan_and_back(part):
    plan = tw.Plan(regularizer=part, label_smoothing=0.1, dropout=0.2)
    assert tw.Plan.from_json(json.dumps(plan.to_json())) == plan


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1(strength=-1), r"L1 got strength=-1; allowed: a number of at least 0"),
        (lambda: L1(proximal=1), r"proximal=1; allowed: True or False"),
        (lambda: L2(strength=float("nan")), r"strength=nan"),
        (lambda: ElasticNet(l2="much"), r"ElasticNet got l2='much'"),
        (lambda: DecoupledDecay(strength=True), r"strength=True"),
        (lambda: MaxNorm(limit=0), r"MaxNorm got limit=0; allowed: a number above 0"),
        (lambda: Several(parts=(L1(),)), r"Several got parts=.*two regularizers or more"),
        (lambda: Several(parts=(L1(), 3)), r"two regularizers"),
        (lambda: tw.Plan(regularizer="L3"), r"'regularizer' got 'L3'.*L1\(\.\.\.\)"),
    ],
)
def test_wrong_values_are_named(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_the_family():
    assert {type(part).__name__ for part in CASES} == set(regularizers.__all__)
    for name in regularizers.BY_HAND:
        assert getattr(tw.regularizers, name).__doc__
    with pytest.raises(AttributeError, match=r"DropOut.*Dropout"):
        tw.regularizers.DropOut  # noqa: B018


def test_specs_need_no_torch():
    program = (
        "import sys; from thalweg.parts import regularizers as r\n"
        "r.Several(parts=(r.L1(), r.L2(), r.ElasticNet(), r.DecoupledDecay(), r.MaxNorm()))\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_case
def test_cuda_equals_the_cpu(part):
    found, gradients, expected, own = ([t.to(d) for t in tensors()] for d in ("cuda", "cuda", "cpu", "cpu"))
    with torch.no_grad():
        for p, g in ((found, gradients), (expected, own)):
            part.add_(g, p)
            part.decay_(p, rate=0.1)
            part.constrain_(p, rate=0.1)
    for a, b in zip([*found, *gradients], [*expected, *own], strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-12, atol=1e-12)
