"""# NUM01: numbers are no longer finite

## What it does
When a loss, and with it the weights, turned NaN or infinite, the training goes back to its last snapshot and repeats
the steps exactly. Inside the first bad step every operation of the forward and the backward pass is looked at, and the
first one is named that made a non-finite result from finite operands, with its layer and the rows of the batch.

## Why it is bad
A weight that is NaN makes every later output NaN. Nothing after this step is a training.

## Evidence used
- `nonfinite.first`: operation, place, share of entries lost, range of its operands; `nonfinite.row`: row numbers.
- `train.batch_loss` and `nonfinite.last_loss`: whether the loss had grown before. Growth, weights that were lost in an
  update, or a race in which the plan's rate diverged, make the learning rate the cause.
- An infinity that is put in on purpose (a mask of -inf before a softmax) is followed and not blamed.

## Known limits
Rows are told where the result of the operation is as long as the batch. Values made outside of torch are not followed.

## Remedies
- Rate: the rate of the race, else a tenth; clip the gradient (changes training).
- Logarithms and roots: a form that is safe at zero, `log_softmax`, `cross_entropy` on logits, an epsilon inside the
  root (manual).
- Data: remove or fill the rows (manual).

## References
Lecture row L36: the loss turns NaN where the rate is too high.
"""

from math import isfinite

from thalweg.findings import Cause, Evidence, Excluded, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.lr.race import raced
from thalweg.rules.trial import number

CODE = "NUM01"
NAME = "non-finite numbers"
STAGE = "training"
NEEDS = ("train.batch_loss",)
ALONG = True

GROWN = 3.0  # times the loss at the start, before the numbers were lost
TENTH = 0.1
AT_ZERO = ("log", "sqrt", "div", "pow", "rsqrt", "reciprocal")


def judge(readings: Readings) -> list[Finding]:
    first = readings.last("nonfinite.first")
    bad = first or readings.last("nonfinite.step")
    if bad is None:
        return []
    cause, signs = cause_of(readings, bad)
    last_loss = readings.value("nonfinite.last_loss")
    found = [] if last_loss is None else [Evidence("last finite loss", number(last_loss))]
    return [
        Finding(
            code=CODE,
            title=f"Numbers were no longer finite at step {bad.step:,}" + (f": {described(first)}" if first else ""),
            severity="error",
            standing="proven",
            cause=cause,
            why=why(cause, first),
            place="" if first is None else first.place,
            step=bad.step,
            evidence=(*(operation(first, readings) if first else ()), *found, *signs),
            excluded=(Excluded("learning rate", "the loss had not grown before"),)
            if cause == "non_finite" and bad.step
            else (),
            remedies=remedies(cause, first, readings),
        )
    ]


def described(first: Reading) -> str:
    """`"aten.log in the loss"`."""
    where = "in the loss" if first.place == "loss" else f"in {first.place}"
    if first.note in ("parameter", "buffer"):
        return f"{first.place} was lost in the update before"
    if first.note in ("input", "target"):
        return f"the {first.note} itself is not finite"
    name, _, direction = first.note.rpartition(" ")
    return f"{name} {where}" if direction == "forward" else f"backward pass of {where.removeprefix('in ')}, {name}"


def operation(first: Reading, readings: Readings) -> tuple[Evidence, ...]:
    rows = readings.of("nonfinite.row")
    found = [
        Evidence("first non-finite result", described(first)),
        Evidence("share of its entries", f"{100 * first.value:.3g} %"),
    ]
    if first.low is not None and first.high is not None:
        found.append(Evidence("operands were finite, from", f"{number(first.low)} to {number(first.high)}"))
    if rows:
        more = f" and {first.count - len(rows):,} more" if first.count and first.count > len(rows) else ""
        found.append(Evidence("rows", ", ".join(f"{r.value:.0f}" for r in rows) + more))
    return tuple(found)


def cause_of(readings: Readings, bad: Reading) -> tuple[Cause, tuple[Evidence, ...]]:
    """The rate where the loss grew before, an update lost the weights, or the rate diverged in the race."""
    step, losses = bad.step or 0, readings.of("train.batch_loss")
    signs = []
    before = [r.value for r in losses if r.step is not None and r.step <= step and isfinite(r.value)]
    before += [v for v in [readings.value("nonfinite.last_loss")] if v is not None and isfinite(v)]
    if before and max(before) > before[0] + (GROWN - 1) * abs(before[0]):
        signs.append(
            Evidence("loss before", f"grown from {number(before[0])} to {number(max(before))}", f"{GROWN:g} times")
        )
    if bad.note == "parameter" and step > 0:
        signs.append(Evidence("weights before the step", "not finite: the update before was too large"))
    race = raced(readings)
    if race is not None and race.too_high and race.own.value == float("inf"):
        signs.append(
            Evidence(f"the same start at {number(race.plan)} in a race", "diverged", f"best rate {race.range}")
        )
    if signs and bad.note not in ("input", "target"):
        return "lr_too_high", tuple(signs)
    return "non_finite", ()


def why(cause: Cause, first: Reading | None) -> str:
    if cause == "lr_too_high":
        return (
            "The steps were too long: weights and loss grew from step to step until a number left the range of floats."
        )
    if first is not None and first.note in ("input", "target"):
        return "A value that is not finite makes the outputs of its row NaN, and through the loss every weight."
    return "An operation was given a number that it has no finite result or no finite slope for, such as log(0)."


def remedies(cause: Cause, first: Reading | None, readings: Readings) -> tuple[Remedy, ...]:
    if cause == "lr_too_high":
        plan, best = readings.value("plan.rate"), readings.value("race.rate")
        rate = best if best is not None and (plan is None or best < plan) else plan and TENTH * plan
        changes = {} if rate is None else {"optimizer.lr": float(f"{rate:.2g}")}
        lower = f"Train at {rate:.2g}." if rate else "Train at a lower rate."
        return (
            Remedy(lower, "changes training", changes),
            Remedy("Clip the gradient's norm at 1.", "changes training", {"clip_norm": 1.0}),
        )
    if first is not None and first.note in ("input", "target"):
        return (Remedy("Remove these rows, or fill the missing values.", "manual"),)
    if first is not None and any(name in first.note for name in AT_ZERO):
        return (
            Remedy(
                "Keep the operand away from zero: log_softmax or cross_entropy on logits for the log of a softmax, an "
                "epsilon inside of roots and denominators.",
                "manual",
            ),
        )
    return (
        Remedy("Limit what goes into this operation: normalize before it, or clamp its operand.", "manual"),
        Remedy("Clip the gradient's norm at 1.", "changes training", {"clip_norm": 1.0}),
    )
