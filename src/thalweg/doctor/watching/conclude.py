"""What is concluded when a watched loop is over: facts, then experiments on clones with the rows that were seen."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call, num_rows, take
from thalweg.data.rows import Rows as DataRows
from thalweg.data.task import Task, infer_task
from thalweg.doctor.check import Check, check
from thalweg.doctor.diagnose import Diagnosis, diagnose
from thalweg.doctor.watching import facts
from thalweg.doctor.watching.again import Again, answers, scored, try_again, try_lag
from thalweg.doctor.watching.modes import mode_gap
from thalweg.doctor.watching.optimizers import part_of
from thalweg.doctor.watching.own_loss import Answers, answers_of
from thalweg.doctor.watching.rows import FIRST_STEPS
from thalweg.doctor.watching.sample import Sample
from thalweg.doctor.watching.steps import StepWatch
from thalweg.errors import ThalwegError
from thalweg.findings import Findings
from thalweg.measure.head import Head, head_of
from thalweg.measure.nonfinite import locate_nonfinite
from thalweg.measure.proper import is_central
from thalweg.measure.untouched import untouched
from thalweg.probes.budget import Budget, budget_of
from thalweg.probes.rate_race import race
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all
from thalweg.rules.loop.order import in_order
from thalweg.rules.loop.repaired import asks_for_twin
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction

LEAST_ROWS = 32  # for the check
TWIN_SHARE = 0.4  # of what may be spent
LAG_SHARE = 0.3
LEAST_RACE = 1.0  # seconds
BLOCKS = 16  # of rows, over which the spread of a loss is taken
LEARNED = 2.0  # standard errors above a constant answer


@dataclass(frozen=True)
class Conclusion:
    """What is known when the loop is over."""

    findings: Findings
    diagnosis: Diagnosis
    check: Check | None
    unseen: tuple[str, ...]
    readings: Readings
    seconds: float


@dataclass(frozen=True)
class Material:
    """What experiments work on: the network at its start, the loss, the rows that were seen."""

    start: nn.Module
    last: nn.Module
    loss: LossFunction
    loss_name: str
    inputs: Inputs
    target: Tensor
    steps: Tensor
    task: Task
    head: Head


def conclude(
    watch: StepWatch,
    samples: Sequence[Sample],
    *,
    start: nn.Module | None,
    groups: Sequence[tuple[dict[str, object], Sequence[str]]],
    loss_fn: LossFunction | None,
    seconds: float,
    unseen: Sequence[str] = (),
    probes: bool = True,
) -> Conclusion:
    """Judges a loop. Nothing of it is touched: experiments train clones.

    Args:
        watch: what was seen.
        samples: the watched steps.
        start: the network before the first step; None where it could not be copied.
        groups: of the optimizer at the start.
        loss_fn: of the user's own, which wins over the one that was read off the loop.
        seconds: what the loop took.
        unseen: what could not be seen, with the reason.
        probes: whether there is time for experiments.
    """
    started = time.monotonic()
    readings, said, found_check = Readings(watch.readings), list(unseen), None
    with global_rng_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        readings.extend(facts.of_steps(watch, samples))
        readings.extend(facts.of_order(watch.rows))
        readings.extend(facts.of_losses(watch.losses, samples))
        if start is not None:
            readings.extend(facts.of_parameters(watch, start, samples))
            if watch.modes.norms:
                readings.add(Reading("loop.fresh_norms", float(watch.modes.fresh())))
        material = None if start is None else material_of(watch, samples, start, loss_fn, said)
        if material is not None and probes:
            found_check = experiment(watch, material, readings, groups, seconds=seconds, said=said)
    said += standing_limits(watch, readings)
    diagnosis = diagnose(readings)
    diagnosis = replace(diagnosis, verdict=verdict_of(diagnosis, readings, watch.count))
    return Conclusion(
        Findings(diagnosis.findings), diagnosis, found_check, tuple(dict.fromkeys(said)), readings,
        time.monotonic() - started,
    )  # fmt: skip


def experiment(
    watch: StepWatch,
    material: Material,
    readings: Readings,
    groups: Sequence[tuple[dict[str, object], Sequence[str]]],
    *,
    seconds: float,
    said: list[str],
) -> Check | None:
    """Experiments, the most telling first; their readings are added. Returns the check, where one was made."""
    budget = Budget(budget_of(seconds))
    again = again_of(watch, material, readings, groups)
    readings.extend(mode_gap(material.last, material, watch))
    if "nonfinite.step" in readings:
        readings.extend(first_nonfinite(watch, material))
    if asks_for_twin(readings):
        readings.extend(try_again(again, material.last, budget.part(TWIN_SHARE)))
    learned = has_learned(again, material)
    if learned is False and "nonfinite.step" not in readings and not asks_for_twin(readings):
        readings.extend(lagged(watch, again, material, budget.part(LAG_SHARE)))
    found = None
    if in_order(readings):
        said.append("the data: rows came in order of their label, so that those seen are no sample of all")
    elif num_rows(material.inputs) < LEAST_ROWS:
        said.append(f"the data: only {num_rows(material.inputs)} different rows were seen")
    else:
        found = checked(watch, material, readings, said)
        if found is not None:
            readings.extend(found.readings)
            if asks_for_twin(readings) or at_fault(readings):
                said.append("the rate: the loop itself is unusual, so that what it reached says nothing about the rate")
            else:
                readings.extend(fit_of(material, watch.count))
                readings.extend(raced(watch, material, readings, budget, said))
    return found


def at_fault(readings: Readings) -> bool:
    """Whether a rule about loops raises an alarm."""
    rules = [rule for rule in all_rules() if rule.code.startswith("LOOP")]
    return any(finding.counts for finding in judge_all(readings, rules).findings)


def material_of(
    watch: StepWatch, samples: Sequence[Sample], start: nn.Module, loss_fn: LossFunction | None, said: list[str]
) -> Material | None:
    """What experiments work on; None where loss, target or rows are not known, and `said` tells why."""
    joined = watch.rows.joined()
    loss = loss_fn or watch.loss
    if joined is None or loss is None:
        reasons = [s.reason for s in samples if s.reason]
        if not watch.called:
            reason = "the network was never called as a whole, model(x); pass the module that the loop calls"
        else:
            reason = reasons[-1] if reasons else "no backward was seen between the network's output and the step"
        said.append(f"loss, data and rate: {reason}")
        return None
    inputs, target, steps = joined
    with untouched(start):
        few = take(inputs, torch.arange(min(num_rows(inputs), 64)))
        start = answers_of(start, few)
        output = call(start, few)
        if not isinstance(output, Tensor):
            said.append(f"loss, data and rate: the network returns {type(output).__name__}, not one tensor")
            return None
        output, head = output.detach(), head_of(output)
    name = "" if watch.loss is None else watch.loss.name
    task = task_of(target, output, name)
    if task.kind == "regression":
        head = replace(head, central=is_central(loss, output, target[: len(output)]))
    if loss_fn is None:
        said.append("losses that weights add outside of the network's output are taken as constants")
    if watch.rows.odd:
        said.append(f"{watch.rows.odd} batches whose rows have another shape than those of the first")
    last = clone(watch.inner)
    last = Answers(last) if isinstance(start, Answers) else last
    return Material(start, last, loss, name, inputs, target, steps, task, head)


def task_of(target: Tensor, output: Tensor, name: str) -> Task:
    """What is predicted, as far as target and outputs tell."""
    if name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss") and target.shape == output.shape:
        return Task("regression", (), target[0].numel(), "as given")
    if not target.is_floating_point() and target.dim() == 1 and output.dim() == 2 and output.shape[1] > 1:
        classes = tuple(range(max(output.shape[1], int(target.max()) + 1)))
        return Task("binary" if len(classes) == 2 else "multiclass", classes, len(classes), "as given")
    return infer_task(target.cpu(), loss_name=None)


def again_of(
    watch: StepWatch, material: Material, readings: Readings, groups: Sequence[tuple[dict[str, object], Sequence[str]]]
) -> Again:
    assert watch.optimizer is not None
    return Again(
        start=material.start,
        loss=material.loss,
        inputs=material.inputs,
        target=material.target,
        task=material.task,
        head=material.head,
        groups=[(o, [f"model.{n}" for n in names]) for o, names in groups]
        if isinstance(material.start, Answers)
        else groups,
        kind=type(watch.optimizer),
        rate=readings.value("loop.peak_rate") or 0.0,
        batch_size=watch.rows.batch_size,
        steps=watch.count,
    )


def has_learned(again: Again, material: Material) -> bool | None:
    """Whether the last weights answer the rows seen better than a constant, beyond chance."""
    found = scored(again, material.last, torch.arange(num_rows(material.inputs)))
    return None if found is None else found.value - found.constant > LEARNED * found.error


def lagged(watch: StepWatch, again: Again, material: Material, budget: Budget) -> list[Reading]:
    """Whether targets belong to a neighboring batch; told by the first batches, which came one after the other."""
    first = [(step, i, t) for step, i, t in watch.rows.batches if step < FIRST_STEPS]
    if len(first) < FIRST_STEPS // 2 or not isinstance(material.inputs, Tensor):
        return []
    inputs, target = torch.cat([i for _, i, _ in first if isinstance(i, Tensor)]), torch.cat([t for *_, t in first])
    steps = torch.cat([torch.full((len(t),), step) for step, _, t in first])
    return try_lag(replace(again, inputs=inputs, target=target), steps, material.last, budget)


def first_nonfinite(watch: StepWatch, material: Material) -> list[Reading]:
    """The operation that lost the numbers, where they were lost on the way through the untrained network."""
    rows = torch.arange(min(num_rows(material.inputs), 64))
    inputs, target = take(material.inputs, rows), material.target[rows.to(material.target.device)]
    try:
        return locate_nonfinite(clone(material.start).train(), material.loss, inputs, target, step=0, seed=0)
    except Exception:  # a loss or a network that cannot be called again so
        return []


def checked(watch: StepWatch, material: Material, readings: Readings, said: list[str]) -> Check | None:
    """The check on the rows that were seen."""
    rows = DataRows(material.inputs, material.target, torch.arange(num_rows(material.inputs)), "train")
    assert watch.optimizer is not None
    optimizer, rate = part_of(watch.optimizer), readings.value("loop.peak_rate")
    if optimizer is not None:
        optimizer = replace(optimizer, lr=rate) if rate else None
    try:
        return check(
            material.start,
            material.loss,
            loss_name={"cross_entropy": "cross_entropy"}.get(material.loss_name),
            task=material.task,
            rows=rows,
            optimizer=optimizer,
            device=material.target.device,
            batch_size=max(watch.rows.batch_size, 1),
            num_steps=watch.count,
        )
    except ThalwegError as error:
        said.append(f"the check: {error}")
    except Exception as error:  # of a network or a loss that only its own loop can call
        said.append(f"the check: network and loss could not be run again ({type(error).__name__}: {error})")
    return None


def fit_of(material: Material, step: int) -> list[Reading]:
    """`fit.train_loss`: the loss of the last weights on the rows seen, in evaluation mode."""
    output = answers(material.last, material.inputs)
    if output is None or not bool(output.isfinite().all()):
        return []
    blocks: Any = torch.arange(len(output), device=output.device)
    with torch.no_grad():
        values = [
            float(material.loss(output[part], material.target[part]))
            for part in blocks.split(max(len(output) // BLOCKS, 2))
            if len(part) > 1
        ]
    sample = torch.tensor(values, dtype=torch.float64)
    half = 2 * float(sample.std()) / len(sample) ** 0.5 if len(sample) > 1 else 0.0
    mean = float(sample.mean())
    return [Reading("fit.train_loss", mean, step=step, low=mean - half, high=mean + half, count=len(output))]


def raced(watch: StepWatch, material: Material, readings: Readings, budget: Budget, said: list[str]) -> list[Reading]:
    """The race of rates, where there is time and the optimizer is one of ours."""
    assert watch.optimizer is not None
    part, rate = part_of(watch.optimizer), readings.value("loop.peak_rate")
    if part is None or not rate:
        said.append(f"the rate: a race of {type(watch.optimizer).__name__} cannot be run")
        return []
    seconds = budget.left
    if seconds < LEAST_RACE:
        said.append("the rate: the time that experiments may take was spent before")
        return []
    rows = DataRows(material.inputs, material.target, torch.arange(num_rows(material.inputs)), "train")
    try:
        found = race(
            material.start,
            material.loss,
            replace(part, lr=rate),
            rows,
            batch_size=max(1, min(watch.rows.batch_size, num_rows(material.inputs) // 4)),
            decay_all=True,
            device=material.target.device,
            seconds=0.6 * seconds,
            training_steps=watch.count,
        )
    except Exception as error:
        said.append(f"the rate: no race could be run ({type(error).__name__}: {error})")
        return []
    # What was held out in the race was learned from in the loop.
    plan = [Reading("plan.rate", rate), Reading("plan.steps", watch.count)]
    return [*plan, *found.readings]


def standing_limits(watch: StepWatch, readings: Readings) -> list[str]:
    """What cannot be judged from inside a loop at all."""
    said = ["generalization: no validation rows with their targets are seen from here"]
    if watch.compiled:
        said.append("activations and modes: inside of a compiled network nothing is seen")
    if watch.count and not watch.losses:
        said.append("the whole curve of the loss: watch.step(loss) was not called, so only watched steps are known")
    if not watch.count:
        said.append("everything: the optimizer made no step")
    return said


def verdict_of(diagnosis: Diagnosis, readings: Readings, steps: int) -> str:
    """One sentence."""
    if not steps:
        return "Not judged: the optimizer made no step inside of the block."
    if any(f.counts for f in diagnosis.findings):
        return diagnosis.verdict
    doubts = [f for f in diagnosis.findings if f.severity != "note"]
    known = "" if not doubts else f", with a suspicion: {doubts[0].title}"
    return f"No fault was found in {steps:,} steps, as far as a loop can be judged from outside{known}."
