"""# LOSS02: loss and outputs do not fit

## What it does
Takes the loss as a function of the outputs and asks what it rewards: what is the lowest loss of any outputs, the lowest
of outputs that this last layer can give, the lowest of one answer to all rows; does it fall towards the right answers;
does it notice when targets are dealt out to other rows.

## Why it is bad
A loss is minimized whatever it says. Softmax before a cross-entropy that applies its own cannot fall below
ln(1 + (K-1)/e); sigmoid before a loss on logits cannot say no; ReLU at the end cannot reach negative targets; outputs
[N, 1] against targets [N] compare each output with each target, and the best answer is their mean.

## Evidence used
- The last operation, read from autograd's graph, and with it the range of the outputs (`head.*`).
- `loss.floor_free` and `loss.floor`: lowest loss of any outputs and of outputs in that range, by L-BFGS from several
  starts, the right answers among them. Their difference, over what separates the range's best constant answer from the
  free floor, is the share of the loss that no training can remove. From 5 % on it is called harm.
- `loss.constant` at the floor: a constant answer is as good as any, nothing is left to learn.
- `loss.bottomless`: the loss falls without end along a straight line from outputs of zero.
- `loss.rewards_wrong`: right answers cost more than wrong ones, at every margin tried.
- `loss.pairing` with `loss.compared`: the value when targets are permuted among rows, where shapes broadcast.
- `loss.outside`: share of rows whose outputs lie where the loss has no gradient, though it has one between 0 and 1.
- `loss.alignment`: cosine between the gradient of the loss through the last layer and that of cross-entropy on free
  outputs. Below 0.99 (sigmoid under a categorical loss, one sigmoid per class, mean squares of classes) it is a note.
- `twin.likelihood.*`: after a training that stayed below what is possible, the same training with cross-entropy on the
  numbers before the last activation; `twin.likelihood_long.*`, where nothing was learned yet, both with more steps. It
  makes the note an alarm, or shows that a proven fault cost nothing.

## Known limits
A loss that takes more than one output tensor, or compares rows with each other, is not judged. A sigmoid under a
renormalized cross-entropy can train well and is a note until a twin shows harm. A critic's loss that is meant to be
unbounded is reported.

## Remedies
- Give logits to a loss on logits: leave out the last softmax or sigmoid (manual).
- Give a regression a last layer without activation (manual).
- Reshape outputs or targets to the same shape (manual).
- `log_softmax` before `nll_loss`, or `cross_entropy` on logits (manual).

## References
Lecture row L35; torch.nn documentation of CrossEntropyLoss, BCEWithLogitsLoss and NLLLoss; Humbatova et al., "Taxonomy
of Real Faults in Deep Learning Systems" (ICSE 2020), wrong loss and wrong activation of the last layer.
"""

import math
from dataclasses import replace

from thalweg.findings import Evidence, Excluded, Finding, Remedy, Severity
from thalweg.readings import Readings
from thalweg.rules.harm import harm, works
from thalweg.rules.trial import number

CODE = "LOSS02"
NAME = "loss and last layer"
STAGE = "check"
NEEDS = ("loss.floor",)

HARM = 0.05  # share of the loss out of reach from which it is harm: a twentieth, as between two trainings
SAME = 1e-5  # relative: float32 sums in another order differ by 1e-7 to 1e-6
ALIGNED = 0.99  # cosine: cross-entropies, weighted, focal or summed, give 1.000; sigmoids renormalized 0.88 to 0.98
PULLS = 0.1  # of cross-entropy's: 1 and more for cross-entropies and focal losses, hinges 0.5, probabilities 0.002
MIXED = 1e-3  # of the gradient: sums in another order differ by 1e-6, a mean over 256 rows leaves 1e-2
LOGARITHM = 0.5  # rise over what there is to learn; logits of 69 classes give 0.003
LIMITED = ("sigmoid", "hardsigmoid", "softmax", "tanh", "relu", "softplus", "exp", "clamp")
BOUNDED = ("sigmoid", "hardsigmoid", "softmax", "tanh")


def judge(readings: Readings) -> list[Finding]:
    """The first fault found, from the plainest to the most derived: one cause has many symptoms."""
    found = proven(readings)
    if found is not None:
        return [by_outcome(found, readings)]
    return [each for each in (improper(readings), summed(readings)) if each is not None]


def proven(readings: Readings) -> Finding | None:
    """The first fault that the loss itself shows."""
    for look in (
        one_unit,
        too_few_outputs,
        over_batch,
        broadcast,
        wrong_sign,
        outside,
        bottomless,
        unreachable,
        pointless,
    ):
        found = look(readings)
        if found is not None:
            return found
    return None


def is_improper(readings: Readings) -> bool:
    """Whether a twin with cross-entropy on free outputs could do better: of classes, and it is not that already."""
    return "task.classes" in readings and (
        points_elsewhere(readings) or mixes(readings) or proven(readings) is not None
    )


def mixes(readings: Readings) -> bool:
    """Whether the gradient of a row turns with the outputs of the others."""
    return (readings.value("loss.mixing") or 0.0) > MIXED


def points_elsewhere(readings: Readings) -> bool:
    """Whether the gradient is not that of a cross-entropy: of another direction, or none for rows that are wrong."""
    alignment, pull = readings.value("loss.alignment"), readings.value("loss.pull")
    return alignment is not None and (alignment < ALIGNED or (pull is not None and pull < PULLS))


def by_outcome(found: Finding, readings: Readings) -> Finding:
    """A fault that cost the training nothing, as a twin or the outcome shows, is a note; one that did is an error."""
    if works(readings):
        return replace(found, severity="note")
    cost = harm(readings, "likelihood")
    if cost is None:
        return found
    if cost.harmed:
        evidence = found.evidence + cost.evidence("cross-entropy on free outputs")
        return replace(found, severity="error", evidence=evidence, excluded=found.excluded + cost.excluded)
    return replace(found, severity="note") if cost.harmless else found


def improper(readings: Readings) -> Finding | None:
    """A last layer and a loss that are not the likelihood of the classes; an alarm where a twin with it does better."""
    alignment, kind = readings.value("loss.alignment"), kind_of(readings)
    if alignment is None or not points_elsewhere(readings) or "task.classes" not in readings:
        return None
    pull = readings.value("loss.pull")
    weak = pull is not None and pull < PULLS and alignment >= ALIGNED
    cost = harm(readings, "likelihood")
    longer = harm(readings, "likelihood_long")
    if longer is not None and longer.harmed and not (cost is not None and cost.harmed):
        cost = longer
    harmed = cost is not None and cost.harmed
    if not harmed and kind not in LIMITED:
        return None
    last = "free outputs" if kind == "none" else f"outputs of {kind}"
    return Finding(
        code=CODE,
        title=f"The loss on {last} hardly pulls rows that are wrong: it is a probability, not its logarithm"
        if weak
        else f"The loss on {last} is not the likelihood of one class among several",
        severity="error" if harmed else "note",
        standing="verified" if harmed else "proven",
        cause="loss_head_mismatch",
        why="Each row belongs to one class. Cross-entropy on free outputs pulls the right class up against the others; "
        "the gradient of this loss through this last layer points elsewhere"
        + (", and that training goes further on the same batches." if harmed else ", which may train well."),
        evidence=(
            Evidence("cosine with the gradient of cross-entropy, mean over rows", number(alignment), f"{ALIGNED:g}"),
            *pulls(pull),
            *(cost.evidence("cross-entropy on free outputs") if cost else ()),
            *(
                (Evidence("both trained longer", f"{cost.steps:.3g} times the steps"),)
                if cost and cost.steps > 1
                else ()
            ),
        ),
        excluded=cost.excluded if cost and harmed else (),
        remedies=(Remedy("Leave out the last activation and use cross_entropy, on one output per class.", "manual"),),
    )


def pulls(found: float | None) -> tuple[Evidence, ...]:
    if found is None or found >= PULLS:
        return ()
    return (Evidence("pull on improbable right classes, against that of cross-entropy", number(found), f"{PULLS:g}"),)


def finding(
    title: str, why: str, evidence: list[Evidence], remedy: str, *, severity: Severity = "error", excluded: str = ""
) -> Finding:
    return Finding(
        code=CODE,
        title=title,
        severity=severity,
        standing="proven",
        cause="loss_head_mismatch",
        why=why,
        evidence=tuple(evidence),
        excluded=(Excluded("chance", excluded),) if excluded else (),
        remedies=(Remedy(remedy, "manual"),),
    )


def kind_of(readings: Readings) -> str:
    """The last operation, `"none"` where the outputs are free."""
    head = readings.last("head.low")
    return head.note if head else "none"


def one_unit(readings: Readings) -> Finding | None:
    size = readings.value("head.size")
    if size != 1:
        return None
    return finding(
        "The softmax runs over one output, which is always 1",
        "A softmax divides by the sum over its outputs; over one output that is x / x. Whatever the weights, the "
        "answer is the same, and no gradient reaches them.",
        [Evidence("outputs under the softmax", "1"), Evidence("output for every row", "1")],
        "Leave out the softmax and use a loss on logits (binary_cross_entropy), or give one output per class.",
    )


def too_few_outputs(readings: Readings) -> Finding | None:
    outputs, classes = readings.last("head.outputs"), readings.value("task.classes")
    if outputs is None or classes is None or outputs.value >= classes:
        return None
    if outputs.value == 1 and outputs.note not in BOUNDED:
        return None  # a number predicted for an ordered class is a regression, and may be meant
    if outputs.value == 1 and classes == 2:
        return None
    return finding(
        f"{outputs.value:.0f} output{'s' if outputs.value > 1 else ''} for {classes:.0f} classes",
        "Each class needs an output of its own; the classes beyond cannot be told apart.",
        [Evidence("outputs", f"{outputs.value:.0f} ({outputs.note})"), Evidence("classes", f"{classes:.0f}")],
        f"Give the last layer {classes:.0f} outputs and use cross_entropy.",
    )


def over_batch(readings: Readings) -> Finding | None:
    head = readings.last("head.dim")
    if head is None or head.value != 0:
        return None
    return finding(
        f"The {head.note} runs over the batch instead of the classes",
        "The outputs of a row depend on the rows that happen to be beside it: a row alone gets 1 for every class.",
        [Evidence("dimension that adds up to 1", "0 (the rows)")],
        "Write softmax(dim=1), or leave it out and use cross_entropy on logits.",
    )


def broadcast(readings: Readings) -> Finding | None:
    pairing, compared = readings.value("loss.pairing"), readings.last("loss.compared")
    if pairing is None or compared is None or compared.value <= 1 or pairing > SAME:
        return None
    return finding(
        f"The loss compares each output with all {compared.value:.0f} targets of the batch",
        "Outputs [N, 1] against targets [N] broadcast to [N, N]. The loss does not notice which target belongs to "
        "which row; its best answer is the mean target for all rows.",
        [
            Evidence(
                "change of the loss when targets are permuted among rows", f"{pairing:.1e}", f"{SAME:.0e} or less"
            ),
            Evidence("lowest loss of any outputs", number(readings.value("loss.floor_free") or 0.0)),
            Evidence("lowest loss of one answer to all rows", number(readings.value("loss.constant") or 0.0)),
        ],
        "Give outputs and targets one shape: output.squeeze(1), or target.unsqueeze(1).",
        excluded="four permutations, random outputs",
    )


def wrong_sign(readings: Readings) -> Finding | None:
    found = readings.value("loss.rewards_wrong")
    scale = abs(readings.value("loss.uniform") or 0.0)
    if found is None or found <= SAME * max(scale, 1e-12):
        return None
    return finding(
        "The loss is higher for right answers than for wrong ones",
        "Training lowers the loss, and so learns to answer wrongly. The sign is turned.",
        [Evidence("loss of right answers minus loss of wrong ones, at least", number(found), "below 0")],
        "Remove the minus sign, or swap the arguments: loss(output, target).",
        excluded="three margins, all agree",
    )


def outside(readings: Readings) -> Finding | None:
    share, low, high = (readings.value(name) for name in ("loss.outside", "head.low", "head.high"))
    if share is None or low is None or high is None or share < HARM:
        return None
    if low >= 0 and high <= 1:
        return None  # probabilities that are saturated are another fault
    if readings.value("head.dim") is not None and kind_of(readings) == "softmax":
        return None
    return finding(
        f"{100 * share:.0f} % of the rows get no gradient: the loss takes probabilities, the outputs are none",
        "The loss has a gradient for outputs between 0 and 1 only and is clipped or not a number elsewhere; the last "
        f"layer ({kind_of(readings)}) gives values outside.",
        [
            Evidence("rows whose outputs get no gradient", f"{100 * share:.0f} %", f"{100 * HARM:.0f} %"),
            Evidence("range of the outputs", f"{low:g} to {high:g}"),
        ],
        "Use the loss on logits (cross_entropy, binary_cross_entropy), or end the network with a softmax or sigmoid.",
        excluded="random outputs between 0 and 1 get a gradient, below 0 none",
    )


def bottomless(readings: Readings) -> Finding | None:
    if readings.value("loss.bottomless") != 1.0:
        return None
    return finding(
        "The loss has no lowest value: it falls without end",
        "Training drives the outputs to infinity instead of to an answer. A likelihood loss wants log-probabilities, "
        "and gets numbers of any size.",
        [Evidence("fall along a straight line", "in proportion to the distance, over four decades")],
        "Put log_softmax before nll_loss, or use cross_entropy; add the missing bound to a loss of your own.",
    )


def unreachable(readings: Readings) -> Finding | None:
    free, floor, constant = (readings.value(f"loss.{name}") for name in ("floor_free", "floor", "constant"))
    kind = kind_of(readings)
    if free is None or floor is None or constant is None or kind == "none" or free < -1e6 * max(abs(constant), 1.0):
        return None
    room = constant - free
    share = (floor - free) / room if room > 0 else 0.0
    if share < HARM or log_of_probabilities(readings):
        return None
    return finding(
        f"After {kind} the loss cannot fall below {number(floor)}; other outputs reach {number(free)}",
        f"The last layer gives only a part of the values that the loss asks for: {100 * min(share, 1.0):.0f} % of what "
        "separates a constant answer from the best one is out of reach, and the gradient flattens on the way.",
        [
            Evidence(f"lowest loss with outputs of {kind}", number(floor)),
            Evidence("lowest loss with free outputs", number(free)),
            Evidence("loss of the best constant answer", number(constant)),
            Evidence("share out of reach", f"{100 * min(share, 1.0):.0f} %", f"{100 * HARM:.0f} %"),
        ],
        f"Leave out the last {kind}: the loss takes free outputs." if kind != "log_softmax" else "Use nll_loss.",
        severity="error" if share > 0.5 else "warning",
    )


def log_of_probabilities(readings: Readings) -> bool:
    """Whether a last layer of probabilities is what the loss wants, and reaches what the loss gives to certainty.

    Beyond 1 a logarithm that is not clipped there falls on; that no network is to give such numbers is no fault.
    """
    rise, low, high = (readings.value(name) for name in ("loss.logarithm", "head.low", "head.high"))
    constant, floor = readings.value("loss.constant"), readings.value("loss.floor")
    inside = kind_of(readings) == "softmax" or (low is not None and high is not None and low >= 0 and high <= 1)
    if rise is None or constant is None or floor is None or not inside:
        return False
    # ln 100 over the entropy of K balanced classes: 6.6 for 2, 1.1 for 69; softmax twice leaves 0.4 of the entropy.
    return rise > LOGARITHM * (constant - floor) > 0 and abs(floor) <= HARM * constant


def pointless(readings: Readings) -> Finding | None:
    floor, constant, uniform = (readings.value(f"loss.{name}") for name in ("floor", "constant", "uniform"))
    if floor is None or constant is None or uniform is None or readings.value("target.distinct") == 1:
        return None
    if constant - floor > SAME * max(abs(constant), abs(uniform)) or not math.isfinite(floor):
        return None
    return finding(
        "One answer to all rows reaches the lowest loss there is",
        "The loss does not reward telling rows apart, so that nothing is learned from the inputs.",
        [
            Evidence("lowest loss of one answer to all rows", number(constant)),
            Evidence("lowest loss of any outputs", number(floor)),
        ],
        "Check that the loss compares each output with the target of its row.",
    )


def summed(readings: Readings) -> Finding | None:
    factor = readings.value("loss.batch_factor")
    if factor is None or abs(factor - 2) > 1e-3:
        return None
    return finding(
        "The loss is a sum over the batch, not a mean",
        "The gradient grows with the batch size, so that a rate found for one batch size is wrong for another.",
        [Evidence("loss of the rows taken twice over loss of the rows", f"{factor:.3f}", "1 for a mean")],
        "Divide by the number of rows, or keep in mind that the rate depends on the batch size.",
        severity="note",
    )
