import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.doctor.diagnose import diagnose
from thalweg.doctor.ignore import wishes
from thalweg.errors import UsageError
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings


def dead(place, code="ACT03"):
    return Finding(code, "dead", "warning", "verified", "dead_units", "", place)


def test_one_place_of_one_rule_is_ignored_and_the_rest_stays():
    kept, ignored, unused = wishes((), "ACT03@block*: known").kept(
        [dead("block3"), dead("head"), dead("block3", "X01")]
    )
    assert [(f.code, f.place) for f in kept] == [("ACT03", "head"), ("X01", "block3")]
    assert [str(each) for each in ignored] == ["ACT03@block3: known"]
    assert unused == []


def test_a_family_and_several_wishes():
    kept, ignored, unused = wishes((), ["act: wide", "DATA01: meant"]).kept([dead("a"), dead("b")])
    assert kept == []
    assert len(ignored) == 2
    assert unused == ["DATA01: meant"]


def test_selected_codes_and_families():
    chosen = wishes("ACT, LR01")
    assert [chosen.selects(code) for code in ("ACT03", "LR01", "LR02")] == [True, True, False]
    assert wishes(["ACT", "LR01"]).select == chosen.select


@pytest.mark.parametrize("text", ["ACT03", "ACT03@x", "ACT03:", "ACT03@x:", ": why", "ACT03 known"])
def test_a_reason_is_asked_for(text):
    with pytest.raises(UsageError, match="the reason"):
        wishes((), text)


def test_unknown_codes_name_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'ACT03'"):
        wishes("ACT30")
    with pytest.raises(UsageError, match="no rule or family 'NOPE'"):
        wishes((), "NOPE: because")


def test_an_ignored_finding_decides_nothing_and_is_told():
    lost = Readings([Reading("train.batch_loss", 1.0, step=1), Reading("nonfinite.step", 1.0, step=5)])
    found = diagnose(lost, wishes((), ["NUM01: on purpose", "GEN01: why not"]))
    assert found.findings == ()
    assert "1 finding ignored: NUM01: on purpose" in str(found)
    assert "'GEN01: why not' matches no finding" in str(found)


def test_only_selected_rules_are_judged():
    found = diagnose(Readings([Reading("train.batch_loss", 1.0, step=1)]), wishes("NUM"))
    assert (found.passed, found.not_judged) == (("NUM01",), ())


def broken(runs, **more):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 8, generator=generator)

    def build():
        network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        nn.init.constant_(network[0].weight, 0.1)
        nn.init.constant_(network[2].weight, 0.1)
        nn.init.zeros_(network[0].bias)
        return network

    return tw.Experiment(build, train=(x, (x[:, 0] > 0).long()), loss="cross_entropy", directory=runs, **more)


def test_a_check_and_a_run_remember_what_was_ignored(runs):
    experiment = broken(runs)
    assert "INIT01" in {f.code for f in experiment.check().findings}
    check = experiment.check(select="INIT", ignore=["INIT01@0: on purpose", "INIT02: never", "GEN01: later"])
    assert list(check.findings) == []
    assert [str(each) for each in check.ignored] == ["INIT01@0: on purpose"]
    assert check.unused == ("INIT02: never",)  # GEN01 is judged later
    assert "1 finding ignored: INIT01@0: on purpose" in repr(check)
    heard = []
    plan = tw.Plan(epochs=2, optimizer=tw.optimizers.SGD(lr=0.1))
    run = experiment.train(plan, listeners=(heard.append,), select="INIT", ignore="INIT01: on purpose")
    assert run.findings == ()
    assert run.diagnosis.ignored[0].reason == "on purpose"
    assert "start equal" not in run.verdict
    assert not [event for event in heard if getattr(event, "findings", ())]
    again = experiment.diagnose(run, ignore=(), select="INIT01", seconds=0.0)
    assert [f.code for f in again.findings] == ["INIT01"]
    assert experiment.open(run.name).diagnosis == again
