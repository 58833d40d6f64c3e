import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.gen import gen02_underfitting


def run(validation, train, *, constant=2.3, **more):
    """The readings after a training with these losses of its kept weights."""
    return Readings(
        [
            Reading("fit.validation_loss", validation, step=99, low=validation - 0.05, high=validation + 0.05),
            Reading("fit.train_loss", train, step=99),
            Reading("loss.constant", constant),
            *(Reading(name.replace("_", ".", 1), value) for name, value in more.items()),
        ]
    )


BROKEN = run(2.28, 2.25, overfit_share=0.95)
HEALTHY = run(0.9, 0.8)


def test_hardly_better_than_a_constant_is_a_suspicion_of_underfitting():
    (found,) = gen02_underfitting.judge(run(2.28, 2.25, overfit_share=0.95))
    assert (found.severity, found.standing, found.cause) == ("warning", "suspicion", "underfitting")


@pytest.mark.parametrize(
    "readings",
    [
        run(0.9, 0.8),
        run(2.28, 2.25, overfit_share=0.02),  # it cannot learn anything: FIT01 tells that
        run(2.28, 2.25, nonfinite_step=3),
    ],
)
def test_what_is_no_underfitting(readings):
    assert gen02_underfitting.judge(readings) == []


def outcome(score, train, *, plain=0.8, gain=None, **more):
    """The readings of a network beside plain learners, a constant answer reaching 0.1 on every part."""
    gain = plain - score if gain is None else gain
    pairs = {
        "outcome.score": score,
        "outcome.train_score": train,
        "reference.score": plain,
        "reference.left_out": plain,
    }
    found = [Reading(name, v, low=v - 0.03, high=v + 0.03, count=1000, note="accuracy") for name, v in pairs.items()]
    found += [Reading(f"{name}.{of}", 0.1) for name, of in (("outcome", "constant"), ("outcome", "train_constant"))]
    found += [Reading("reference.constant", 0.1), Reading("reference.gain", gain, low=gain - 0.04, high=gain + 0.04)]
    return Readings([*found, *run(1.5, 1.4, **more)])


def test_half_of_what_plain_learners_reach_on_both_parts_is_an_alarm():
    (found,) = gen02_underfitting.judge(outcome(0.3, 0.32, overfit_share=0.4))
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "underfitting")
    assert found.title == "Underfitting: 30 % where plain learners reach 80 %"
    assert "too small" in found.why
    assert {rival.cause for rival in found.excluded} == {"irreducible noise", "overfitting"}


@pytest.mark.parametrize(
    "readings",
    [
        outcome(0.57, 0.58),  # a simple network: more than 0.65 of it
        outcome(0.3, 0.9),  # it fits its rows: no underfitting
        outcome(0.15, 0.16, plain=0.21, gain=0.03),  # plain learners may be better by chance
        outcome(0.1, 0.1, plain=0.1),  # nobody finds anything: irreducible
    ],
)
def test_what_is_not_shown_by_plain_learners(readings):
    assert gen02_underfitting.judge(readings) == []


def test_a_remedy_that_leaves_it_as_poor_is_excluded():
    twins = {"twin.higher_rate.changed": 0.35, "twin.lower_rate.changed": 0.7}
    readings = outcome(0.3, 0.32)
    readings.extend(Reading(name, value) for name, value in twins.items())
    (found,) = gen02_underfitting.judge(readings)
    causes = {rival.cause for rival in found.excluded}
    assert "lr_too_low" in causes
    assert "lr_too_high" not in causes


def trained(layers, tmp_path, **options):
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(0, 8, (1200,), generator=draw)
    x = 2.0 * torch.eye(8)[y] + 0.7 * torch.randn(1200, 8, generator=draw)
    experiment = tw.Experiment(
        lambda: nn.Sequential(*layers()),
        train=(x[:800], y[:800]),
        validation=(x[800:], y[800:]),
        test=False,
        loss="cross_entropy",
        metrics=[],
        directory=tmp_path,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1, **options), epochs=15, batch_size=32, probes=True, seed=0)
    run = experiment.train(plan, listeners=())
    return [f for f in run.findings if f.cause == "underfitting" and f.counts], run


def wide():
    return [nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8)]


def test_decay_that_is_too_strong_is_found_in_a_real_training(tmp_path):
    found, run = trained(wide, tmp_path / "decayed", weight_decay=0.5)
    assert found, run.findings
    found, run = trained(wide, tmp_path / "healthy", weight_decay=1e-4)
    assert found == []
    assert run.store.readings().value("outcome.irreducible") == 1.0


def test_a_bottleneck_is_found_in_a_real_training(tmp_path):
    def narrow():
        return [nn.Linear(8, 1), nn.Tanh(), nn.Linear(1, 8)]

    found, run = trained(narrow, tmp_path / "narrow")
    assert found, run.findings


def test_a_loss_that_weighs_rare_classes_gives_up_right_answers_on_purpose():
    def readings(balanced):
        values = {"outcome.balanced": balanced, "outcome.balanced_constant": 0.1, "reference.balanced": 0.85}
        return Readings([*outcome(0.3, 0.32), *(Reading(name, value) for name, value in values.items())])

    assert gen02_underfitting.judge(readings(0.8)) == []
    assert gen02_underfitting.judge(readings(0.3))
