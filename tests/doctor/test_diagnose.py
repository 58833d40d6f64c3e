import pytest

from thalweg.doctor.diagnose import diagnose, merge
from thalweg.doctor.order import inside, rank
from thalweg.findings import Evidence, Finding
from thalweg.readings import Reading, Readings


def finding(code, cause, severity="warning", standing="verified", place="", evidence=(), title="Something is wrong"):
    return Finding(code, title, severity, standing, cause, "why", place, evidence=tuple(evidence))


def healthy(*more):
    return Readings(
        [
            *(Reading("validation.loss", v, step=10 * (k + 1)) for k, v in enumerate((2.0, 0.4, 0.3, 0.31))),
            *(Reading("train.loss", v, step=10 * (k + 1)) for k, v in enumerate((2.1, 0.5, 0.3, 0.2))),
            *(Reading("train.batch_loss", v, step=10 * (k + 1)) for k, v in enumerate((2.1, 0.5, 0.3, 0.2))),
            Reading("loss.initial", 2.3),
            Reading("loss.constant", 2.3),
            Reading("fit.train_loss", 0.2, step=40, low=0.18, high=0.22),
            Reading("fit.validation_loss", 0.3, step=40, low=0.25, high=0.35),
            *more,
        ]
    )


def test_errors_come_first_then_warnings_by_standing_then_notes_and_causes_before_effects():
    found = [
        finding("A", "overfitting", "note"),
        finding("B", "dead_units", standing="suspicion"),
        finding("C", "dead_units"),
        finding("D", "lr_too_high"),
        finding("E", "vanishing", standing="proven"),
        finding("F", "non_finite", "error", "proven"),
    ]
    assert [f.code for f in rank(found)] == ["F", "E", "D", "C", "B", "A"]


def test_numbers_lost_because_of_the_rate_are_one_finding():
    rate = finding("LR01", "lr_too_high", evidence=[Evidence("race", "0.01")])
    lost = finding("NUM01", "lr_too_high", "error", "proven", "loss", [Evidence("operation", "log")])
    (found,) = merge([rate, lost])
    assert found.code == "NUM01"
    assert [line.what for line in found.evidence] == ["operation", "race"]
    other = finding("NUM01", "non_finite", "error", "proven", "loss")
    assert len(merge([rate, other])) == 2


def test_the_same_rule_at_the_same_place_speaks_once():
    weak, strong = finding("X", "vanishing", standing="suspicion"), finding("X", "vanishing")
    elsewhere = finding("X", "vanishing", place="layer2")
    assert merge([weak, strong, elsewhere, strong]) == [strong, elsewhere]


def test_a_suspicion_without_its_own_evidence_is_taken_back_when_something_explains_the_loss():
    labels = finding("LR03", "label_corruption", standing="suspicion")
    poor = finding("GEN02", "underfitting", standing="suspicion")
    assert merge([labels, poor, finding("LR02", "lr_too_low")]) == [finding("LR02", "lr_too_low")]
    assert merge([labels, poor]) == [labels]
    assert merge([poor]) == [poor]


def test_healthy_is_an_answer():
    assert diagnose(healthy()).verdict == "Healthy: no rule found a fault, best at epoch 3 of 4."
    assert diagnose(healthy(Reading("best.epoch", 2))).verdict.endswith("best at epoch 2 of 4.")
    diagnosis = diagnose(healthy())
    assert diagnosis.findings == ()
    assert {"NUM01", "GEN01", "GEN02"} <= set(diagnosis.passed)
    assert {"ACT03", "LR02"} <= {each.code for each in diagnosis.not_judged}


def test_health_has_its_evidence():
    outcome = [
        Reading("outcome.score", 0.97, low=0.96, high=0.98, note="accuracy"),
        Reading("outcome.constant", 0.1, note="accuracy"),
        Reading("reference.score", 0.93, low=0.92, high=0.94, note="ridge"),
        Reading("reference.constant", 0.1, note="accuracy"),
    ]
    found = diagnose(healthy(*outcome))
    assert found.healthy
    assert found.causes == ()
    assert found.evidence[0] == "accuracy 0.97 on validation rows, where a constant answer reaches 0.1"
    assert "0.93" in found.evidence[1]
    rest = diagnose(healthy(*outcome, Reading("outcome.irreducible", 1.0)))
    assert rest.verdict == "Healthy: no rule found a fault; the rest looks irreducible, best at epoch 3 of 4."
    assert rest.evidence[-1] == "the rest looks irreducible"


def test_what_was_not_examined_is_not_called_healthy_outright():
    readings = Readings([r for r in healthy() if r.name != "loss.initial"])
    assert diagnose(readings).verdict.startswith("Healthy as far as it was examined: no rule found a fault")


def test_learning_with_a_fault():
    race = [
        Reading("plan.rate", 1e-5),
        Reading("race.rate", 0.01, low=0.003, high=0.03),
        Reading("race.steps", 20),
        Reading("race.constant", 2.3, low=2.29, high=2.31),
        Reading("race.loss", 0.1, "0.01", low=0.05, high=0.12),
        Reading("race.excess", 0.0, "0.01", low=0.0, high=0.0),
        Reading("race.loss", 2.3, "1e-05", low=2.2, high=2.4),
        Reading("race.excess", 2.2, "1e-05", low=2.1, high=2.3),
        Reading("fit.train_loss", 1.7, step=40, low=1.68, high=1.72),
        Reading("fit.validation_loss", 1.8, step=40, low=1.75, high=1.85),
    ]
    verdict = diagnose(healthy(*race)).verdict
    assert verdict == "Learning, with one fault: the learning rate 1e-05 is too low; 0.01 is best."


def test_lost_numbers_are_a_failure():
    lost = Reading("nonfinite.first", 1.0, "head", 1840, 0.0, 1.0, 3, "aten.log forward")
    assert diagnose(healthy(lost)).verdict == ("Failed: numbers were no longer finite at step 1,840: aten.log in head.")


def test_no_better_than_a_constant():
    bad = Reading("fit.validation_loss", 2.6, step=40, low=2.5, high=2.7)
    assert diagnose(healthy(bad)).verdict.startswith("Not generalizing: training rows are learned, but")
    worse = Reading("fit.train_loss", 2.29, step=40, low=2.2, high=2.4)
    verdict = diagnose(healthy(bad, worse)).verdict
    assert verdict.startswith("Not learning: validation rows are answered no better")
    assert "Underfitting" in verdict


def test_before_the_training():
    assert diagnose(Readings()).verdict == "Not judged: there is no training yet."


@pytest.mark.parametrize(("title", "expected"), [("All units", "all units"), ("38 % of units", "38 % of units")])
def test_titles_within_a_sentence(title, expected):
    assert inside(title) == expected
