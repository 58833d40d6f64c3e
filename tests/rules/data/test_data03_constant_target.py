from thalweg.readings import Reading, Readings
from thalweg.rules.data.data03_constant_target import judge

BROKEN = Readings([Reading("target.distinct", 1, count=1024)])
HEALTHY = Readings([Reading("target.distinct", 2, count=1024)])


def test_the_number_of_rows_is_said():
    (finding,) = judge(BROKEN)
    assert "1,024" in finding.title
    assert (finding.severity, finding.cause) == ("error", "label_corruption")


def test_a_few_equal_targets_prove_nothing():
    assert judge(Readings([Reading("target.distinct", 1, count=8)])) == []
