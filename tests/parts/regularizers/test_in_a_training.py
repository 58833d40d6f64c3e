"""A plan's regularizer through a whole training: against the bare loop, on resume, in the store."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw

R = tw.regularizers


def rows() -> tuple[Tensor, Tensor]:
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x.float(), x[:, :3].argmax(1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 3))


def plan(part: R.Regularizer | None, **changes) -> tw.Plan:
    base = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1, momentum=0.9), epochs=3, batch_size=32, seed=1)
    return base.replace(**{"regularizer": part, "decay_all": False, **changes})


def experiment(folder) -> tw.Experiment:
    return tw.Experiment(network(), train=rows(), loss="cross_entropy", directory=folder)


def test_l2_is_the_optimizers_decay_and_is_recorded(tmp_path):
    ours = experiment(tmp_path / "a").train(plan(R.L2(strength=0.01)), listeners=())
    decay = plan(None, **{"optimizer.weight_decay": 0.01})
    theirs = experiment(tmp_path / "b").train(decay, listeners=())
    for a, b in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert ours.history["train.loss"] == pytest.approx(theirs.history["train.loss"], rel=1e-5), "the loss of the data"
    penalties = list(ours.store.readings("regularizer.penalty"))
    weights = [m.weight.detach() for m in (ours.network[0], ours.network[3])]
    assert len(penalties) == 3
    assert penalties[-1].value == pytest.approx(0.005 * sum(float(w.square().sum()) for w in weights), rel=1e-5)
    assert not list(theirs.store.readings("regularizer.penalty"))


@pytest.mark.parametrize("part", [R.L1(strength=0.003, proximal=True), R.MaxNorm(limit=0.5)], ids=str)
def test_resumes_bit_identical(part, tmp_path):
    whole = experiment(tmp_path / "a").train(plan(part, epochs=4), listeners=())
    own = experiment(tmp_path / "b")
    longer = own.resume(own.train(plan(part), listeners=()), epochs=4, listeners=())
    for a, b in zip(whole.network.parameters(), longer.network.parameters(), strict=True):
        assert torch.equal(a, b)


class Residual(nn.Module):
    """Every kind of noise, per row and per batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
        self.branch = nn.Sequential(
            R.Dropout(0.2, scale_at="inference"),
            R.DropConnect(nn.Linear(16, 16), 0.2, mode="row"),
            R.AlphaDropout(0.1),
            R.DropConnect(nn.Linear(16, 16), 0.2),
            R.ChannelDropout(0.1),
            R.StochasticDepth(0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).tanh()
        return self.last(hidden + self.branch(hidden))


@pytest.mark.parametrize("stop", [1, 2])
def test_noise_of_our_modules_resumes_bit_identical(stop, tmp_path):
    torch.manual_seed(0)
    network, data = Residual(), rows()
    own, other = (tw.Experiment(network, train=data, loss="cross_entropy", directory=tmp_path / name) for name in "ab")
    whole = own.train(plan(None), listeners=())
    parts = other.resume(other.train(plan(None, epochs=stop), listeners=()), epochs=3, listeners=())
    for a, b in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.predict_uncertainty(data[0][:5]).mean.shape == (5, 3)


def test_proximal_l1_selects_inputs(tmp_path):
    """Only three of the six inputs matter: the others' weights become exactly 0."""
    torch.manual_seed(0)
    linear = tw.Experiment(nn.Linear(6, 3), train=rows(), loss="cross_entropy", directory=tmp_path)
    part = R.L1(strength=0.08, proximal=True)
    run = linear.train(plan(part, epochs=100, batch_size=512, optimizer=tw.optimizers.SGD(lr=0.5)), listeners=())
    zero = (run.network.weight == 0).all(0)
    assert zero.tolist() == [False, False, False, True, True, True]


def test_race_and_training_take_it_together(tmp_path):
    chosen = plan(R.DecoupledDecay(strength=0.1), probes=True, **{"optimizer.lr": "auto"})
    run = experiment(tmp_path).train(chosen, listeners=())
    assert run.plan.regularizer == R.DecoupledDecay(strength=0.1)
    assert run.status == "completed"


def test_clipping_comes_after_the_penalty():
    """A penalty that dwarfs the data's gradient is clipped with it: the step's length is the rate times the norm."""
    model = network()
    clip = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=32, clip_norm=0.5)
    from thalweg.train.step import stepper_of

    chosen = clip.replace(regularizer=R.L2(strength=100.0), seed=0)
    step = stepper_of(chosen, model, F.cross_entropy)
    before = [p.detach().clone() for p in model.parameters()]
    step([(rows()[0][:32], rows()[1][:32])], step=0, rate=0.1)
    moved = torch.stack([(p.detach() - b).norm() for p, b in zip(model.parameters(), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(0.05, rel=1e-4)
