from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data04_duplicates import judge


def readings(
    *,
    share: float,
    expected: float = 0.0,
    informative: float = 0.0,
    own_values: float = 0.0,
    count: int = 1000,
    part: str = "test",
) -> Readings:
    values = {
        "share": share,
        "expected": expected,
        "informative": informative,
        "own_values": own_values,
        "conflicts": 0.0,
    }
    note = f"{part} row 812 = training row 17" if share else ""
    return Readings(
        [
            Reading(f"duplicates.{name}", value, place=part, count=count, note=note if name == "share" else "")
            for name, value in values.items()
        ]
    )


def measured(difference: float, *, half: float = 0.03, score: float = 0.86, constant: float = 0.125) -> list[Reading]:
    place = "validation"
    return [
        Reading("leak.score", score, place, 100, note="accuracy"),
        Reading("leak.clean", score - difference, place, 100, count=200, note="accuracy"),
        Reading("leak.difference", difference, place, 100, difference - half, difference + half, note="accuracy"),
        Reading("leak.constant", constant, place, 100, note="accuracy"),
    ]


BROKEN = Readings([*readings(share=0.8, informative=0.8, part="validation"), *measured(0.2)])
HEALTHY = readings(share=0.0, expected=0.3)


def one(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_copies_are_told_with_their_rows() -> None:
    finding = one(judge(readings(share=0.04, informative=0.04)))
    assert finding.title == "40 of 1,000 test rows (4.00 %) are copies of training rows"
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "suspicion", "split_leak")
    assert finding.evidence[-1].value == "test row 812 = training row 17"


def test_copies_that_raise_the_score_are_an_alarm() -> None:
    finding = one(judge(BROKEN))
    assert (finding.severity, finding.standing, finding.counts) == ("warning", "verified", True)
    assert finding.evidence[-2].value == "0.860, 0.660"


@pytest.mark.parametrize(
    ("difference", "half", "score", "severity", "standing"),
    [
        (0.11, 0.05, 0.86, "warning", "verified"),
        (0.11, 0.12, 0.86, "warning", "suspicion"),  # may be chance
        (0.08, 0.03, 0.86, "warning", "suspicion"),  # a tenth of what is above a constant answer
        (0.08, 0.03, 0.5, "warning", "verified"),  # a fifth of it
        (0.04, 0.005, 0.2, "note", "proven"),  # half of it, and little all the same
        (0.0, 0.02, 0.86, "note", "proven"),
    ],
)
def test_what_copies_add(difference: float, half: float, score: float, severity: str, standing: str) -> None:
    known = readings(share=0.3, informative=0.3, part="validation")
    finding = one(judge(Readings([*known, *measured(difference, half=half, score=score)])))
    assert (finding.severity, finding.standing) == (severity, standing)


def test_names_that_repeat_in_the_training_rows_too_are_no_alarm() -> None:
    """New data would have as many of them: the score is what it will be."""
    natural: dict[str, Any] = {"share": 0.123, "expected": 0.122, "informative": 0.117, "part": "validation"}
    assert not one(judge(Readings([*readings(**natural), *measured(0.36)]))).counts
    fine_scale = readings(**natural, own_values=1.0)
    assert one(judge(Readings([*fine_scale, *measured(0.36)]))).counts, (
        "numbers of a fine scale are not equal by chance"
    )


@pytest.mark.parametrize(
    ("share", "expected", "informative", "severity", "standing"),
    [
        (0.002, 0.0, 0.002, "note", "proven"),  # a handful of copies
        (0.6, 0.6, 0.0, "note", "proven"),  # a table of few different rows
        (0.62, 0.6, 0.005, "note", "proven"),  # within the deviation
        (0.7, 0.6, 0.0, "warning", "suspicion"),  # beyond it
        (0.6, 0.6, 0.02, "warning", "suspicion"),
        (0.01, 0.0, 0.01, "warning", "suspicion"),
    ],
)
def test_severity(share: float, expected: float, informative: float, severity: str, standing: str) -> None:
    finding = one(judge(readings(share=share, expected=expected, informative=informative)))
    assert (finding.severity, finding.standing) == (severity, standing)


def test_the_worst_part_is_named_and_all_are_told() -> None:
    known = readings(share=0.04, informative=0.04)
    both = Readings([*known, *(Reading("duplicates.share", 0.001, place="validation", count=1000),)])
    finding = one(judge(both))
    assert finding.place == "test"
    assert any(e.what.startswith("validation") for e in finding.evidence)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "noise"), [(0.6, 0.3), (0.0, 0.3), (0.6, 0.0)])
def test_planted(share: float, noise: float, tmp_path: Path) -> None:
    """Copies among the validation rows of a network that memorizes wrong labels; the same without copies, and without
    anything to memorize."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 20, generator=generator)
    y = (x[:, 0] + x[:, 1] > 0).long()
    wrong = torch.rand(1000, generator=generator) < noise
    y = torch.where(wrong, 1 - y, y)
    train, held = (x[:400], y[:400]), (x[400:].clone(), y[400:].clone())
    copies = int(share * 600)
    rows = torch.randint(0, 400, (copies,), generator=generator)
    held[0][:copies], held[1][:copies] = train[0][rows], train[1][rows]
    experiment = tw.Experiment(
        nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 2)),
        train=train,
        validation=held,
        test=False,
        loss="cross_entropy",
        directory=tmp_path,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=3e-3), epochs=60, batch_size=32, probes=True)
    found = [f for f in experiment.train(plan, listeners=()).findings if f.code == "DATA04"]
    assert [f.counts for f in found] == ([] if not share else [noise > 0])
