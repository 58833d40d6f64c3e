"""# LOOP02: the loss is ascended

## What it does
Follows the tensor that `backward` is called on back to the loss, and looks at the sign between them and at the
optimizer's `maximize`.

## Why it is bad
Every step makes the answers worse. The loss grows until numbers overflow.

## Evidence used
- `loop.descent`: the share of watched steps that go down one of torch's own losses (cross-entropy, mean squared error,
  ...). They are made to be minimized, so that none is enough for a proof.
- `loop.reported`: the loop reports a loss to `watch.step` and calls `backward` on its negative. A reward is reported
  like that too; it is an alarm only where the twin, which descends what was reported, answers better.

## Known limits
A loss of several terms, one of which is meant to grow (adversarial training), is not judged. A loss written out in
arithmetic is judged by what is reported only.

## Remedies
- `loss.backward()` without the minus; `maximize=False` (manual).

## References
TheDeepChecker, Ben Braiek and Khomh (TOSEM 2023), flipped_sign.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.loop.repaired import excluded, lines, repaired
from thalweg.rules.trial import number

CODE = "LOOP02"
NAME = "the loss is ascended"
STAGE = "training"
NEEDS = ("loop.steps",)

LEAST = 2  # steps


def judge(readings: Readings) -> list[Finding]:
    signs, told = readings.last("loop.descent"), readings.last("loop.reported")
    named = signs is not None and signs.value == 0 and (signs.count or 0) >= LEAST
    twin = repaired(readings)
    harmed = twin is not None and twin.harmed
    if not named and told is None:
        return []
    if named:
        assert signs is not None
        what = Evidence(f"steps that go down {signs.note}", f"0 of {signs.count}", "all")
    else:
        assert told is not None
        if signs is not None and signs.value == 1:  # what is reported is the negative of a loss that is descended
            return []
        what = Evidence("backward() is called on the reported loss times", number(told.value), "above 0")
    return [
        Finding(
            code=CODE,
            title="The loss is ascended, not descended: backward() gets its negative"
            if named
            else "backward() is called on the negative of the loss that is reported",
            severity="error" if named or harmed else "note",
            standing="proven" if named or not harmed else "verified",
            cause="loss_head_mismatch",
            why="Each step is taken in the direction in which the loss grows.",
            step=0,
            evidence=(what, *lines(twin, "going down the loss")),
            excluded=excluded(twin),
            remedies=(
                Remedy("Call backward() on the loss itself, and leave maximize=False in the optimizer.", "manual"),
            ),
        )
    ]
