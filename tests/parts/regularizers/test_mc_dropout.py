"""Monte-Carlo dropout: closed forms, what it leaves untouched, and that it knows rows it has not seen the like of."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.parts.regularizers import DropConnect, Dropout, StochasticDepth, monte_carlo
from thalweg.parts.regularizers.mc_dropout import Spread, Uncertainty


def linear_after(dropout: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(dropout, nn.Linear(5, 2)).double()


X = torch.linspace(-1, 2, 15, dtype=torch.float64).reshape(3, 5)
SAMPLES = 20_000


@pytest.mark.parametrize(
    ("model", "variance"),
    [
        (linear_after(nn.Dropout(0.3)), lambda w: X.square() @ w.square().T * 0.3 / 0.7),
        (linear_after(Dropout(0.3, scale_at="inference")), lambda w: X.square() @ w.square().T * 0.3 * 0.7),
        (DropConnect(nn.Linear(5, 2).double(), 0.4, mode="row"), lambda w: X.square() @ w.square().T * 0.4 / 0.6),
        (nn.Sequential(nn.Linear(5, 2).double(), StochasticDepth(0.2)), None),
    ],
    ids=["dropout", "scaled at inference", "DropConnect", "stochastic depth"],
)
def test_mean_and_variance_have_closed_forms(model, variance):
    """A linear map of independent 0s and 1s: mean f(x), variance Σ w² x² p / (1 − p); within 5 standard errors."""
    found = monte_carlo(model, X, samples=SAMPLES, seed=3)
    expected = copy.deepcopy(model).eval()(X).detach()
    weight = next(p for p in model.parameters() if p.dim() == 2).detach()
    std = (variance(weight) if variance else expected.square() * 0.2 / 0.8).sqrt()
    assert ((found.mean - expected).abs() <= 5 * std / SAMPLES**0.5).all()
    torch.testing.assert_close(found.std, std, rtol=0.04, atol=0)  # 5 / sqrt(2 n), with room for tails
    assert found.entropy is None


def classifier(mode: str = "row") -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(5, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        StochasticDepth(0.1, mode=mode),
        nn.Linear(16, 3),
    )


def probabilities(output: Tensor) -> Tensor:
    return output.softmax(-1)


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_equals_passes_one_by_one(mode):
    """The moments and entropies of samples drawn apart, with NumPy on the kept samples, agree within their error."""
    model, x = classifier(mode), torch.randn(40, 5)
    found = monte_carlo(model, x, samples=3000, probabilities=probabilities)
    model.eval()
    model[3].train()
    model[4].train()
    torch.manual_seed(9)
    with torch.no_grad():
        drawn = torch.stack([model(x).softmax(-1) for _ in range(3000)]).double().numpy()
    error = 6 * drawn.std(0) / 3000**0.5
    assert (np.abs(found.mean.numpy() - drawn.mean(0)) < 2**0.5 * error + 1e-9).all()
    np.testing.assert_allclose(found.std, drawn.std(0, ddof=1), rtol=0.12)
    expected = -(drawn * np.log(drawn)).sum(-1).mean(0)
    np.testing.assert_allclose(found.expected_entropy, expected, rtol=0.05)


def test_sums_equal_those_of_kept_samples():
    values = torch.rand(30, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    spread = Spread(classes=True)
    for chunk in values.split((7, 1, 22)):
        spread.add(chunk)
    found = spread.uncertainty()
    entropy = -(values.mean(0) * values.mean(0).log()).sum(-1)
    expected = -(values * values.log()).sum(-1).mean(0)
    whole = Uncertainty(values.mean(0), values.std(0), entropy, expected, entropy - expected)
    for name in Uncertainty.__dataclass_fields__:
        torch.testing.assert_close(getattr(found, name), getattr(whole, name), rtol=1e-9, atol=1e-12)
    far = Spread(classes=False)
    far.add(values + 1e6)  # around the first sample nothing cancels
    torch.testing.assert_close(far.uncertainty().std, values.std(0), rtol=1e-8, atol=0)


def test_same_bits_by_seed_and_nothing_is_touched():
    model, x = classifier().train(), torch.randn(40, 5)
    model[1].eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second, third = (monte_carlo(model, x, seed=s, probabilities=probabilities) for s in (5, 5, 6))
    assert all(torch.equal(getattr(first, n), getattr(second, n)) for n in Uncertainty.__dataclass_fields__)
    assert not torch.equal(first.mean, third.mean)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before.values(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_batch_norm_keeps_its_estimates():
    """With dropout that drops nothing but once in a while, the mean is the network in evaluation mode."""
    model, x = classifier().train(), torch.randn(8, 5) + 3
    model(torch.randn(100, 5))
    model[3].p, model[4].p = 0.0, 1e-12
    found = monte_carlo(model, x, samples=5)
    torch.testing.assert_close(found.mean, model.eval()(x).double().detach(), rtol=1e-5, atol=1e-6)
    assert float(found.std.max()) < 1e-6


@pytest.mark.parametrize(
    "model",
    [
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True), 2),
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True),
    ],
    ids=["encoder", "layer"],
)
def test_fused_attention_drops_too(model):
    """In evaluation mode torch runs a fused form without dropout, whatever the inner modules say."""
    x = torch.randn(3, 5, 4)
    assert float(monte_carlo(model, x, samples=20).std.min()) > 0.01


def test_tuples_and_dicts_chunks_and_no_rows():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.drop(a) + b

    a, b = torch.ones(5000, 2), torch.zeros(5000, 2)
    found = monte_carlo(Two(), (a, b), samples=100, rows_at_once=512)
    named = monte_carlo(Two(), {"a": a, "b": b}, samples=100, rows_at_once=512)
    assert found.mean.shape == (5000, 2)
    assert torch.equal(found.mean, named.mean)
    assert float(found.mean.mean()) == pytest.approx(1.0, abs=0.01)
    assert len(found.mean.unique(dim=0)) > 100, "chunks or rows share their noise"
    assert monte_carlo(Two(), (a[:0], b[:0]), samples=4).mean.shape == (0, 2)


def test_what_cannot_be_sampled_is_refused():
    x = torch.randn(4, 5)
    with pytest.raises(UsageError, match=r"Sequential has no dropout.*Plan\(dropout=0\.1\)"):
        monte_carlo(nn.Sequential(nn.Linear(5, 2), nn.Dropout(0.0)), x)
    for samples in (1, 2.5, "many"):
        with pytest.raises(UsageError, match=rf"samples={samples!r}; allowed: an integer of at least 2"):
            monte_carlo(nn.Dropout(), x, samples=samples)
    with pytest.raises(UsageError, match=r"returned tuple, of which no mean"):
        monte_carlo(nn.LSTM(5, 5, num_layers=2, dropout=0.1, batch_first=True), x[:, None])


# ---------------------------------------------------------------------- of a run


def digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels)


def network(outputs: int, dropout: float = 0.5) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, outputs))


def trained(folder, model, target, loss: str, epochs: int = 1, **options):
    experiment = tw.Experiment(model, train=(digits()[0], target), loss=loss, directory=folder, **options)
    adam = tw.optimizers.Adam(lr=3e-3)
    return experiment, experiment.train(tw.Plan.plain(optimizer=adam, epochs=epochs, batch_size=64), listeners=())


def test_rows_unlike_the_training_make_the_networks_disagree(tmp_path):
    from scipy.ndimage import rotate

    experiment, run = trained(tmp_path, network(10), digits()[1], "cross_entropy", epochs=12)
    seen = experiment.data.validation.inputs
    pictures = seen.reshape(-1, 8, 8).numpy()
    rotated = torch.tensor(rotate(pictures, 30, axes=(1, 2), reshape=False, order=1)).flatten(1)
    noise = torch.rand(seen.shape, generator=torch.Generator().manual_seed(0))
    known, turned, random = (run.predict_uncertainty(x, samples=50) for x in (seen, rotated, noise))
    assert run.metrics["accuracy"] > 0.93
    area = [auc(known.mutual_information, other.mutual_information) for other in (turned, random)]
    assert min(area) > 0.8
    wrong = torch.tensor(run.predict(seen) != experiment.data.validation.target.numpy())
    assert float(known.entropy[wrong].mean()) > 3 * float(known.entropy[~wrong].mean())
    torch.testing.assert_close(known.mean.sum(1), torch.ones(len(seen), dtype=torch.float64))
    assert (known.mean - run.predict_probabilities(seen)).abs().mean() < 0.02


def auc(low: Tensor, high: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([0] * len(low) + [1] * len(high), torch.cat([low, high])))


def test_forms_of_the_tasks(tmp_path):
    x, y = digits()
    values = x[:, :32].sum(1) * 100 + 500
    cases = [
        (network(1), (y % 2).float(), "binary_cross_entropy", (9, 2), (9,)),
        (network(3), torch.stack([y % 2, y % 3 == 0, y > 4], 1).float(), "binary_cross_entropy", (9, 3), (9, 3)),
        (network(1), values[:, None], "mse", (9, 1), None),
    ]
    for k, (model, target, loss, shape, entropies) in enumerate(cases):
        _, run = trained(tmp_path / str(k), model, target, loss)
        found = run.predict_uncertainty(x[:9], samples=30)
        assert found.mean.shape == found.std.shape == shape
        if entropies is None:
            assert found.entropy is None
            assert (found.mean - torch.as_tensor(run.predict(x[:9]))).abs().max() < 100
            assert float(found.std.min()) > 0
        else:
            assert found.mutual_information.shape == entropies
            assert (found.mutual_information <= found.entropy).all()
            assert torch.equal(run.predict_uncertainty(x[:9], samples=30).mean, found.mean)
            expected = run.predict_probabilities(x[:9])
            assert (found.mean - expected).abs().max() < 0.2


def test_a_class_per_position(tmp_path):
    torch.manual_seed(0)
    x = torch.randint(0, 6, (120, 7))
    model = nn.Sequential(nn.Embedding(6, 8), nn.Dropout(0.3), nn.Linear(8, 4))
    experiment = tw.Experiment(model, train=(x, x % 4), loss="cross_entropy", directory=tmp_path)
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=0.01), epochs=1, batch_size=32)
    run = experiment.train(plan, listeners=())
    found = run.predict_uncertainty(x[:5], samples=20)
    assert found.mean.shape == (5, 7, 4)
    assert found.mutual_information.shape == (5, 7)


def test_a_run_without_dropout_says_so(tmp_path):
    _, run = trained(tmp_path, network(10, dropout=0.0), digits()[1], "cross_entropy")
    with pytest.raises(UsageError, match="no dropout with a probability above 0"):
        run.predict_uncertainty(digits()[0][:3])


def test_a_step_of_ones_own_on_pairs(tmp_path):
    def step(model, batch):
        output = model(batch[0])
        return F.cross_entropy(output, batch[1]), output, batch[1]

    experiment = tw.Experiment(network(10), train=digits(), step=step, directory=tmp_path)
    run = experiment.train(tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=64), listeners=())
    assert run.predict_uncertainty(digits()[0][:3]).mutual_information.shape == (3,)
