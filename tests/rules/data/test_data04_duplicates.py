import pytest

from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data04_duplicates import judge


def readings(*, share: float, expected: float = 0.0, informative: float = 0.0, count: int = 1000) -> Readings:
    values = {"share": share, "expected": expected, "informative": informative, "conflicts": 0.0}
    note = "test row 812 = training row 17" if share else ""
    return Readings(
        [
            Reading(f"duplicates.{name}", value, place="test", count=count, note=note if name == "share" else "")
            for name, value in values.items()
        ]
    )


BROKEN = readings(share=0.04, informative=0.04)
HEALTHY = readings(share=0.0, expected=0.3)


def one(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_copies_are_a_proven_warning_with_their_rows() -> None:
    finding = one(judge(BROKEN))
    assert finding.title == "40 of 1,000 test rows (4.00 %) are copies of training rows"
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "proven", "split_leak")
    assert finding.evidence[-1].value == "test row 812 = training row 17"


@pytest.mark.parametrize(
    ("share", "expected", "informative", "severity", "standing"),
    [
        (0.002, 0.0, 0.002, "note", "proven"),  # a handful of copies
        (0.6, 0.6, 0.0, "note", "proven"),  # a table of few different rows
        (0.62, 0.6, 0.005, "note", "proven"),  # within the deviation
        (0.7, 0.6, 0.0, "warning", "suspicion"),  # beyond it
        (0.6, 0.6, 0.02, "warning", "proven"),
        (0.01, 0.0, 0.01, "warning", "proven"),
    ],
)
def test_severity(share: float, expected: float, informative: float, severity: str, standing: str) -> None:
    finding = one(judge(readings(share=share, expected=expected, informative=informative)))
    assert (finding.severity, finding.standing) == (severity, standing)


def test_the_worst_part_is_named_and_all_are_told() -> None:
    both = Readings([*BROKEN, *(Reading("duplicates.share", 0.5, place="validation", count=10),)])
    finding = one(judge(both))
    assert finding.place == "test"
    assert any(e.what.startswith("validation") for e in finding.evidence)
