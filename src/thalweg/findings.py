"""Findings: what a rule concludes from readings. Plain data, without torch."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import hypot
from typing import Any, Literal, get_args

Severity = Literal["error", "warning", "note"]
Standing = Literal["proven", "verified", "suspicion"]
Safety = Literal["safe", "changes training", "manual"]
Cause = Literal[
    "loss_head_mismatch",
    "label_corruption",
    "input_scale",
    "target_scale",
    "init_constant",
    "init_scale",
    "unstable_start",
    "vanishing",
    "exploding",
    "dead_units",
    "saturation",
    "no_nonlinearity",
    "lr_too_high",
    "lr_too_low",
    "optimizer_unsuitable",
    "gradient_accumulated",
    "parameters_not_trained",
    "train_eval_mode",
    "rows_mixed",
    "batchnorm_small_batch",
    "dropout_excess",
    "overfitting",
    "underfitting",
    "measures_disagree",
    "few_rows",
    "class_imbalance",
    "split_leak",
    "target_leak",
    "split_shift",
    "unshuffled",
    "too_few_epochs",
    "non_finite",
    "slow",
]
CAUSES: tuple[str, ...] = get_args(Cause)
SEVERITIES: tuple[str, ...] = get_args(Severity)
STANDINGS: tuple[str, ...] = get_args(Standing)
CLEARLY = 0.8  # of what another remedy reaches: the definition of harm, with that remedy as the reference


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of evidence: `never active on 4,096 inputs   195 / 512 units   (limit 10 %)`."""

    what: str
    value: str
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A rival cause, and the test that excluded it."""

    cause: str
    test: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change that may help.

    Args:
        text: what to do, in one sentence.
        safety: `"safe"` leaves a healthy training as good as it was, `"changes training"` may not, `"manual"` is for
            the user's own hands (labels, a loss, a loop).
        changes: plan fields and their new values, where a plan can do it: `{"clip_norm": 1.0}`.
    """

    text: str
    safety: Safety
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remedied:
    """What a twin of the training reached with the remedy.

    Args:
        score: on the validation rows.
        constant: what the best constant answer reaches there.
        half: two standard errors of what the remedy gains.
        measure: which score.
    """

    score: float
    constant: float
    half: float
    measure: str

    def leaves(self, other: "Remedied") -> bool:
        """Whether a training with this remedy is still harmed: the other reaches clearly more.

        Less than 0.8 of what the other reaches beyond a constant answer, beyond the errors of both.

        >>> Remedied(0.3, 0.1, 0.03, "accuracy").leaves(Remedied(0.5, 0.1, 0.04, "accuracy"))
        True
        """
        if (self.measure, self.constant) != (other.measure, other.constant):
            return False
        less = self.score - self.constant < CLEARLY * (other.score - other.constant)
        return less and other.score - self.score > hypot(self.half, other.half)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule concludes.

    Args:
        code: the rule's code, `"ACT03"`; `thalweg explain ACT03` prints its page.
        title: the headline, with the decisive number: `"38 % of units are dead"`.
        severity: `"error"` (the training is wrong), `"warning"` (it is harmed), `"note"` (a fact worth knowing).
        standing: `"proven"`, `"verified"` or `"suspicion"`.
        cause: a word of the vocabulary `CAUSES`.
        why: the mechanism, in one or two sentences.
        place: layer, parameter or column; empty for the whole training.
        step: the optimizer step it began at; None before the first step.
        remedied: what the training reaches with the remedy, where a twin showed it.
        verified: what an accepted remedy gained in paired trainings on other seeds; empty before `fix`.
    """

    code: str
    title: str
    severity: Severity
    standing: Standing
    cause: Cause
    why: str
    place: str = ""
    step: int | None = None
    evidence: tuple[Evidence, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    remedied: Remedied | None = None
    verified: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is an alarm: an error or a warning that is more than a suspicion."""
        return self.severity != "note" and self.standing != "suspicion"

    @property
    def where(self) -> str:
        """`"conv2, since step 1,840"`; a layer that has no name but its number is called a layer."""
        since = "before the first step" if self.step is None else f"since step {self.step:,}"
        numbered = re.fullmatch(r"\d+(\.\d+)*", self.place) and not self.code.startswith(("DATA", "LABEL"))
        return f"{f'layer {self.place}' if numbered else self.place or 'whole training'}, {since}"

    def __str__(self) -> str:
        """The finding as plain text, in the manner of rustc; the terminal draws the same in color."""
        kind = "suspicion" if self.standing == "suspicion" else self.severity
        lines = [f"{kind}[{self.code}]: {self.title}", f"  --> {self.where}"]
        wide = max((len(e.what) for e in self.evidence), default=0)
        limits = [f"  (limit {e.limit})" if e.limit else "" for e in self.evidence]
        lines += [f"   | {e.what:{wide}}  {e.value}{limit}" for e, limit in zip(self.evidence, limits, strict=True)]
        lines.append(f"   = why: {self.why}")
        lines += [f"   = fix ({remedy.safety}): {remedy.text}" for remedy in self.remedies]
        lines += [f"   = verified: {self.verified}"] if self.verified else []
        lines += [f"   = excluded: {rival.cause}: {rival.test}" for rival in self.excluded]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import finding_html

        return finding_html(self)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Finding":
        lists = {
            "evidence": tuple(Evidence(**e) for e in data["evidence"]),
            "excluded": tuple(Excluded(**e) for e in data["excluded"]),
            "remedies": tuple(Remedy(**r) for r in data["remedies"]),
        }
        reached = data.get("remedied")  # runs stored before it was told have none
        return cls(**{**data, **lists, "remedied": None if reached is None else Remedied(**reached)})


class Findings(tuple[Finding, ...]):
    """Findings that print one below the other; a notebook shows them as cards.

    >>> Findings()
    no findings
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n\n".join(map(str, self)) or "no findings"

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import findings_html

        return findings_html(self)
