"""The order of findings: alarms before doubts before notes, and within these what comes first in a training."""

from collections.abc import Sequence

from thalweg.findings import SEVERITIES, STANDINGS, Cause, Finding

# Upstream first: what comes earlier explains what comes later.
ORDER: tuple[Cause, ...] = (
    *(
        "loss_head_mismatch",
        "parameters_not_trained",
        "init_constant",
        "gradient_accumulated",
        "train_eval_mode",
        "rows_mixed",
    ),
    *(
        "label_corruption",
        "split_leak",
        "target_leak",
        "split_shift",
        "input_scale",
        "target_scale",
        "unshuffled",
        "no_nonlinearity",
        "init_scale",
        "unstable_start",
    ),
    *("exploding", "vanishing", "saturation", "lr_too_high", "lr_too_low", "non_finite", "dead_units"),
    *("optimizer_unsuitable", "batchnorm_small_batch", "dropout_excess", "class_imbalance", "too_few_epochs"),
    *("overfitting", "underfitting", "measures_disagree", "few_rows", "slow"),
)


def urgency(finding: Finding) -> tuple[bool, bool, int, int, int, str]:
    """Alarms before suspicions before notes; errors first, then the stronger standing, then the earlier cause."""
    severity, standing = SEVERITIES.index(finding.severity), STANDINGS.index(finding.standing)
    note = finding.severity == "note"
    return not finding.counts, note, severity, standing, ORDER.index(finding.cause), finding.place


def outdone(finding: Finding, other: Finding) -> bool:
    """Whether the training with the finding's remedy is still harmed: it reaches clearly less than with the other's."""
    if not finding.counts or not other.counts or finding.remedied is None or other.remedied is None:
        return False
    return finding.cause != other.cause and finding.remedied.leaves(other.remedied)


def rank(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, by standing; then suspicions, then notes; within these the cause before its effects.

    Of verified alarms of one severity, one whose remedy leaves the training harmed comes after the one that does more.
    """
    found = sorted(findings, key=urgency)
    for finding in list(found):
        more = [k for k, other in enumerate(found) if outdone(finding, other) and alike(finding, other)]
        if more and found.index(finding) < more[-1]:
            found.remove(finding)
            found.insert(more[-1], finding)
    return tuple(found)


def alike(finding: Finding, other: Finding) -> bool:
    return (finding.severity, finding.standing) == (other.severity, other.standing)


def inside(title: str) -> str:
    """A title within a sentence: its first word in lower case, unless it is a name or an abbreviation.

    >>> inside("All units in relu died"), inside("MSE loss grew")
    ('all units in relu died', 'MSE loss grew')
    """
    return title[:1].lower() + title[1:] if title[1:2].islower() or title[1:2] == " " else title
