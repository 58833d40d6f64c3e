"""What a fix is: the changes that were accepted, with the evidence, and what is left to be done by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.findings import Finding, Findings
from thalweg.fix.change import Change
from thalweg.fix.manual import Manual
from thalweg.fix.search import Tried
from thalweg.fix.trial import Effect
from thalweg.plan import FIELDS, Plan

if TYPE_CHECKING:
    from thalweg.build import ModelSource
    from thalweg.experiment import Experiment
    from thalweg.run import Run


@dataclass(frozen=True)
class Cost:
    """What the search for a fix took.

    Args:
        seconds: of this thread's own time, which a busy machine does not lengthen.
        trainings: the same in trainings of the run's length.
        steps: updates of all trials, in those of one training.
        trials: candidates that were trained.
    """

    seconds: float
    trainings: float
    steps: float
    trials: int

    def __str__(self) -> str:
        return f"{self.trials} changes tried in {self.seconds:.1f} s, {self.trainings:.2f} of the training's time"


@dataclass(frozen=True)
class Fix:
    """The remedies of a run, tried on paired trainings.

    `experiment.train(fix.plan)` trains by it where only the plan changed; `fix.experiment.train(fix.plan)` always does.

    Args:
        run: name of the run.
        before: the plan it was trained by.
        plan: the same with the accepted changes.
        experiment: the experiment with the accepted changes of network and loss; the one given where there are none.
        effect: what all accepted changes gain together over the run's own training, on fresh seeds; None where none
            was accepted.
        tried: every change that was tried, the accepted ones first.
        manual: what must be done by hand.
        cost: what it took.
        findings: the run's, those whose remedy was accepted with `verified`.
        notes: what to know besides.
    """

    run: str
    before: Plan
    plan: Plan
    experiment: "Experiment"
    effect: Effect | None
    tried: tuple[Tried, ...]
    manual: tuple[Manual, ...]
    cost: Cost
    findings: Findings = field(default_factory=Findings)
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> tuple[Tried, ...]:
        """The changes that beat the training without them."""
        return tuple(each for each in self.tried if each.accepted)

    @property
    def model(self) -> "ModelSource":
        """The model with the accepted changes: as it was given where no network was changed."""
        return self.experiment.model

    @property
    def loss(self) -> str | None:
        """Name of the loss that takes the place of the experiment's; None where it stays."""
        return next((each.change.loss for each in self.accepted if each.change.loss is not None), None)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Each accepted change with its gain."""
        return tuple(f"{each.change.text}: {each.effect}" for each in self.accepted)

    @property
    def rejected(self) -> list[str]:
        """Each change that was not accepted, and why."""
        return [f"{each.change.text}: {outcome_of(each)}" for each in self.tried if not each.accepted]

    @property
    def diff(self) -> str:
        """The accepted changes as a diff of the plan, and the lines that change network and loss."""
        return "\n".join(diff_lines(self.before, self.plan, [each.change for each in self.accepted]))

    def train(self, **options: Any) -> "Run":
        """Trains by the fix; the arguments are those of `Experiment.train`."""
        return self.experiment.train(self.plan, **options)

    def __str__(self) -> str:
        return "\n".join(lines_of(self))

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """The record of the fix, as JSON values."""
        return {
            "run": self.run,
            "before": self.before.to_json(),
            "plan": self.plan.to_json(),
            "effect": None if self.effect is None else self.effect.to_json(),
            "tried": [tried_json(each) for each in self.tried],
            "manual": [each.to_json() for each in self.manual],
            "cost": vars(self.cost),
            "diff": self.diff,
            "notes": list(self.notes),
        }


def tried_json(tried: Tried) -> dict[str, Any]:
    change = tried.change
    return {
        "name": change.name,
        "text": change.text,
        "causes": list(change.causes),
        "changes_network": change.network is not None,
        "loss": change.loss,
        "score": tried.score,
        "share": tried.share,
        "effect": None if tried.effect is None else tried.effect.to_json(),
        "accepted": tried.accepted,
        "reason": tried.reason,
    }


def diff_lines(before: Plan, after: Plan, changes: Sequence[Change]) -> list[str]:
    """`- optimizer = SGD(lr=1.0)`, `+ optimizer = SGD(lr=0.1)`, and `~ model: leaky ReLU ...` for what no plan holds.

    >>> from thalweg.parts.optimizers import SGD
    >>> plan = Plan(optimizer=SGD(lr=1.0))
    >>> diff_lines(plan, plan.replace(clip_norm=1.0), [])
    ["- clip_norm = 'auto'", '+ clip_norm = 1.0']
    """
    lines = []
    for name in FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            lines += [f"- {name} = {old!r}", f"+ {name} = {new!r}"]
    for change in changes:
        if change.beyond_plan:
            what = "model" if change.network is not None else "experiment"
            lines.append(f"~ {what}: {change.text}")
            lines += [f"    by hand: {change.lines}"] if change.lines else []
    return lines


def lines_of(fix: Fix) -> list[str]:
    """The fix as a person reads it."""
    lines = []
    if fix.effect is not None:
        count = len(fix.accepted)
        changes = "One change is" if count == 1 else f"{count} changes are"
        lines += [f"{changes} accepted for {fix.run}: {fix.effect}", *(f"  {line}" for line in diff_lines(
            fix.before, fix.plan, [each.change for each in fix.accepted]))]  # fmt: skip
        if count > 1:
            lines += [f"  {line}" for line in fix.evidence]
    elif fix.tried:
        lines.append(f"Nothing is accepted for {fix.run}: no change beats the training without it.")
    else:
        lines.append(f"There is nothing to try for {fix.run}.")
    if fix.rejected:
        lines += ["not accepted", *(f"  {line}" for line in fix.rejected)]
    if fix.manual:
        lines.append("by hand")
        for each in fix.manual:
            lines += [f"  {each.code}: {each.text}", *(f"    {line}" for line in each.lines)]
    return [*lines, str(fix.cost), *fix.notes]


def outcome_of(tried: Tried) -> str:
    """Why a change was not accepted, with its numbers."""
    if tried.effect is not None:
        return f"{tried.reason}: {tried.effect}"
    reached = "" if tried.score is None else f" ({tried.score:.3f} after {tried.share:.0%} of the steps)"
    return f"{tried.reason}{reached}"


def verified(finding: Finding, accepted: Sequence[Tried]) -> Finding:
    """The finding with the measured effect of the change that mends its cause, where one was accepted."""
    from dataclasses import replace

    for tried in accepted:
        if finding.cause in tried.change.causes and tried.effect is not None and finding.severity != "note":
            return replace(finding, verified=f"{tried.change.text}: {tried.effect}", standing="verified")
    return finding
