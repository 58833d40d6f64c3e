"""`tw.watch`: the doctor around a training loop of the user's own, which stays as it is."""

import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.optim.optimizer import register_optimizer_step_pre_hook

from thalweg.doctor.diagnose import Diagnosis
from thalweg.doctor.watching import facts
from thalweg.doctor.watching.again import groups_of
from thalweg.doctor.watching.conclude import Conclusion, conclude
from thalweg.doctor.watching.sample import Sample
from thalweg.doctor.watching.steps import StepWatch
from thalweg.errors import ThalwegError, UsageError
from thalweg.events import FindingRaised, Listener, RunEnded, guarded
from thalweg.findings import Finding, Findings
from thalweg.readings import Readings
from thalweg.rules import all_rules, judge_all
from thalweg.show.findings import alike
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction

if TYPE_CHECKING:
    from thalweg.doctor.check import Check

MOST_SAMPLES = 2000  # watched steps that are remembered one by one
START_BYTES = 2**30  # of a network whose start is kept
JUDGED_AT = frozenset((10, *(2**k for k in range(6, 40))))  # watched steps after which the loop is judged


class Watch:
    """A watched loop; `tw.watch` makes it.

    Attributes:
        findings: what was found; complete after the block.
        diagnosis: the findings ranked, with a verdict in one sentence; None until the block ends.
        check: the check of network, loss and data, where it was possible.
        unseen: what could not be judged, each with the reason.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        loss_fn: LossFunction | None,
        *,
        listeners: Sequence[Listener] | None,
        share: float,
    ) -> None:
        self.findings, self.unseen = Findings(), tuple[str, ...]()
        self.diagnosis: Diagnosis | None = None
        self.check: Check | None = None
        self._loss_fn, self._optimizer = loss_fn, optimizer
        self._listeners = [guarded(listener) for listener in listeners] if listeners is not None else None
        self._share, self._model = share, model
        inner = getattr(model, "_orig_mod", model)
        self._steps = StepWatch(model, inner, share=share, on_sample=self._take)
        self._samples: list[Sample] = []
        self._start: nn.Module | None = None
        self._groups: list[tuple[dict[str, Any], list[str]]] = []
        self._said: list[str] = []
        self._adopting: Any = None
        self._began = 0.0
        self._conclusion: Conclusion | None = None
        self.step = self._steps.report  # of the loop: watch.step(loss)

    # ------------------------------------------------------------------ the block

    def __enter__(self) -> Self:
        all_rules()  # imported now, not in the middle of the loop
        if self._listeners is None:
            from thalweg.show.terminal import Terminal

            self._listeners = [guarded(Terminal(quiet=True))]
        inner = self._steps.inner
        size = sum(t.nbytes for t in (*inner.parameters(), *inner.buffers()) if not lazy(t))
        if any(map(lazy, inner.parameters())):
            self._said.append(
                "the start: a lazy layer has no weights before its first batch; pass one before the block"
            )
        elif size > START_BYTES:
            self._said.append(f"the start: the network has {size / 2**30:.1f} GiB, and no copy of it was kept")
        else:
            try:
                self._start = clone(inner)
            except ThalwegError as error:
                self._said.append(f"the start: {error}")
        self._began = time.perf_counter()
        if self._optimizer is not None:
            self._adopt(self._optimizer)
        else:
            self._adopting = register_optimizer_step_pre_hook(self._meet)
        return self

    def _meet(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The first optimizer that steps the network is the one that is watched."""
        own = {id(p) for p in self._steps.inner.parameters()}
        if self._optimizer is None and any(id(p) in own for g in optimizer.param_groups for p in g["params"]):
            self._optimizer = optimizer
            self._adopting.remove()
            self._adopt(optimizer)

    def _adopt(self, optimizer: torch.optim.Optimizer) -> None:
        self._groups = groups_of(optimizer, self._steps.inner)
        self._steps.start(optimizer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._began
        self._steps.stop()
        if self._adopting is not None:
            self._adopting.remove()
        if self._steps.closed is not None:
            self._steps._finish()
        if self._steps.broken:
            self._said.append(f"what came after step {self._steps.count:,}: {self._steps.broken}")
        if self._optimizer is None:
            self.unseen = ("everything: no optimizer of torch's stepped the network inside of the block",)
            return
        try:  # after Ctrl-C without experiments
            self._conclude(seconds, probes=kind is None or issubclass(kind, Exception))
        except Exception as failure:  # the loop's result, or its own error, must not be lost by it
            reason = f"watch could not conclude ({type(failure).__name__}: {failure}); the loop was not touched by it"
            self.unseen = (*self._said, reason)
            warnings.warn(reason)

    def _conclude(self, seconds: float, *, probes: bool) -> None:
        found = conclude(
            self._steps,
            self._samples,
            start=self._start,
            groups=self._groups,
            loss_fn=self._loss_fn,
            seconds=seconds,
            unseen=self._said,
            probes=probes,
        )
        self._conclusion = found
        self.findings, self.diagnosis, self.check, self.unseen = (
            found.findings,
            found.diagnosis,
            found.check,
            found.unseen,
        )
        for finding in self.findings:
            if finding.counts:
                self._tell(finding)
        assert self._listeners is not None
        for listener in self._listeners:
            listener(RunEnded("watch", "completed", found.diagnosis.verdict, None, seconds))
        self._steps.rows.batches, self._start = [], None

    # ------------------------------------------------------------------ inside of it

    def _take(self, sample: Sample) -> None:
        if len(self._samples) < MOST_SAMPLES:
            self._samples.append(sample)
        if sample.step in JUDGED_AT:
            readings = Readings(facts.of_steps(self._steps, self._samples))
            rules = [rule for rule in all_rules() if rule.code.startswith("LOOP")]
            for finding in judge_all(readings, rules).findings:
                if finding.counts and not any(alike(finding, other) for other in self.findings):
                    self.findings = Findings((*self.findings, finding))
                    self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        for listener in self._listeners or ():
            listener(FindingRaised(finding))

    # ------------------------------------------------------------------ after it

    @property
    def readings(self) -> Readings:
        """Everything that was measured."""
        return Readings() if self._conclusion is None else self._conclusion.readings

    def __repr__(self) -> str:
        steps = f"{self._steps.count:,} steps"
        head = f"watch: {steps}, {'running' if self.diagnosis is None else self.diagnosis.verdict}"
        parts = [head, *(str(f) for f in self.findings)]
        if self.unseen:
            parts.append("Not judged:\n" + "\n".join(f"  - {reason}" for reason in self.unseen))
        return "\n\n".join(parts)


def lazy(tensor: Any) -> bool:
    return isinstance(tensor, UninitializedBuffer | UninitializedParameter)


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    loss_fn: LossFunction | None = None,
    *,
    listeners: Sequence[Listener] | None = None,
    share: float = 0.004,
) -> Watch:
    """The doctor around a training loop of your own; use it as `with tw.watch(model, optimizer) as watch:`.

    A few steps are looked at closely, between them one hook counts. Weights, buffers, optimizer state, random numbers
    and the order of the data are bit by bit what they are without. When the block ends, experiments on clones with the
    rows that were seen take at most a fifth of the loop's time, or 5 s.

    Args:
        model: as the loop calls it.
        optimizer: whose steps count; None takes the first that steps the model (a trainer makes its own).
        loss_fn: `(output, target) -> scalar`; None reads it off the loop.
        listeners: functions that hear of findings; the terminal by default, `()` for silence.
        share: of the loop's time that watched steps may take, 0 to 1; hooks between them cost a little besides.

    Raises:
        UsageError: where model or optimizer are something else.

    >>> x, y = torch.randn(64, 4), torch.randint(2, (64,))
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with watch(model, optimizer, listeners=()) as seen:
    ...     for _ in range(20):
    ...         loss = nn.functional.cross_entropy(model(x), y)
    ...         loss.backward()  # zero_grad() is missing
    ...         optimizer.step()
    ...         seen.step(loss)
    >>> seen.findings[0].code
    'LOOP01'
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"watch got {type(model).__name__} as model; pass the nn.Module that the loop calls.")
    optimizer = getattr(optimizer, "optimizer", optimizer)  # wrappers of Accelerate and Lightning
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(
            f"watch got {type(optimizer).__name__} as optimizer; pass the torch.optim.Optimizer of the loop, or None "
            "to take the one that steps the model."
        )
    return Watch(model, optimizer, loss_fn, listeners=listeners, share=share)
