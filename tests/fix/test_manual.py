"""What is left to be done by hand."""

import pytest

from thalweg.findings import Finding, Remedy
from thalweg.fix.manual import LINES, by_hand
from thalweg.rules import all_rules


def finding(code: str, *, cause: str = "label_corruption", severity: str = "error", place: str = "") -> Finding:
    remedies = (Remedy("Do this by hand.", "manual"),)
    return Finding(code, "", severity, "verified", cause, "", place=place, remedies=remedies)  # type: ignore[arg-type]


def test_only_what_no_accepted_change_mends():
    found = [finding("LABEL01"), finding("LR01", cause="lr_too_high"), finding("DATA04", severity="note")]
    assert [each.code for each in by_hand(found, ["lr_too_high"])] == ["LABEL01"]
    assert [each.code for each in by_hand(found, [])] == ["LABEL01", "LR01"]


def test_once_for_each_rule():
    found = by_hand([finding("DATA04", place="id"), finding("DATA04", place="name")], [])
    assert len(found) == 1
    assert "groups=" in found[0].lines[0]


@pytest.mark.parametrize("code", sorted(LINES))
def test_lines_are_of_rules_that_exist(code: str):
    assert code in {rule.code for rule in all_rules()}
    assert LINES[code]
    assert all(line.strip() == line for line in LINES[code])
