"""The loop once more as it is usually written, on the rows that were seen: the twin that a fault of the loop has."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.data.rows import Inputs, call, num_rows, take
from thalweg.data.task import Task
from thalweg.measure.head import Head
from thalweg.measure.score import Score, score
from thalweg.probes.budget import Budget
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.evaluation import evaluating
from thalweg.train.losses import LossFunction

HELD = 0.25  # of the rows seen
LEAST_HELD = 40
MOST_EPOCHS = 30  # over the few rows: more would only learn them by heart
LEAST_STEPS = 20
CHUNK = 256


@dataclass(frozen=True)
class Again:
    """What the twin needs.

    Args:
        start: the network at the start; it is cloned.
        loss: `(output, target) -> scalar`.
        inputs: rows that were seen.
        target: theirs.
        task: how they are scored.
        head: of the network.
        groups: options of the optimizer's groups at the start, with the names of their parameters.
        kind: class of the optimizer.
        rate: the highest of the loop.
        batch_size: of the loop.
        steps: of the loop.
        seed: decides what is held out, order and noise.
    """

    start: nn.Module
    loss: LossFunction
    inputs: Inputs
    target: Tensor
    task: Task
    head: Head
    groups: Sequence[tuple[dict[str, Any], Sequence[str]]]
    kind: type[torch.optim.Optimizer]
    rate: float
    batch_size: int
    steps: int
    seed: int = 0

    def division(self) -> tuple[Tensor, Tensor] | None:
        """Numbers of the rows to train on and to score on."""
        count = num_rows(self.inputs)
        held = max(LEAST_HELD, round(HELD * count))
        if count < 3 * LEAST_HELD:
            return None
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))
        return order[held:], order[:held]


def groups_of(optimizer: torch.optim.Optimizer, network: nn.Module) -> list[tuple[dict[str, Any], list[str]]]:
    """Options and names of the parameters of each group; of parameters that are not the network's, none."""
    names = {id(p): name for name, p in network.named_parameters()}
    return [
        ({k: v for k, v in group.items() if k != "params"}, [names[id(p)] for p in group["params"] if id(p) in names])
        for group in optimizer.param_groups
    ]


def rebuilt(again: Again, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer on a clone: the same options at the highest rate; what it had missed joins the first group."""
    own = {name: p for name, p in network.named_parameters() if p.requires_grad}
    top = max((float(options.get("lr", 0.0)) for options, _ in again.groups), default=0.0)
    made = []
    missed = set(own) - {name for _, names in again.groups for name in names}
    for k, (options, names) in enumerate(again.groups):
        members = [own[name] for name in (*names, *(sorted(missed) if k == 0 else ())) if name in own]
        # A warm-up starts low: every group goes to its share of the highest rate.
        rate = again.rate * (float(options["lr"]) / top if top > 0 else 1.0)
        taken = {k: v for k, v in options.items() if k not in ("initial_lr", "maximize")}
        made.append({**taken, "lr": rate, "params": members})
    return again.kind([group for group in made if group["params"]], lr=again.rate)  # type: ignore[call-arg]


def batches(rows: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """Shuffled anew in every epoch; a short last batch is left out."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        order = rows[torch.randperm(len(rows), generator=draw)]
        yield from (part for part in order.split(size) if len(part) == min(size, len(rows)))  # type: ignore[no-untyped-call]


def train(again: Again, rows: Tensor, budget: Budget) -> tuple[nn.Module, int]:
    """A trained clone and its steps: gradients cleared, shuffled, in training mode, all parameters, descending."""
    network = clone(again.start)
    network.zero_grad()
    network.train()
    optimizer = rebuilt(again, network)
    size = max(1, min(again.batch_size, len(rows)))
    most = min(again.steps, MOST_EPOCHS * math.ceil(len(rows) / size))
    done = 0
    with global_rng_kept(), torch.enable_grad():
        for chosen in batches(rows, size, again.seed + 1):
            if done >= most or (done >= LEAST_STEPS and not budget.left):
                break
            seed_noise(again.seed, done)
            optimizer.zero_grad()
            again.loss(
                call(network, take(again.inputs, chosen)), again.target[chosen.to(again.target.device)]
            ).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done += 1
    return network, done


def answers(network: nn.Module, inputs: Inputs) -> Tensor | None:
    """Outputs in evaluation mode."""
    found = []
    with evaluating(network), global_rng_kept():
        for part in torch.arange(num_rows(inputs)).split(CHUNK):  # type: ignore[no-untyped-call]
            output = call(network, take(inputs, part))
            if not isinstance(output, Tensor):
                return None
            found.append(output)
    return torch.cat(found)


def scored(again: Again, network: nn.Module, rows: Tensor) -> Score | None:
    """The score of a network on some of the rows."""
    output = answers(network, take(again.inputs, rows))
    target = again.target[rows.to(again.target.device)]
    return None if output is None else score(output, target, task=again.task, head=again.head)


def try_again(again: Again, last: nn.Module, budget: Budget) -> list[Reading]:
    """`twin.plain_loop.*`: what the loop has reached on rows held out from its twin, and what the twin reaches there.

    The loop was trained on these rows too and its twin was not, and the twin has fewer steps: what it is better by is
    the least that the loop lost.
    """
    division = again.division()
    if division is None:
        return []
    trained, held = division
    try:
        network, steps = train(again, trained, budget)
    except Exception:  # an optimizer or a loss with a state of its own
        return []
    changed = scored(again, network, held)
    if changed is None:
        return []
    return compared("plain_loop", scored(again, last, held), changed, steps / max(again.steps, 1))


def compared(name: str, plain: Score | None, changed: Score, steps: float) -> list[Reading]:
    """Two scores of the same rows as readings; of a network whose numbers were lost that of a constant answer."""
    each = torch.full_like(changed.each, changed.constant) if plain is None else plain.each
    difference = changed.each - each
    error = float(difference.std()) / math.sqrt(len(difference))
    value, reached = float(difference.mean()), float(each.mean())
    return [
        Reading(f"twin.{name}.plain", reached, count=len(each), note=changed.name),
        Reading(f"twin.{name}.changed", changed.value, count=len(each), note=changed.name),
        Reading(f"twin.{name}.difference", value, low=value - 2 * error, high=value + 2 * error, count=len(each)),
        Reading(f"twin.{name}.constant", changed.constant),
        Reading(f"twin.{name}.steps", steps),
    ]


def try_lag(again: Again, steps: Tensor, last: nn.Module, budget: Budget) -> list[Reading]:
    """`lag.given` and `lag.shifted`: whether targets belong to the inputs of the next batch, or of the one before.

    Twins learn the pairs as they came and shifted by one batch; on rows held out the shifted ones are learned only
    where they belong together. With no more than chance on the pairs as they came, that is a proof by experiment.
    """
    pairs = {shift: shifted(again, steps, shift) for shift in (0, 1, -1)}
    if any(pair is None for pair in pairs.values()):
        return []
    found: list[Reading] = []
    for number, (shift, pair) in enumerate(pairs.items()):
        assert pair is not None
        division = pair.division()
        if division is None:
            return []
        try:
            network, done = train(pair, division[0], budget.part(1 / (3 - number)))
        except Exception:  # as above
            return []
        if (reached := scored(pair, network, division[1])) is None:
            return []
        gain, error = reached.value - reached.constant, reached.error
        place = {0: "given", 1: "next", -1: "before"}[shift]
        note = reached.name
        found.append(
            Reading("lag.gain", gain, place, done, gain - 3 * error, gain + 3 * error, len(reached.each), note)
        )
    return found


def shifted(again: Again, steps: Tensor, shift: int) -> Again | None:
    """The rows of neighboring batches, with the inputs of the batch `shift` further on."""
    marks = steps.tolist()
    where: dict[int, list[int]] = {}
    for row, step in enumerate(marks):
        where.setdefault(step, []).append(row)
    inputs, targets = [], []
    for step, rows in where.items():
        other = where.get(step + shift)
        neighbors = step + 1 in where and step - 1 in where
        if neighbors and other is not None and len(other) == len(rows):
            inputs += other
            targets += rows
    if not inputs:
        return None
    chosen = torch.tensor(targets, device=again.target.device)
    return replace(again, inputs=take(again.inputs, torch.tensor(inputs)), target=again.target[chosen])
