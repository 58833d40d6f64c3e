from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch01_linear_stack import is_affine, judge


def stack(place: str, error: float = 4e-7, saved: float = 0.6) -> list[Reading]:
    return [Reading("stack.error", error, place), Reading("stack.saved", saved, place)]


def probe(plain: float, changed: float) -> list[Reading]:
    values = {"plain": plain, "changed": changed, "difference": changed - plain}
    return [Reading(f"probe.insert_relu.{k}", v, low=v - 0.03, high=v + 0.03, count=5) for k, v in values.items()]


TRAINABLE = Reading("parameter.trainable", 1000)
LINEAR = [TRAINABLE, *stack("0 → 1"), *stack("1 → 2"), Reading("network.affine_error", 3e-7, count=3)]
BROKEN = Readings([*LINEAR, *probe(0.5, 0.9)])
HEALTHY = Readings([TRAINABLE, Reading("network.affine_error", 1.4, count=3)])


def test_linear_network_that_loses_is_a_verified_warning():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "verified", "no_nonlinearity")


def test_linear_network_without_harm_is_a_note():
    """A linear task needs no more: the fact stays, the alarm does not."""
    (finding,) = judge(Readings([*LINEAR, *probe(0.9, 0.91)]))
    assert finding.severity == "note"
    (unprobed,) = judge(Readings(LINEAR))
    assert unprobed.standing == "suspicion"
    assert not unprobed.counts


def test_a_stack_inside_is_a_note_at_its_place():
    (finding,) = judge(Readings([TRAINABLE, *stack("4 → 6"), Reading("network.affine_error", 1.2, count=4)]))
    assert (finding.severity, finding.place) == ("note", "4 → 6")


def test_factorizations_are_not_reported():
    bottleneck = [TRAINABLE, *stack("0 → 1", saved=-1.0), Reading("network.affine_error", 3e-7, count=2)]
    assert judge(Readings(bottleneck)) == []
    assert not is_affine(Readings(bottleneck))


def test_a_difference_is_no_stack():
    assert judge(Readings([TRAINABLE, *stack("0 → 1", error=0.8)])) == []
