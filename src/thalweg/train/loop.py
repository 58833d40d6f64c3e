"""The training loop: the order of events of one training, from a fresh or a saved state."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import BatchRows, Rows, num_rows
from thalweg.errors import StoreError, TrainingError
from thalweg.events import EpochEnded, Listener, Progress
from thalweg.parts.metrics import Metric
from thalweg.parts.schedules import Measured, Schedule
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.store import Writer
from thalweg.train.best import KEPT_BYTES, Best, size_of
from thalweg.train.checkpoint import load_checkpoint, save_checkpoint
from thalweg.train.clone import tensors
from thalweg.train.compiled import CompiledStep, choose_compiled
from thalweg.train.evaluated import average_of
from thalweg.train.evaluation import measure_batches, pieces
from thalweg.train.interrupt import Interrupt, interruptible
from thalweg.train.length import steps_per_epoch
from thalweg.train.losses import LossFunction, items_of
from thalweg.train.memory import out_of_memory_named
from thalweg.train.monitor import Monitor
from thalweg.train.replay import find_nonfinite
from thalweg.train.step import Step, Window, stepper_of

CHECKPOINT_SECONDS = 30.0
SAVING_SHARE = 0.02  # of the time that saving may take: a large state is saved less often
LOOK_SECONDS = 0.25  # between two looks at the losses, each a synchronization
SNAPSHOT_SECONDS = 10.0  # between two copies of the state, from which a non-finite step is replayed
LOSS_POINTS = 1000  # of the curve of batch losses that is stored


@dataclass(frozen=True)
class Job:
    """Everything one training needs; `plan` is resolved. `network` is trained in place."""

    network: nn.Module
    loss: LossFunction
    plan: Plan
    train: Feeder
    validation: Feeder
    metrics: Sequence[Metric]
    folder: Path
    writer: Writer
    listeners: Sequence[Listener] = ()


class Training:
    """One training of one job. `run` returns how it ended: "completed", "interrupted" or "failed"."""

    def __init__(self, job: Job) -> None:
        plan = job.plan
        assert plan.optimizer != "auto"
        assert plan.schedule != "auto"
        assert plan.optimizer.lr != "auto"
        assert isinstance(plan.epochs, int)
        self.job, self.peak, self.num_epochs = job, plan.optimizer.lr, plan.epochs
        self.stepper = stepper_of(plan, job.network, job.loss)
        self.take: Step | CompiledStep = self.stepper
        self.monitor = Monitor(self.stepper, job.writer, share=plan.monitoring)
        self.average = average_of(plan, job.network, self.stepper)
        self.settled = -1  # the step whose average is ready to be evaluated
        self.steps_per_epoch = steps_per_epoch(plan, job.train)
        self.num_steps = self.num_epochs * self.steps_per_epoch
        self.measured: list[Measured] = []  # at each epoch's end
        self.schedule = self.schedule_at(0)
        self.step, self.seconds = 0, 0.0
        self.stopped_early = False
        self.losses: list[Tensor] = []  # of the epoch under way
        self.items: list[float | Tensor] = []  # that each of them is the mean of
        self.num_rows = 0  # that this epoch has trained on since it, or the process, began
        self.best = Best(job.folder)
        self.checked = 0  # losses of this epoch that were looked at
        self.located = False  # whether the first non-finite operation was looked for
        self.small = size_of(self._state()) <= KEPT_BYTES
        self.snapshot: tuple[int, dict[str, Tensor]] | None = None  # None: the last checkpoint stands for it
        self.save_seconds = 0.0  # that the last save took
        self.saved = self.snapped = self.looked = time.monotonic()

    # ------------------------------------------------------------------ the loop

    def run(self) -> str:
        started = time.monotonic() - self.seconds
        self.job.network.train()
        if not self.small and not self.step:
            self.save()
        with global_rng_kept(), interruptible() as interrupt, out_of_memory_named(self.job.plan):
            status = "completed"
            while self.step < self.num_steps and status == "completed" and not self.stopped_early:
                with single_rows_named(self.job.train):
                    status = self._epoch(interrupt)
                self.seconds = time.monotonic() - started
            self.job.writer.flush()
            if status == "failed":
                self.best.save()  # the last good weights; the state after them is lost
            else:
                self.held_network()  # an average is saved as it would be used
                self.save()  # still undisturbed: a terminal that closes sends its signal more than once
        return status

    def _epoch(self, interrupt: Interrupt) -> str:
        take, monitor, average, losses = self.take, self.monitor, self.average, self.losses
        epoch, skip = divmod(self.step, self.steps_per_epoch)
        clock = time.monotonic
        started = clock()
        self.num_rows = 0
        self._snap()
        for window in self.windows(epoch, skip):
            rate = self.peak * self.schedule.factor(self.step, self.num_steps)
            momentum = self.schedule.momentum(self.step, self.num_steps)
            if monitor.due(self.step):
                loss = monitor.step(window, step=self.step, rate=rate, momentum=momentum)
            else:
                loss = take(window, step=self.step, rate=rate, momentum=momentum)
            losses.append(loss)
            self._count(window)
            self.step += 1
            if average is not None:
                average.update(self.step, self.num_steps)
            if interrupt.asked:
                break
            if clock() - self.looked > LOOK_SECONDS and len(losses) < self.steps_per_epoch:
                if not self._look(epoch):
                    return "failed"
                self._save_if_due()
        if len(losses) == self.steps_per_epoch and not self._close_epoch(epoch, clock() - started):
            return "failed"
        self._save_if_due()
        return "interrupted" if interrupt.asked and self.step < self.num_steps else "completed"

    def compile(self) -> tuple[str, str] | None:
        """Compiles the step where the plan says so or "auto" pays; the word and the reason where it chose."""
        wanted, train = self.job.plan.compile, self.job.train
        self.job.network.train()  # a graph is of the mode that it was made in
        if wanted == "never":
            return None
        word, reason, compiled = "never", "the rows are read as they come, which takes longer than the steps", None
        if wanted == "always" or isinstance(train.rows, Rows):
            window = next(self.windows(0))
            if wanted == "always":
                compiled = CompiledStep(self.stepper, window)
            else:
                compiled, reason = choose_compiled(
                    self.stepper,
                    window,
                    num_steps=self.num_steps,
                    momentum=self.schedule.momentum(self.step, self.num_steps),
                )
        if compiled is not None:
            word, self.take, self.monitor.compiled = "always", compiled, compiled
        return (word, reason) if wanted == "auto" else None

    def windows(self, epoch: int, skip: int = 0) -> Iterator[Window]:
        """The batches of each update of an epoch, from update number `skip` on."""
        size = self.job.plan.accumulate
        batches = pieces(self.job.train, epoch, skip * size)
        while window := list(islice(batches, size)):
            yield window

    def schedule_at(self, step: int) -> Schedule:
        """The schedule of a step: the plan's, by what was measured before the step."""
        planned = self.job.plan.schedule
        assert planned != "auto"
        return planned.informed([m for m in self.measured if m.step <= step], self.num_steps)

    def _count(self, window: Window) -> None:
        self.items.append(sum(map(items_of, window)))
        self.num_rows += sum(num_rows(batch[0]) for batch in window)

    def _look(self, epoch: int) -> bool:
        """A look from time to time: progress, and losses that are not finite. False when the training is lost."""
        self.looked = time.monotonic()
        recent = torch.stack(self.losses[self.checked :]) if self.checked < len(self.losses) else torch.zeros(1)
        values = recent.tolist()  # synchronizes
        self._emit(Progress(self.step, self.num_steps, epoch + 1, self.num_epochs, values[-1]))
        if not all(map(math.isfinite, values)) and self._lost(values):
            return False
        self.checked = len(self.losses)
        if self.looked - self.snapped > SNAPSHOT_SECONDS:
            self._snap()
        return True

    def _close_epoch(self, epoch: int, seconds: float) -> bool:
        """Evaluates, records and keeps the best. False when the training is lost."""
        if not self._look(epoch):
            return False
        job, step = self.job, self.step
        values = torch.stack(self.losses).double().cpu()  # synchronizes
        items = torch.tensor([float(n) for n in self.items], dtype=torch.float64)
        train_loss = float((values * items).sum() / items.sum())
        network = self.held_network()
        measured, num_validated = self._measure(network)
        name = job.plan.selection
        higher = next((m.higher_is_better for m in job.metrics if m.name == name), False)
        better = self.best.offer(network, epoch=epoch + 1, step=step, value=measured[name], higher_is_better=higher)
        self.losses.clear()
        self.items.clear()
        self.checked = 0
        self.stopped_early = self.out_of_patience and step < self.num_steps
        rate = self.peak * self.schedule.factor(step - 1, self.num_steps)
        self.measured.append(Measured(step, train_loss, measured["loss"]))
        self.schedule = self.schedule_at(step)
        speed = self.num_rows / max(seconds, 1e-9)
        penalty = self.stepper.penalty(step)
        job.writer.add(
            [
                *self._loss_curve(values.tolist(), step),
                Reading("train.loss", train_loss, step=step, count=int(items.sum())),
                *penalty,
                *(Reading(f"validation.{name}", v, step=step, count=num_validated) for name, v in measured.items()),
                Reading("rate", rate, step=step),
                Reading("rows_per_second", speed, step=step),
                Reading("epoch.seconds", seconds, step=step),
            ]
        )
        main = job.metrics[0].name if job.metrics else ""
        event = EpochEnded(
            epoch + 1, self.num_epochs, step, train_loss, measured["loss"], main, measured.get(main), rate,
            self.monitor.gradient_norm, self.monitor.update_ratio, speed, seconds, better, measured,
            next((reading.value for reading in penalty if reading.value), None),
        )  # fmt: skip
        self._emit(event)
        return True

    @property
    def out_of_patience(self) -> bool:
        """Whether so many epochs have gone by without a better one that the training stops."""
        patience = self.job.plan.patience
        return patience is not None and self.step // self.steps_per_epoch - self.best.epoch >= patience

    def held_network(self) -> nn.Module:
        """The network as it is validated and kept: the one that is trained, or the average of its weights."""
        if self.average is None:
            return self.job.network
        if self.settled != self.step:  # an epoch's end, the training's end and the measures after it ask at one step
            self.average.settle(self.job.train.epoch(0))
            self.settled = self.step
        return self.average.network

    def _measure(self, network: nn.Module) -> tuple[dict[str, float], int]:
        """The loss and the metrics on the validation rows, and how many these are."""
        job = self.job
        found = measure_batches(network, job.loss, pieces(job.validation), job.metrics)
        return found.values, found.count

    # ------------------------------------------------------------------ parts of it

    def _emit(self, event: Progress | EpochEnded) -> None:
        for listener in self.job.listeners:
            listener(event)

    def _loss_curve(self, values: list[float], step: int) -> list[Reading]:
        """Means over `width` steps, so that a long run stores no more points than a short one."""
        width = max(1, self.num_steps // LOSS_POINTS)
        first = step - len(values)
        chunks = [(k, values[k : k + width]) for k in range(0, len(values), width)]
        return [Reading("train.batch_loss", sum(c) / len(c), step=first + k + len(c), count=len(c)) for k, c in chunks]

    def _snap(self) -> None:
        if self.small:
            self.snapshot = (self.step, {key: tensor.clone() for key, tensor in self._state().items()})
            self.snapped = time.monotonic()

    def _state(self) -> dict[str, Tensor]:
        network = {f"network.{name}": value for name, value in tensors(self.job.network).items()}
        average = {} if self.average is None else self.average.state_dict()
        return network | average | {f"optimizer.{name}": value for name, value in self.stepper.state_dict().items()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Copies a saved state into the training's own tensors. Raises `StoreError` where it does not fit."""
        saved = {k.removeprefix("optimizer."): v for k, v in state.items() if k.startswith("optimizer.")}
        self.stepper.load(saved)
        own = self._state()
        shared = own.keys() & state.keys()
        differing = sorted(own.keys() ^ state.keys()) + [k for k in shared if own[k].shape != state[k].shape]
        if differing:
            raise StoreError(
                f"The checkpoint does not fit this model and plan; entries that differ: {differing[:6]}. "
                "Resume with the model and the plan that the run was started with."
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(state[name])

    # ------------------------------------------------------------------ non-finite

    def _lost(self, values: list[float]) -> bool:
        """Whether the training cannot go on: weights are not finite, or no loss since the last look was.

        The first time, the first non-finite operation is found by exact replay. A training whose weights survived goes
        on from where it stood.
        """
        finite = [math.isfinite(v) for v in values]
        lost = not any(finite) or not all(bool(p.isfinite().all()) for p in self.stepper.parameters)  # synchronizes
        if not self.located:
            self.located = True
            current = {key: tensor.clone() for key, tensor in self._state().items()}
            first_bad = self.step - len(self.losses) + self.checked + finite.index(False)
            self.job.writer.add(find_nonfinite(self, first_bad))
            self.set_state(current)
        if lost:
            curve = [float(v) for v in torch.stack(self.losses)]
            self.job.writer.add(self._loss_curve(curve, self.step))
        return lost

    def go_back(self) -> int:
        """Restores the latest state that is at hand, for a replay; returns its step."""
        step, state = self.snapshot or (-1, {})
        if not state:
            state, facts = load_checkpoint(self.job.folder, "last")
            state = {name: value for name, value in state.items() if not name.startswith("epoch.")}
            step = int(facts["step"])
        self.set_state(state)
        return step

    # ------------------------------------------------------------------ checkpoints

    def _save_if_due(self) -> None:
        """Between two steps of an epoch, or after its end was recorded; never between the last step and the record."""
        if time.monotonic() - self.saved > max(CHECKPOINT_SECONDS, self.save_seconds / SAVING_SHARE):
            self.save()

    def save(self) -> None:
        """Writes the state at this step boundary, and the best weights where they are new."""
        started = time.monotonic()
        self.best.save()
        epoch: dict[str, Tensor] = {}
        if self.losses:
            items = torch.tensor([float(n) for n in self.items], dtype=torch.float64)
            epoch = {"epoch.losses": torch.stack(self.losses), "epoch.items": items}
        readings = self.job.writer.position()  # the records reach at least as far as the checkpoint
        facts = {"step": self.step, "seconds": self.seconds, "best_step": self.best.step, "readings": readings}
        if self.measured:
            epoch["epoch.measured"] = torch.tensor(self.measured, dtype=torch.float64)  # exact for steps below 2^53
        save_checkpoint(self.job.folder, "last", self._state() | epoch, facts)
        self.saved = time.monotonic()
        self.save_seconds = self.saved - started

    def restore(self) -> None:
        """Goes back to the last checkpoint: bit-identical from there on."""
        state, facts = load_checkpoint(self.job.folder, "last")
        losses, items = state.pop("epoch.losses", None), state.pop("epoch.items", None)
        measured = state.pop("epoch.measured", None)
        self.set_state(state)
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        if measured is not None:
            self.measured = [Measured(int(step), *losses) for step, *losses in measured.tolist()]
        self.schedule = self.schedule_at(self.step)
        if losses is not None and items is not None:
            self.losses = list(losses.to(self.stepper.device, copy=True).unbind())
            self.items = items.tolist()
        if facts["best_step"]:
            self.best.restore()
        ended = self.step % self.steps_per_epoch == 0 and self.step < self.num_steps
        self.stopped_early = ended and self.out_of_patience
        self.job.writer.rewind(int(facts["readings"]))


@contextmanager
def single_rows_named(feeder: Feeder) -> Iterator[None]:
    """Batch norm cannot train on one value per channel; torch's error says so, but not which batch it was."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        if isinstance(feeder.rows, BatchRows):
            raise TrainingError(
                "Batch norm cannot train on a batch of one row, and the DataLoader gave one. Give it drop_last=True "
                "or another batch_size."
            ) from error
        cause = "batch_size is 1"
        if feeder.batch_size > 1:
            cause = f"{len(feeder.rows):,} training rows in batches of {feeder.batch_size} leave 1"
        raise TrainingError(
            f"Batch norm cannot train on a batch of one row, and {cause}. Choose another batch_size, or 'auto'."
        ) from error


def gives_single_rows(feeder: Feeder) -> bool:
    """Whether an epoch has a batch of one row."""
    if isinstance(feeder.rows, BatchRows):
        return 1 in feeder.rows.sizes
    return feeder.batch_size == 1 or len(feeder.rows) % feeder.batch_size == 1
