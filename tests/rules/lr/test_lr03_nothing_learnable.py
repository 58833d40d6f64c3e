from thalweg.readings import Reading, Readings
from thalweg.rules.lr import lr03_nothing_learnable


def unlearnable(*more):
    return Readings(
        [
            Reading("race.learnable", 0.0),
            Reading("race.constant", 2.3, low=2.29, high=2.31),
            Reading("race.longer", 2.31, "0.001"),
            Reading("race.longer", 2.4, "0.01"),
            *more,
        ]
    )


BROKEN = unlearnable()
HEALTHY = Readings([Reading("race.learnable", 1.0)])


def test_nothing_learnable_is_a_suspicion_that_permuted_labels_verify():
    (found,) = lr03_nothing_learnable.judge(unlearnable(Reading("overfit.share", 0.95)))
    assert (found.severity, found.standing, found.cause) == ("warning", "suspicion", "label_corruption")
    assert found.evidence[0].value == "2.31"
    assert found.excluded[0].cause == "the network"
    parts = [
        Reading(f"probe.permute_labels.{part}", value, low=value - 0.02, high=value + 0.02, count=5)
        for part, value in (("plain", 0.01), ("changed", 0.01), ("difference", 0.0))
    ]
    assert lr03_nothing_learnable.judge(unlearnable(*parts))[0].counts


def test_what_was_learned_is_learnable():
    assert lr03_nothing_learnable.judge(Readings([Reading("race.learnable", 1.0)])) == []
    better = Reading("fit.validation_loss", 1.2, low=1.1, high=1.3)
    assert lr03_nothing_learnable.judge(unlearnable(better)) == []
    worse = Reading("fit.validation_loss", 2.6, low=2.5, high=2.7)
    assert len(lr03_nothing_learnable.judge(unlearnable(worse))) == 1


def test_what_plain_learners_learn_is_learnable():
    def explained(value, chance):
        return [
            Reading("labels.explained", value, "train", count=1000),
            Reading("labels.permuted", -0.01, "train", low=-0.015, high=-0.005, count=1000),
            Reading("labels.chance", chance, "train", count=1000),
        ]

    assert lr03_nothing_learnable.judge(unlearnable(*explained(0.4, 0.05))) == []
    (found,) = lr03_nothing_learnable.judge(unlearnable(*explained(-0.01, 0.5)))
    assert not found.counts  # plain learners may be too weak: without an outcome nothing is proven
