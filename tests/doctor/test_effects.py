"""One fault is one alarm: what it brings about is told as its evidence."""

from dataclasses import replace

import pytest

from thalweg.doctor.diagnose import diagnose, merge
from thalweg.doctor.diagnosis import Diagnosis
from thalweg.doctor.effects import EXPLAINS, explain
from thalweg.doctor.order import ORDER, rank
from thalweg.findings import CAUSES, Finding, Remedied
from thalweg.readings import Reading, Readings


def finding(code, cause, severity="warning", standing="verified", place="", step=None, title="Something is wrong"):
    return Finding(code, title, severity, standing, cause, "why", place, step)


def test_every_cause_has_its_place_and_explains_only_what_comes_later():
    assert set(ORDER) == set(CAUSES)
    for cause, effects in EXPLAINS.items():
        assert all(ORDER.index(effect) > ORDER.index(cause) for effect in effects), cause


def test_one_fault_with_five_alarms_is_one_alarm():
    start = finding("INIT01", "init_constant", "error", "proven", title="Units start equal")
    follow = [
        finding("LR02", "lr_too_low", title="The learning rate 0.01 is too low"),
        finding("ACT03", "dead_units", "error", "proven", "relu", 0),
        finding("FIT01", "vanishing"),
        finding("GEN02", "underfitting", standing="suspicion"),
    ]
    kept, effects = explain([*follow, start])
    (only,) = kept
    assert only.code == "INIT01"
    assert {f.code for f in effects[id(only)]} == {"LR02", "ACT03", "FIT01", "GEN02"}
    lines = {line.what: line.value for line in only.evidence}
    assert lines["explains LR02"] == "the learning rate 0.01 is too low"


def test_a_cause_takes_over_the_severity_of_its_effect_and_keeps_its_time():
    inputs = finding("DATA01", "input_scale")
    lost = finding("NUM01", "lr_too_high", "error", "proven", "loss", 12)
    ((kept,), _) = explain([inputs, lost])
    assert (kept.code, kept.severity, kept.step) == ("DATA01", "error", None)


def test_units_that_a_high_rate_killed_are_evidence_about_the_rate():
    rate = finding("LR01", "lr_too_high")
    died = finding("ACT03", "dead_units", "error", "proven", "relu", 7, "All units in relu died")
    ((kept,), _) = explain([rate, died])
    assert (kept.code, kept.severity, kept.step) == ("LR01", "error", 7)
    assert kept.evidence[-1].value == "all units in relu died"
    born = replace(died, step=0)
    assert len(explain([rate, born])[0]) == 2  # dead before the first step: not the rate's doing
    assert explain([died])[0] == [died]


def test_what_follows_from_an_effect_follows_from_its_cause():
    found = [
        finding("LOSS02", "loss_head_mismatch", "error"),
        finding("LR01", "lr_too_high"),
        finding("NUM02", "non_finite", "error", "proven"),
    ]
    ((kept,), effects) = explain(found)
    assert {f.code for f in effects[id(kept)]} == {"LR01", "NUM02"}


@pytest.mark.parametrize("change", [{"severity": "note"}, {"standing": "suspicion"}])
def test_a_note_or_a_suspicion_explains_nothing(change):
    start = replace(finding("INIT01", "init_constant", "error", "proven"), **change)
    assert len(explain([start, finding("LR02", "lr_too_low")])[0]) == 2


def test_notes_stay_and_a_rate_that_a_race_proves_wrong_is_no_symptom_of_depth():
    deep = finding("FIT01", "vanishing")
    rate, note = finding("LR02", "lr_too_low"), finding("GEN03", "measures_disagree", "note")
    assert [f.code for f in explain([deep, rate, note])[0]] == ["FIT01", "LR02", "GEN03"]


def broken():
    """A constant start with a rate that looks too low, of which a race knows."""
    return Readings(
        [
            Reading("parameter.trainable", 10),
            Reading("units.distinct", 1, "0", count=64),
            *(Reading("validation.loss", v, step=10 * k) for k, v in enumerate((2.3, 2.2, 2.2), start=1)),
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
    )


def test_causes_excluded_unknown_and_not_judged():
    found = diagnose(broken())
    (cause,) = found.causes
    assert (cause.cause, cause.standing, cause.codes) == ("init_constant", "proven", ("INIT01",))
    assert "LR02" in {f.code for f in cause.explains}
    assert cause.reason == "error, proven, before the first step"
    assert "one fault: units start equal" in found.verdict
    assert "a last layer of zeros" in {each.cause for each in found.excluded}
    reasons = {each.code: each.reason for each in found.not_judged}
    assert "probes=False" in reasons["LOSS01"]
    text = str(found)
    assert text.index("error[INIT01]") < text.index("causes:") < text.index("not judged:")
    assert "1. init constant (INIT01): error, proven, before the first step; explains " in text


def test_a_diagnosis_is_plain_data():
    found = diagnose(broken())
    again = Diagnosis.from_json(found.to_json())
    assert again == found
    assert again.causes[0].findings[0] is again.findings[0]


def test_what_the_time_did_not_suffice_for_is_unknown_until_it_did():
    short = Reading("diagnosis.short", 1.0, "try_twins")
    (line,) = diagnose(Readings([short])).unknown
    assert "try twins" in line
    assert diagnose(Readings([short, replace(short, value=0.0)])).unknown == ()


def test_labels_are_excluded_by_a_plain_learner():
    reference = [
        Reading("reference.score", 0.82, low=0.8, high=0.84, note="ridge"),
        Reading("reference.constant", 0.1, note="accuracy"),
    ]
    found = {each.cause: each.test for each in diagnose(Readings(reference)).excluded}
    assert found["labels"] == "a plain learner reaches accuracy 0.82, a constant answer 0.1"


def test_merged_alarms_keep_their_order():
    rate, other = finding("LR01", "lr_too_high"), finding("X", "vanishing", "error")
    assert {f.code for f in merge([rate, other])} == {"LR01", "X"}


def reaching(code, cause, score, *, half=0.04, **more):
    return replace(finding(code, cause, **more), remedied=Remedied(score, 0.1, half, "accuracy"))


def test_the_remedy_that_reaches_clearly_more_comes_first():
    died = reaching("ACT03", "dead_units", 0.27, title="23 % of the units died")
    dropped, weak = reaching("REG01", "dropout_excess", 0.5), finding("GEN02", "underfitting")
    kept, _ = explain([died, weak, dropped])
    assert [f.code for f in rank(kept)] == ["REG01", "ACT03"]
    fault = finding("LOSS02", "loss_head_mismatch", "error", "proven")
    assert [f.code for f in rank([died, dropped, fault])] == ["LOSS02", "REG01", "ACT03"]
    close = reaching("ACT03", "dead_units", 0.47)  # within the errors: what comes first in a training
    assert [f.code for f in rank([dropped, close])] == ["ACT03", "REG01"]


def test_a_rate_does_not_explain_what_mends_clearly_more():
    rate, died = reaching("LR01", "lr_too_high", 0.3), reaching("ACT03", "dead_units", 0.9, step=7)
    assert [f.code for f in rank(explain([rate, died])[0])] == ["ACT03", "LR01"]


@pytest.mark.parametrize(
    "lesser",
    [
        reaching("ACT03", "dead_units", 0.45),  # more than 0.8 of it
        reaching("ACT03", "dead_units", 0.35, half=0.2),  # within the errors
        replace(finding("ACT03", "dead_units"), remedied=Remedied(0.2, 0.5, 0.02, "balanced accuracy")),
        finding("ACT03", "dead_units", "error", "proven"),  # no twin
    ],
)
def test_what_is_not_clearly_less_stays_an_alarm(lesser):
    dropped = reaching("REG01", "dropout_excess", 0.5)
    assert {f.code for f in explain([lesser, dropped])[0]} == {"ACT03", "REG01"}


def test_what_a_remedy_reached_is_stored():
    told = reaching("REG01", "dropout_excess", 0.5)
    assert Finding.from_json(told.to_json()) == told
    before = {name: value for name, value in told.to_json().items() if name != "remedied"}
    assert Finding.from_json(before) == replace(told, remedied=None)
