"""The form in which a population trains: the fastest of those that compute the same, timed on the spot.

The loop over ordinary steps is always among them, so that nobody loses by asking for a population.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import map_inputs
from thalweg.train.compiled import WORTH, WORTH_SECONDS, in_short, shape_of
from thalweg.train.losses import LossFunction
from thalweg.train.population.compiled import Compiled
from thalweg.train.population.fidelity import agrees
from thalweg.train.population.forward import batched
from thalweg.train.population.loop import Loop
from thalweg.train.population.members import Member, bucket_of, refused
from thalweg.train.population.population import Population, one_of
from thalweg.train.population.tape import NotBatched
from thalweg.train.population.vmapped import vmapped
from thalweg.train.step import Window

SAMPLE = 4  # members that the loop is timed on
ROUNDS = 3
EXPECTED = 0.5  # of a step's time that one graph saves
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative difference of the first losses that rounding explains
COMPILED: dict[Hashable, tuple[float, float]] = {}  # seconds that a graph took before, and how many times as quick


@dataclass(frozen=True)
class Choice:
    """What a population trains in.

    Args:
        form: `Population` or `Loop`.
        reason: what was measured, and why others were left out.
        seconds: of a step, by form.
    """

    form: Population | Loop
    reason: str
    seconds: dict[str, float]


def choose(
    members: Sequence[Member], loss: LossFunction, window: Window, *, num_steps: int, own: bool = False
) -> Choice:
    """The fastest form of a population, never slower than the loop. What was given stays as it is.

    Args:
        members: of one bucket; others go in a loop.
        loss: `(output, target) -> scalar`.
        window: the first batch, as `Population` takes it.
        num_steps: updates that each is to make, which decides whether compiling is worth it.
        own: whether each member has batches of its own.
    """
    loop, seconds, tried = Loop(members, loss, own=own), {}, []
    if len({bucket_of(member) for member in members}) > 1:
        return Choice(loop, "the members differ in more than numbers", {})
    if why := next(filter(None, map(refused, members)), "") or ("one member" if len(members) == 1 else ""):
        return Choice(loop, why, {})
    positions = None if members[0].rows is None else torch.arange(len(window[0][1]))
    trial = Trial(members, loss, window, own, positions)
    seconds["loop"] = trial.loop_seconds()
    found: dict[str, Population] = {}
    for name, make in (("batched", batched), ("vmap", vmapped)):
        try:
            found[name] = trial.population(make)
            seconds[name] = seconds_of(found[name], trial)
        except NotBatched as error:
            tried.append(f"{name}: {error}")
        if name in found and seconds[name] < seconds["loop"]:
            break  # vmap is for what has no batched form: where both can, it is the slower one
    traceable = next(iter(found), "")  # the batched form, where there is one: the compiler sees through it
    if found and (why := compile_if_worth(found[traceable], trial, seconds, num_steps)):
        tried.append(why)
    if min(seconds.values()) < seconds["loop"]:  # once more, in case that other work on the machine slowed it
        seconds["loop"] = min(seconds["loop"], trial.loop_seconds())
    best = min(seconds, key=seconds.__getitem__)
    shown = ", ".join(f"{name} {1e3 * value:.2f} ms" for name, value in seconds.items())
    reason = "; ".join([f"{best} is the fastest: {shown} per step of all members", *tried])
    if best == "loop":
        return Choice(loop, reason, seconds)
    chosen = found[traceable if best == "compiled" else best]
    if best != "compiled":
        chosen.compiled = None
    return Choice(chosen, reason, seconds)


@dataclass
class Trial:
    """What forms are tried on."""

    members: Sequence[Member]
    loss: LossFunction
    window: Window
    own: bool
    positions: Tensor | None

    @property
    def few(self) -> Sequence[Member]:
        return self.members[:SAMPLE]

    def loop_seconds(self) -> float:
        """Of a step of all members one after the other."""
        some = Loop(self.few, self.loss, own=self.own)
        self.losses = self.step(some)
        return seconds_of(some, self) * len(self.members) / len(self.few)

    def step(self, form: Population | Loop) -> Tensor:
        """One step at a rate of 0: weights stay, state and buffers move."""
        batch = self.window[0]
        if self.own and len(form) < len(self.members):
            batch = tuple(map_inputs(lambda v: v[: len(form)], value) for value in batch)
        return form.step(batch, [0.0] * len(form), positions=self.positions)

    def population(self, make: Callable[..., Any]) -> Population:
        """The population in this form, if its first losses are those of the members by themselves.

        Raises:
            NotBatched: where the form cannot be had, or computes something else.
        """
        single = one_of(self.window, self.own)[0][0]
        if not agrees(self.members[0].network, single, training=True, make=make, own=self.own):
            raise NotBatched("its outputs or gradients differ from those of the networks by themselves")
        found = Population(self.members, self.loss, self.window, make=make, own=self.own)
        with kept(found):
            losses = self.step(found)[: len(self.few)]
        bound = CLOSE.get(losses.dtype, 1e-2) * (1 + self.losses.abs())
        apart = ~((losses - self.losses).abs() <= bound) & self.losses.isfinite()
        if bool(apart.any()):
            raise NotBatched(f"its losses are {losses.tolist()}, those of the networks {self.losses.tolist()}")
        return found


def compile_if_worth(population: Population, trial: Trial, seconds: dict[str, float], num_steps: int) -> str:
    """Compiles where the training is long enough to gain by it, and notes its time; why not, else."""
    quick = min(seconds.values())
    key = (bucket_of(trial.members[0]), len(trial.members), shape_of(trial.window), trial.own)
    expected = COMPILED.get(key)
    if expected is None and quick * num_steps < WORTH_SECONDS:
        return f"not compiled: the training takes about {quick * num_steps:.0f} s, compiling about 30"
    if expected is not None and quick * num_steps * (1 - 1 / expected[1]) < expected[0]:
        return f"not compiled: it took {expected[0]:.0f} s before, more than it would save"
    started = time.perf_counter()
    try:
        population.compiled = Compiled(population, trial.window)
        with kept(population):
            trial.step(population)
        spent = time.perf_counter() - started
        found = seconds_of(population, trial)
    except Exception as error:  # a compiler fails in many ways: an operation it lacks, a disk without room
        population.compiled = None
        return f"cannot be compiled: {in_short(error)}"
    COMPILED[key] = spent, max(quick / found, 1.0)
    if quick / found < WORTH:
        population.compiled = None
        return f"compiled it is {quick / found:.2f} times as quick"
    seconds["compiled"] = found
    return ""


class kept:  # noqa: N801 - a block, as `untouched`
    """Within it a population may train; afterwards it is as it was."""

    def __init__(self, population: Population) -> None:
        self.tensors = population.live()

    def __enter__(self) -> None:
        self.values = [value.clone() for value in self.tensors]

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for tensor, value in zip(self.tensors, self.values, strict=True):
                tensor.copy_(value)


def seconds_of(form: Population | Loop, trial: Trial) -> float:
    """Of a step: the quickest of some, after one to warm up."""
    taken = []

    def measure() -> None:
        with global_rng_kept():
            for _ in range(ROUNDS + 1):
                started = time.perf_counter()
                trial.step(form).tolist()  # synchronizes
                taken.append(time.perf_counter() - started)

    if isinstance(form, Population):
        with kept(form):
            measure()
    else:
        measure()
    return min(taken[1:])
