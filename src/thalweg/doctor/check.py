"""The check: everything that can be told about a network, its loss and its data before the first step (L01, L35)."""

import math
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import AnyRows, Inputs, num_rows
from thalweg.data.task import Task
from thalweg.doctor.before import measure, outputs_of
from thalweg.doctor.bench import Bench, bench, forward_seconds
from thalweg.doctor.diagnose import merge
from thalweg.doctor.diagnosis import IgnoredFinding, ignored_lines
from thalweg.doctor.effects import explain
from thalweg.doctor.examinations import BEFORE, MEASUREMENTS, examine_before
from thalweg.doctor.ignore import Wishes, is_of
from thalweg.doctor.order import rank
from thalweg.doctor.unjudged import broken
from thalweg.findings import Findings
from thalweg.parts.optimizers import Optimizer
from thalweg.probes.budget import Budget, budget_of
from thalweg.readings import Reading, Readings
from thalweg.rules import Rule, all_rules, judge_all
from thalweg.train.losses import LossFunction

CHECK_SHARE = 0.5  # of what check and diagnosis may spend together
STEP_FACTOR = 3  # a backward pass costs about two forward passes


@dataclass(frozen=True)
class Check:
    """What a check found.

    Args:
        findings: alarms first, then suspicions, then notes.
        readings: everything that was measured.
        passed: codes of the rules that judged and found nothing.
        not_judged: codes of the rules that could not judge.
        facts: short texts worth a line: `"loss at start 2.31 (ln 10 = 2.30)"`.
        seconds: how long it took.
        ignored: findings that were left out because the user said so.
        unused: what the user asked to ignore, though no rule that judges now found it.
    """

    findings: Findings
    readings: Readings
    passed: tuple[str, ...]
    not_judged: tuple[str, ...]
    facts: tuple[str, ...]
    seconds: float
    ignored: tuple[IgnoredFinding, ...] = ()
    unused: tuple[str, ...] = ()

    def wished(self, wishes: Wishes) -> "Check":
        """The check with the rules that the user selected, without the findings to be ignored."""
        kept, ignored, unused = wishes.kept(self.findings)
        judged_now = [code for code in (rule.code for rule in rules_before()) if wishes.selects(code)]
        return replace(
            self,
            findings=Findings(kept),
            passed=tuple(filter(wishes.selects, self.passed)),
            not_judged=tuple(filter(wishes.selects, self.not_judged)),
            ignored=tuple(ignored),
            # One that is meant for a rule which judges later is not called unused yet.
            unused=tuple(
                str(w) for w in wishes.ignore if str(w) in unused and any(is_of(c, w.code) for c in judged_now)
            ),
        )

    def __repr__(self) -> str:
        alarms = sum(f.counts for f in self.findings)
        head = f"check: {len(self.passed)} passed, {alarms} alarm{'' if alarms == 1 else 's'}, {self.seconds:.1f} s"
        below = ignored_lines(self.ignored, self.unused)
        return "\n".join([head, *(f"  {fact}" for fact in self.facts), *map(str, self.findings), *below])

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import check_html

        return check_html(self)


def check(
    network: nn.Module,
    loss: LossFunction,
    *,
    loss_name: str | None,
    task: Task,
    rows: AnyRows,
    transform: Callable[[Inputs], Inputs] | None = None,
    target_transform: Callable[[Tensor], Tensor] | None = None,
    optimizer: Optimizer | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    probes: bool = True,
    batch_size: int = 64,
    validation: AnyRows | None = None,
    num_steps: int | None = None,
    gentle: bool = False,
    known: Iterable[Reading] = (),
) -> Check:
    """Examines a training before its first step: measures, probes on clones, judges.

    The network, its buffers and modes, and the global random generators are bit-identical afterwards.

    Args:
        network: any module; it is cloned.
        loss: `(output, target) -> scalar`.
        loss_name: its name, or None for a loss of the user's own.
        task: kind and classes.
        rows: the training rows; a sample of at most 1,024 is drawn.
        transform: what prepares the inputs.
        target_transform: what prepares the targets.
        optimizer: of the plan; probes use its rate where it has one, else Adam at rates of their own.
        seed: decides sample and noise.
        device: where it runs.
        probes: whether to train clones for a moment: overfit a few rows, try remedies that the readings call for.
        batch_size: rows per step of the training to come.
        validation: the validation rows, of which a sample is compared with the training rows.
        num_steps: updates of the training to come, whose time decides what the probes may spend: at least 2.5 s.
        gentle: whether a warm-up or clipping shortens its first steps.
        known: what was measured before: of all parts of the data at their split.

    Raises:
        ModelError: where the network cannot run on the rows, naming the layer; or has nothing to train.
        TrainingError: where the loss cannot be taken, or is no scalar.

    >>> from thalweg.data.rows import Rows
    >>> x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    >>> rows = Rows(x, (x[:, 0] > 0).long(), torch.arange(64), "train")
    >>> net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2), nn.Softmax(1))
    >>> task = Task("binary", (0, 1), 2)
    >>> found = check(net, nn.functional.cross_entropy, loss_name="cross_entropy", task=task, rows=rows)
    >>> found.findings[0].title
    'After softmax the loss cannot fall below 0.3133; other outputs reach 0'
    """
    started = time.monotonic()
    # Warnings of torch about the very things that are examined (broadcasting, a softmax without dim) become findings.
    with global_rng_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = bench(
            network,
            loss,
            task=task,
            rows=rows,
            validation=validation,
            transform=transform,
            target_transform=target_transform,
            optimizer=optimizer,
            batch_size=batch_size,
            seed=seed,
            device=device,
        )
        prepared = replace(prepared, budget=budget_for(prepared, num_steps), num_steps=num_steps, gentle=gentle)
        readings = Readings([*known, *measure(prepared, Readings())])
        prepared = replace(prepared, head=outputs_of(prepared)[1])
        if math.isfinite(readings.value("loss.initial") or 0.0):
            examine_before(prepared, readings, BEFORE if probes else MEASUREMENTS)
    judged = judge_all(readings, rules_before())
    return Check(
        findings=Findings(rank(explain(merge(judged.findings))[0])),
        readings=readings,
        passed=judged.passed,
        not_judged=judged.not_judged,
        facts=facts(readings, loss_name),
        seconds=time.monotonic() - started,
    )


def budget_for(prepared: Bench, num_steps: int | None) -> Budget:
    """The check's part of what all experiments may spend, by the time of a step as the forward pass foretells it."""
    few, _ = prepared.first(prepared.batch_size)
    step_seconds = STEP_FACTOR * forward_seconds(prepared.network, few) * prepared.batch_size / num_rows(few)
    return Budget(CHECK_SHARE * budget_of(step_seconds * (num_steps or 0)))


def rules_before() -> list[Rule]:
    """The rules that judge before the first step."""
    return [rule for rule in all_rules() if rule.stage == "check"]


def facts(readings: Readings, loss_name: str | None) -> tuple[str, ...]:
    """Short texts for the terminal."""
    found = []
    initial, uniform = readings.value("loss.initial"), readings.value("loss.uniform")
    if initial is not None and uniform is not None:
        classes = readings.value("task.classes")
        logs = {"cross_entropy": classes, "nll": classes, "binary_cross_entropy": 2.0}
        base = logs.get(loss_name or "")
        known = base is not None and math.isclose(uniform, math.log(base), rel_tol=1e-4)
        found.append(f"loss at start {initial:.3g} ({f'ln {base:.0f}' if known else 'undecided'} = {uniform:.3g})")
    rows, steps = readings.value("overfit.rows"), readings.value("overfit.steps")
    if rows is not None and steps is not None:
        found.append(f"fits {rows:.0f} rows in {steps:.0f} steps")
    return (*found, *broken(readings))
