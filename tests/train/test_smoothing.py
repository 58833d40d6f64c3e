"""Label smoothing against torch's own, against soft targets by hand, and in a training."""

import copy
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.train.compiled import CompiledStep
from thalweg.train.losses import NAMED, LabelWeighted, WeightedLoss, weighted_loss
from thalweg.train.smoothing import smoothed_loss
from thalweg.train.step import Step

SHARE = 0.1


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


OUTPUT, TARGET, WEIGHT = draw(20, 5), torch.arange(20) % 5, draw(20).exp()


def soft(target: Tensor, classes: int) -> Tensor:
    return F.one_hot(target, classes).double() * (1 - SHARE) + SHARE / classes


def rows_by_hand(output: Tensor, target: Tensor) -> Tensor:
    return -(soft(target, output.shape[-1]) * output.log_softmax(-1)).sum(-1)


def named(loss: object) -> str:
    """Without an address, which differs between processes."""
    return getattr(loss, "__name__", type(loss).__name__)


@pytest.mark.parametrize("loss", [NAMED["cross_entropy"], F.cross_entropy, nn.CrossEntropyLoss()], ids=named)
def test_classes(loss):
    found = smoothed_loss(loss, SHARE)(OUTPUT, TARGET)
    torch.testing.assert_close(found, nn.CrossEntropyLoss(label_smoothing=SHARE)(OUTPUT, TARGET))
    torch.testing.assert_close(found, rows_by_hand(OUTPUT, TARGET).mean())
    assert smoothed_loss(loss, 0.0) is loss


@pytest.mark.parametrize("loss", [NAMED["cross_entropy"], F.cross_entropy, nn.CrossEntropyLoss()], ids=named)
def test_weights_of_rows(loss):
    found = smoothed_loss(weighted_loss(loss, "cross_entropy"), SHARE)(OUTPUT, TARGET, WEIGHT)
    torch.testing.assert_close(found, (WEIGHT * rows_by_hand(OUTPUT, TARGET)).sum() / WEIGHT.sum())


def test_weights_of_classes_in_torchs_module():
    loss = nn.CrossEntropyLoss(weight=draw(5).exp())
    expected = nn.CrossEntropyLoss(weight=loss.weight, label_smoothing=SHARE)(OUTPUT, TARGET)
    torch.testing.assert_close(smoothed_loss(loss, SHARE)(OUTPUT, TARGET), expected)
    ones = torch.ones(20, dtype=torch.float64)
    torch.testing.assert_close(smoothed_loss(WeightedLoss(loss), SHARE)(OUTPUT, TARGET, ones), expected)
    assert loss.label_smoothing == 0, "the user's own loss was changed"


@pytest.mark.parametrize("last", [True, False])
def test_positions_that_are_ignored_count_nowhere(last):
    output, target = draw(4, 6, 5), torch.arange(24).reshape(4, 6) % 5
    target[1, 2:] = -100
    counted = target != -100
    rows = rows_by_hand(output[counted], target[counted])
    given = output if last else output.movedim(-1, 1)
    torch.testing.assert_close(smoothed_loss(NAMED["cross_entropy"], SHARE)(given, target), rows.mean())
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    each = weight[:, None].expand(4, 6)[counted]
    found = smoothed_loss(NAMED["cross_entropy"], SHARE)(given, target, weight)
    torch.testing.assert_close(found, (each * rows).sum() / each.sum())
    assert float(smoothed_loss(NAMED["cross_entropy"], SHARE)(given, torch.full_like(target, -100))) == 0.0


BINARY = [NAMED["binary_cross_entropy"], F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss()]


@pytest.mark.parametrize("loss", BINARY, ids=named)
def test_yes_or_no_is_that_of_two_classes(loss):
    logit, target = OUTPUT[:, 0], TARGET % 2
    found = smoothed_loss(loss, SHARE)(logit, target.double())
    both = torch.stack([torch.zeros_like(logit), logit], 1)
    torch.testing.assert_close(found, F.cross_entropy(both, target, label_smoothing=SHARE))
    weighted = smoothed_loss(weighted_loss(loss, "binary_cross_entropy"), SHARE)(logit, target.double(), WEIGHT)
    torch.testing.assert_close(weighted, (WEIGHT * rows_by_hand(both, target)).sum() / WEIGHT.sum())


def test_several_labels_with_weights():
    target, positive = (OUTPUT > 0.3).double(), draw(5).exp()
    moved = target * (1 - SHARE) + SHARE / 2
    found = smoothed_loss(LabelWeighted(positive), SHARE)(OUTPUT, target, WEIGHT)
    each = -(positive.float() * moved * F.logsigmoid(OUTPUT) + (1 - moved) * F.logsigmoid(-OUTPUT))
    torch.testing.assert_close(found, (each * WEIGHT[:, None]).sum() / (5 * WEIGHT.sum()))


def test_the_best_answer_is_finite():
    free = torch.zeros(1, 10, requires_grad=True, dtype=torch.float64)
    optimizer = torch.optim.LBFGS([free], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")
    loss = smoothed_loss(NAMED["cross_entropy"], SHARE)

    def closure():
        optimizer.zero_grad()
        value = loss(free, torch.tensor([3]))
        value.backward()
        return value

    optimizer.step(closure)
    gap = float(free.detach()[0, 3] - free.detach()[0, 0])
    assert gap == pytest.approx(float(torch.tensor(10 * (1 - SHARE) / SHARE + 1).log()), rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (NAMED["mse"], r"'label_smoothing' got 0\.1, and the loss 'mse' cannot be smoothed.*'binary_cross_entropy'"),
        (NAMED["nll"], r"the loss 'nll' cannot"),
        (nn.HuberLoss(), r"the loss 'HuberLoss' cannot"),
        (lambda output, target: output.mean(), r"the loss '<lambda>' cannot.*in the loss of your own"),
        (nn.CrossEntropyLoss(label_smoothing=0.2), r"has label_smoothing=0\.2 of its own"),
    ],
    ids=named,
)
def test_other_losses_are_refused(loss, message):
    with pytest.raises(UsageError, match=message):
        smoothed_loss(loss, SHARE)


# ---------------------------------------------------------------------- in a training


def rows(classes: int = 3) -> tuple[Tensor, Tensor]:
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    return x, x[:, :classes].argmax(1)


def plan(**changes) -> tw.Plan:
    base = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.2), epochs=2, batch_size=32, seed=1)
    return base.replace(**{"label_smoothing": SHARE, **changes})


def experiment(folder, loss="cross_entropy", **options) -> tw.Experiment:
    torch.manual_seed(0)
    return tw.Experiment(nn.Linear(6, 3), train=rows(), loss=loss, directory=folder, **options)


def test_the_training_is_that_of_torchs_smoothed_loss(tmp_path):
    """Same weights as with the loss smoothed by torch; the validation loss is of the labels as they are."""
    ours = experiment(tmp_path / "a").train(plan(), listeners=())
    theirs = experiment(tmp_path / "b", nn.CrossEntropyLoss(label_smoothing=SHARE)).train(
        plan(label_smoothing=0.0), listeners=()
    )
    for a, b in zip(ours.network.parameters(), theirs.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert ours.history["train.loss"] == theirs.history["train.loss"]
    data = experiment(tmp_path / "c").data.validation
    plain = F.cross_entropy(ours.model(data.inputs), data.target)
    assert ours.history["validation.loss"][-1] == pytest.approx(float(plain.detach()), rel=1e-5)
    assert theirs.history["validation.loss"][-1] > ours.history["validation.loss"][-1] + 0.01


def test_the_race_takes_it_and_the_check_does_not(tmp_path):
    chosen = plan(probes=True, label_smoothing=0.5, **{"optimizer.lr": "auto"})
    run = experiment(tmp_path).train(chosen, listeners=())
    plain = experiment(tmp_path).train(chosen.replace(label_smoothing=0.0), listeners=())
    initial = [float(r.store.readings("loss.initial").value("loss.initial") or 0) for r in (run, plain)]
    assert initial[0] == initial[1]
    start = [float(r.store.readings("race.start").value("race.start") or 0) for r in (run, plain)]
    assert start[0] == pytest.approx(start[1]), "scores are of the labels as they are"
    losses = [[x.value for x in r.store.readings("race.loss")] for r in (run, plain)]
    assert losses[0] != losses[1], "the lanes were trained alike"


def test_weights_of_classes_and_rows(tmp_path):
    weights = torch.rand(300, generator=torch.Generator().manual_seed(2)) + 0.5
    run = experiment(tmp_path, class_weights="balanced", sample_weights=weights).train(plan(), listeners=())
    assert run.history["train.loss"][-1] < run.history["train.loss"][0]


def test_resumes_with_it(tmp_path):
    whole = experiment(tmp_path / "a").train(plan(epochs=4), listeners=())
    own = experiment(tmp_path / "b")
    part = own.train(plan(), listeners=())
    longer = own.resume(part, epochs=4, listeners=())
    for a, b in zip(whole.network.parameters(), longer.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_refused_before_the_first_step(tmp_path):
    with pytest.raises(UsageError, match="'mse' cannot be smoothed"):
        tw.Experiment(nn.Linear(6, 1), train=(rows()[0], rows()[0][:, 0]), loss="mse", directory=tmp_path).train(plan())
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]

    def step(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    with pytest.raises(UsageError, match="your step computes the loss"):
        tw.Experiment(nn.Linear(6, 3), train=rows(), step=step, directory=tmp_path).train(plan())

    def own(output, target, weight):
        return (F.cross_entropy(output, target, reduction="none") * weight).sum()

    weighed = {"class_weights": "balanced", "task": "multiclass", "directory": tmp_path}
    with pytest.raises(UsageError, match="the loss 'own' cannot be smoothed"):
        tw.Experiment(nn.Linear(6, 3), train=rows(), loss=own, **weighed).train(plan())


def test_that_the_two_losses_are_of_other_labels_is_said(tmp_path):
    run = tw.Experiment(nn.Linear(6, 3), train=rows(), loss="cross_entropy", directory=tmp_path).train(plan())
    said = [d["reason"] for d in run.decisions if d["field"] == "label_smoothing"]
    assert len(said) == 1
    assert "smoothed labels" in said[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler (g++) to compile a step with")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler imports what torch deprecates
def test_the_compiled_step_takes_it_with_a_regularizer():
    (x, y), part = (
        rows(),
        tw.regularizers.Several(
            parts=(tw.regularizers.ElasticNet(l1=0.001, l2=0.01), tw.regularizers.MaxNorm(limit=1.0))
        ),
    )
    torch.manual_seed(0)
    eager = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    compiled = copy.deepcopy(eager)
    loss, optimizer = smoothed_loss(NAMED["cross_entropy"], SHARE), tw.optimizers.AdamW(lr=0.01)
    steps = [Step(network, loss, optimizer, regularizer=part) for network in (eager, compiled)]
    whole = CompiledStep(steps[1], [(x, y)])
    for k in range(5):
        expected = steps[0]([(x, y)], step=k, rate=0.01)
        torch.testing.assert_close(whole([(x, y)], step=k, rate=0.01), expected)
    for a, b in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
