"""Sees steps of a loop through hooks on the network and the optimizer, without changing a bit of it.

Between watched steps one hook on the optimizer counts. For a watched one hooks are put on the network before it and
taken off after it; a tape runs from the network's output to the optimizer's step.
"""

import time
from bisect import bisect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from math import ceil
from statistics import median
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thalweg.doctor.watching.clipping import SCALED, shrunk
from thalweg.doctor.watching.harmless import harmless
from thalweg.doctor.watching.idle import HOOK, Idle
from thalweg.doctor.watching.losses import Losses
from thalweg.doctor.watching.own_loss import OwnLoss
from thalweg.doctor.watching.read import read_loss
from thalweg.doctor.watching.rows import SeenRows
from thalweg.doctor.watching.sample import ModeReader, Pass, Sample
from thalweg.measure.calls import first_tensor
from thalweg.measure.function_modes import insert, remove
from thalweg.measure.signal import Signal
from thalweg.measure.tape import NAMED_LOSSES, Tape, TapedLoss, chain, loss_in
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading

# Steps that are watched in any case: the beginning decides much, and later ones show other rows.
FIRST = 11
LIGHT = tuple(2**e for e in range(4, 60))  # watched briefly, whatever the share allows
FULL = frozenset((1, 10))  # where activations and updates are measured in any case
FULL_EVERY = 4  # of the steps watched as far as the share allows: the others show rows at a third of the cost
EACH = 4e-6  # seconds that a step costs which is not watched, by two hooks and a report (benchmarks/watching.py)
HEARING = 4e-6  # seconds that a reported loss costs
PART = 0.125  # of the share, for losses that are heard, and as much for the hook of passes without gradient
GRADED = (0, 1, 2, 5, 10)  # where the gradients' norms are measured
VERIFIED = 2  # losses that are repeated and compared bit by bit
COMPARED = 3  # parameters, of at most COMPARED_SIZE entries, whose gradients are remembered over a step
COMPARED_SIZE = 2**16


class StepWatch:
    """Watches the steps of one optimizer on one network.

    Args:
        network: as the loop calls it.
        inner: the same, or the module inside of a compiled one.
        share: of the loop's time that watching may take.
        on_sample: gets each watched step when it is over.
    """

    def __init__(
        self, network: nn.Module, inner: nn.Module, *, share: float, on_sample: Callable[[Sample], None]
    ) -> None:
        self.network, self.inner, self.share, self.on_sample = network, inner, share, on_sample
        self.compiled = inner is not network or network._compiled_call_impl is not None
        self.optimizer: torch.optim.Optimizer | None = None
        self.rows, self.modes = SeenRows(), ModeReader(inner)
        self.losses = Losses()
        self.idle = Idle(network, self.modes, lambda: self.count)
        self.readings: list[Reading] = []
        self.loss: TapedLoss | OwnLoss | None = None
        self.alternative: TapedLoss | None = None  # what the loop reports, where it descends another sign
        self.count = self.verified = 0
        self.broken = ""  # what went wrong with the watching itself
        self.called = False  # whether the network was ever called as a whole
        self.sample: Sample | None = None
        self.closed: Sample | None = None  # the last one, until the loss is reported
        self.spent = 0.0
        self.missing: dict[str, nn.Parameter] = {}
        self._signal = None if self.compiled else Signal(inner)
        self._attached: AbstractContextManager[None] | None = None
        self._tape = Tape(self._backward, self._scaled_gradients)
        self._taping = False
        self._next = 0
        self._handles: list[RemovableHandle] = []  # of one watched step
        self._kept: list[RemovableHandle] = []
        self._old: list[tuple[nn.Parameter, Tensor, Tensor]] = []  # with its gradient, itself and as it was
        self._light_active = self._spent_before = 0.0
        self._costs: dict[bool, list[float]] = {False: [], True: []}  # seconds of light and of full watched steps
        self._watched = 0
        self._due = self._deaf_until = 0  # steps before which nothing is done, and no loss is heard
        self._every = 1  # of the reported losses
        self._entered = 0.0

    # ------------------------------------------------------------------ beginning and end

    def start(self, optimizer: torch.optim.Optimizer) -> None:
        """From here on the optimizer's steps count."""
        self.optimizer = optimizer
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.missing = {n: p for n, p in self.inner.named_parameters() if p.requires_grad and id(p) not in held}
        small = sorted((p for p in self.held() if 1 < p.numel() <= COMPARED_SIZE), key=Tensor.numel, reverse=True)
        self._compared = small[:COMPARED]
        self._kept.append(optimizer.register_step_post_hook(self._after_step))
        if self.modes.matters and not self.compiled:
            self.idle.start()
        self.started = time.perf_counter()
        self._arm(full=False)

    def held(self) -> list[nn.Parameter]:
        """Parameters that the optimizer steps."""
        assert self.optimizer is not None
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def stop(self) -> None:
        """Takes off everything; safe at any time."""
        self._disarm()
        self.sample = None
        for handle in self._kept:
            handle.remove()
        self._kept = []
        self.idle.stop()

    def report(self, loss: Any) -> None:
        """The loop says what its loss was in the step that it has just made; of quick steps not all are heard."""
        if self.count >= self._deaf_until:
            self._hear(loss)

    @harmless
    def _hear(self, loss: Any) -> None:
        self.losses.add(self.count - 1, loss)
        self._deaf_until = self.count + self._every
        if self.sample is not None and self.sample.backwards:  # backward came after the step
            self._close()
        if self.closed is not None:
            self._compare(loss)
            self._finish()

    # ------------------------------------------------------------------ one watched step

    def _arm(self, *, full: bool) -> None:
        started = time.perf_counter()
        step, full = self.count, full and self._signal is not None
        self._due = self._deaf_until = 0
        self.sample, self._spent_before = Sample(step, full=full), self.spent
        self._handles = [
            self.network.register_forward_pre_hook(self._enter, with_kwargs=True),
            self.network.register_forward_hook(self._leave, with_kwargs=True, always_call=True),
        ]
        if self.optimizer is not None:
            self._handles.append(self.optimizer.register_step_pre_hook(self._before_step))
            self._old = [(p, p.grad, p.grad.clone()) for p in self._compared if is_dense(p.grad)]
        if step > 1 and not self.called:
            self._begin_tape("cpu")
        if full and self._signal is not None:
            self._attached = self._signal.attached()
            self._attached.__enter__()
        self.spent += time.perf_counter() - started

    def _disarm(self) -> None:
        self._detach_signal()
        for handle in self._handles:
            handle.remove()
        self._handles, self._old = [], []
        if self._taping:
            remove(self._tape)
            self._taping = False
        self._tape.notes.clear()
        self._tape.noting = False

    def _begin_tape(self, device: str) -> None:
        if not self._taping:
            insert(self._tape)
            self._taping = True
        self._tape.begin(device)

    @harmless
    def _enter(self, network: nn.Module, args: Any, kwargs: Any) -> None:
        sample = self.sample
        if sample is None or not torch.is_grad_enabled() or in_backward():
            return
        started = time.perf_counter()
        if self.compiled and self._taping:  # a compiled network would be compiled anew under a mode
            remove(self._tape)
            self._taping = False
        if not sample.passes:
            self._entered = started
        with torch._C.DisableTorchFunction():
            sample.modes.append(self.modes.read())
        self.spent += time.perf_counter() - started

    @harmless
    def _leave(self, network: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        sample = self.sample
        if sample is None or not torch.is_grad_enabled() or in_backward():
            return
        started = time.perf_counter()
        if any(t.requires_grad for t in tensors_in(output)):
            self.called = True
            # Of several only the last is held: rows that are evaluated with gradients must not fill the memory.
            sample.passes[:] = [*[None] * len(sample.passes), Pass(args, kwargs, output)]
            found = first_tensor(output)
            self._begin_tape("cpu" if found is None else found.device.type)
        self.spent += time.perf_counter() - started

    def _detach_signal(self) -> None:
        if self._attached is not None:
            self._attached.__exit__(None, None, None)
            self._attached = None

    @harmless
    def _backward(self, root: Tensor) -> None:
        """Called right before `backward` runs."""
        sample = self.sample
        if sample is None:
            return
        started = time.perf_counter()
        sample.backwards += 1
        self._compare_gradients(sample)
        if sample.passes and root.dim() == 0:
            self._read_loss(sample, root)
        sample.passes.clear()
        self._tape.notes.clear()
        self.spent += time.perf_counter() - started

    def _compare_gradients(self, sample: Sample) -> None:
        """Whether the gradient of the step before is still there."""
        if sample.backwards == 1:
            sample.late = shrunk([(gradient, old) for _, gradient, old in self._old])
        left = [(p.grad, old) for p, _, old in self._old if p.grad is not None and p.grad.layout == old.layout]
        if not any(bool(g.any()) for g, _ in left):  # synchronizes
            sample.stale = False
        elif all(torch.equal(g, old) for g, old in left):
            sample.stale = True

    def _read_loss(self, sample: Sample, root: Tensor) -> None:
        links = chain(self._tape.notes, root)
        core = loss_in(links)
        sample.value, sample.links, sample.scale = core.tensor.detach(), links, core.factor
        seen = sample.passes[-1]
        if len(sample.passes) > 1 or seen is None:
            sample.reason = "the network is called several times for one loss"
            return
        notes, autocast = self._tape.notes, self._tape.autocast
        repeat = self.verified < VERIFIED
        found = read_loss(self.inner, seen, notes, links, autocast=autocast, repeat=repeat)
        if isinstance(found, str):
            sample.reason = found
            return
        self.verified += 1
        self.loss, self.alternative = found.function, found.alternative or self.alternative
        if isinstance(found.function, OwnLoss):
            links[-1] = replace(links[-1], name=found.function.name)
        self.rows.add(sample.step, found.inputs, found.target)

    @harmless
    def _scaled_gradients(self) -> None:
        if self.sample is not None and self.sample.scale >= SCALED:
            self.sample.raw = squared_norm(self.held()) ** 0.5

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> Any:
        """Looks at the gradients; where a closure computes them inside of the step, after the closure."""
        sample = self.sample
        if sample is None:
            return None
        closure = kwargs.get("closure") or next((a for a in args[1:] if callable(a)), None)
        if closure is None:
            self._look(sample)
            return None

        def observed(*given: Any, **named: Any) -> Any:
            result = closure(*given, **named)
            if sample.graded is None:
                self._look(sample)
            return result

        if "closure" in kwargs:
            return args, {**kwargs, "closure": observed}
        return tuple(observed if a is closure else a for a in args), kwargs

    @harmless
    @torch.no_grad()
    def _look(self, sample: Sample) -> None:
        started = time.perf_counter()
        self._detach_signal()
        with torch._C.DisableTorchFunction():
            assert self.optimizer is not None
            sample.rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups if "lr" in group)
            sample.graded = any(p.grad is not None and bool(p.grad.any()) for p in self.held())  # synchronizes
            if sample.raw:
                sample.stepped = squared_norm(self.held()) ** 0.5
            if self.missing and sample.step in GRADED:
                sample.missed = squared_norm(list(self.missing.values()))
                sample.squared = sample.missed + squared_norm(self.held())
            if sample.full and self._signal is not None:
                named = [(n, p) for n, p in self.inner.named_parameters() if p.requires_grad]
                names, parameters = [n for n, _ in named], [p for _, p in named]
                self._signal.before_update(names, parameters, [p.grad for p in parameters])
        self.spent += time.perf_counter() - started

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The only hook that runs in every step."""
        self.count += 1
        if self.count >= self._due:
            self._end_step()

    @harmless
    def _end_step(self) -> None:
        sample = self.sample
        if sample is None:
            if self.closed is not None:
                self._finish()
            if self.count >= self.idle.turn:
                self.idle.plan(PART * self.share * (time.perf_counter() - self.started) / self.count / HOOK)
            self._arm_if_due()
            return
        if self.closed is not None:  # the loss of the step before was not reported
            self._finish()
        if sample.backwards or self.count > sample.step + 1:
            self._close()

    def _close(self) -> None:
        sample = self.sample
        assert sample is not None
        started = time.perf_counter()
        active = started - self._entered if self._entered else 0.0
        if sample.full and sample.graded is not None and self._signal is not None:
            with torch.no_grad():
                self._signal.after_update()
            self.readings += self._signal.readings(sample.step)
            self._signal.forget()
        self._disarm()
        self.sample, self.closed, self._entered = None, sample, 0.0
        self.spent += time.perf_counter() - started
        if sample.full:  # what the hooks on layers took is not on our own clock
            self.spent += max(0.0, active - self._light_active) if self._light_active else 0.0
        elif active:
            self._light_active = min(active, self._light_active or active)
        self._costs[sample.full].append(self.spent - self._spent_before)
        self._plan()
        self._arm_if_due()
        self._due, self._deaf_until = min(self._due, self.count + 1), 0  # what is closed waits for its loss, no longer

    def _plan(self) -> None:
        """When the next step is watched: as soon as all watching, its own included, is within the share."""
        self._watched += 1
        elapsed = time.perf_counter() - self.started
        per_step = elapsed / max(self.count, 1)
        cost = median(self._costs[self._full_next()][-9:] or self._costs[False][-9:])
        self._every = max(1, ceil(HEARING / max(PART * self.share * per_step, 1e-12)))
        share = (1 - 2 * PART) * self.share * per_step
        room = max(share - EACH, 0.1 * share)  # seconds for each step, on average
        self._next = self.count + max(0, ceil((self.spent + cost) / max(room, 1e-12) - self.count))

    def _full_next(self) -> bool:
        return self._watched % FULL_EVERY == 0

    def _arm_if_due(self) -> None:
        """Watches the next step where it is one of the first, where it is time, or briefly where it is a later mark."""
        if self.count < FIRST:
            self._arm(full=self.count in FULL)
        elif self.count >= self._next:
            self._arm(full=self._full_next())
        elif self.count in LIGHT:
            self._arm(full=False)
        else:
            self._due = min(self._next, LIGHT[bisect(LIGHT, self.count)], self.idle.turn)

    def _finish(self) -> None:
        sample, started = self.closed, time.perf_counter()
        assert sample is not None
        if sample.links:
            last = sample.links[-1]
            sample.descent = (last.name, last.factor) if last.name in NAMED_LOSSES else None
        self.closed, sample.links = None, []  # they hold the graph
        self.on_sample(sample)
        self.spent += time.perf_counter() - started

    def _compare(self, loss: Any) -> None:
        """Where the loop reports a loss with the other sign than the one it descends: that one is its loss."""
        assert self.closed is not None
        link = next((link for link in self.closed.links if link.tensor is loss), None)
        if link is not None and link.factor < 0:
            self.readings.append(Reading("loop.reported", link.factor, step=self.closed.step, note=link.name))
            self.loss = self.alternative or self.loss


def in_backward() -> bool:
    """Whether autograd is running: activation checkpointing calls the network again then."""
    return torch._C._current_graph_task_id() >= 0


def is_dense(gradient: Tensor | None) -> TypeGuard[Tensor]:
    return gradient is not None and gradient.layout == torch.strided


def squared_norm(parameters: list[nn.Parameter]) -> float:
    """Of their gradients together."""
    norms = [p.grad.detach().float().norm().square() for p in parameters if p.grad is not None]
    return float(torch.stack(norms).sum()) if norms else 0.0  # synchronizes
