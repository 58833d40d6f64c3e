"""The training loop: the order of events of one training, from a fresh or a saved state."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.errors import StoreError, TrainingError
from thalweg.events import EpochEnded, Listener, Progress
from thalweg.measure.nonfinite import locate_nonfinite
from thalweg.parts.metrics import Metric
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.store import Writer
from thalweg.train.checkpoint import load_checkpoint, save_checkpoint
from thalweg.train.clone import clone, tensors
from thalweg.train.evaluation import outputs_and_loss
from thalweg.train.interrupt import Interrupt, interruptible
from thalweg.train.losses import LossFunction
from thalweg.train.monitor import Monitor
from thalweg.train.step import Step

CHECKPOINT_SECONDS = 30.0
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


@dataclass
class Best:
    """The best epoch so far by the selection measure, and its weights."""

    epoch: int = 0
    step: int = 0
    value: float = math.nan
    weights: dict[str, Tensor] = field(default_factory=dict)


class Training:
    """One training of one job. `run` returns how it ended: "completed", "interrupted" or "failed"."""

    def __init__(self, job: Job) -> None:
        plan = job.plan
        assert plan.optimizer != "auto"
        assert plan.schedule != "auto"
        assert plan.optimizer.lr != "auto"
        assert isinstance(plan.epochs, int)
        assert isinstance(plan.seed, int)
        assert plan.clip_norm != "auto"
        self.job, self.schedule, self.peak, self.num_epochs = job, plan.schedule, plan.optimizer.lr, plan.epochs
        clip_norm, decay_all = plan.clip_norm, plan.decay_all
        self.stepper = Step(
            job.network, job.loss, plan.optimizer, clip_norm=clip_norm, decay_all=decay_all, seed=plan.seed
        )
        self.monitor = Monitor(self.stepper, job.writer, share=plan.monitoring)
        self.steps_per_epoch = len(job.train)
        self.num_steps = self.num_epochs * self.steps_per_epoch
        self.step, self.seconds = 0, 0.0
        self.losses: list[Tensor] = []  # of the epoch under way
        self.best = Best()
        self.best_saved = 0  # the step of the best weights on disk
        self.checked = 0  # losses of this epoch that were looked at
        self.located = False  # whether the first non-finite operation was looked for
        self.snapshot: tuple[int, dict[str, Tensor]] = (0, {})
        self.saved = self.snapped = self.looked = time.monotonic()

    # ------------------------------------------------------------------ the loop

    def run(self) -> str:
        started = time.monotonic() - self.seconds
        self.job.network.train()
        with global_rng_kept(), interruptible() as interrupt:
            status = "completed"
            while self.step < self.num_steps and status == "completed":
                with single_rows_named(self.job.train):
                    status = self._epoch(interrupt)
                self.seconds = time.monotonic() - started
        self.job.writer.flush()
        if status == "failed":
            self._save_best()  # the last good weights; the state after them is lost
        else:
            self.save()
        return status

    def _epoch(self, interrupt: Interrupt) -> str:
        job, stepper, monitor, losses = self.job, self.stepper, self.monitor, self.losses
        epoch, skip = divmod(self.step, self.steps_per_epoch)
        clock = time.monotonic
        started = clock()
        self._snap()
        for inputs, target in job.train.epoch(epoch, skip):
            rate = self.peak * self.schedule.factor(self.step, self.num_steps)
            if monitor.due(self.step):
                loss = monitor.step(inputs, target, step=self.step, rate=rate)
            else:
                loss = stepper(inputs, target, step=self.step, rate=rate)
            losses.append(loss)
            self.step += 1
            if interrupt.asked:
                break
            if clock() - self.looked > LOOK_SECONDS and len(losses) < self.steps_per_epoch:
                if not self._look(epoch):
                    return "failed"
                self._save_if_due()
        done = self.step - epoch * self.steps_per_epoch - skip
        if len(losses) == self.steps_per_epoch and not self._close_epoch(epoch, clock() - started, done):
            return "failed"
        self._save_if_due()
        return "interrupted" if interrupt.asked and self.step < self.num_steps else "completed"

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

    def _close_epoch(self, epoch: int, seconds: float, num_steps: int) -> bool:
        """Evaluates, records and keeps the best. False when the training is lost."""
        if not self._look(epoch):
            return False
        job, step = self.job, self.step
        values = torch.stack(self.losses).double().cpu()  # synchronizes
        rows = len(job.train.rows)
        sizes = torch.full_like(values, float(job.train.batch_size))
        sizes[-1] = rows - job.train.batch_size * (len(values) - 1)
        train_loss = float((values * sizes).sum() / rows)
        output, target, loss = outputs_and_loss(job.network, job.loss, job.validation.epoch(0))
        measured = {"loss": float(loss)}
        for metric in job.metrics:  # of outputs that are not finite there is nothing to measure, but a NaN to record
            measured[metric.name] = metric(output, target) if math.isfinite(measured["loss"]) else math.nan
        better = self._keep_best(epoch, measured)
        self.losses.clear()
        self.checked = 0
        rate = self.peak * self.schedule.factor(step - 1, self.num_steps)
        speed = num_steps * job.train.batch_size / max(seconds, 1e-9)
        job.writer.add(
            [
                *self._loss_curve(values.tolist(), step),
                Reading("train.loss", train_loss, step=step, count=rows),
                *(Reading(f"validation.{name}", v, step=step, count=len(target)) for name, v in measured.items()),
                Reading("rate", rate, step=step),
                Reading("rows_per_second", speed, step=step),
                Reading("epoch.seconds", seconds, step=step),
            ]
        )
        main = job.metrics[0].name if job.metrics else ""
        event = EpochEnded(
            epoch + 1, self.num_epochs, step, train_loss, measured["loss"], main, measured.get(main), rate,
            self.monitor.gradient_norm, self.monitor.update_ratio, speed, seconds, better, measured,
        )  # fmt: skip
        self._emit(event)
        return True

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

    def _keep_best(self, epoch: int, measured: Mapping[str, float]) -> bool:
        name = self.job.plan.selection
        value = measured[name]
        higher = next((m.higher_is_better for m in self.job.metrics if m.name == name), False)
        known = not math.isnan(self.best.value)
        # A tie goes to the later epoch: at the lower rate the weights have settled further.
        if math.isnan(value) or (known and (value < self.best.value if higher else value > self.best.value)):
            return False
        weights = {key: tensor.clone() for key, tensor in tensors(self.job.network).items()}
        self.best = Best(epoch + 1, self.step, value, weights)
        return True

    def _snap(self) -> None:
        self.snapshot = (self.step, {key: tensor.clone() for key, tensor in self._state().items()})
        self.snapped = time.monotonic()

    def _state(self) -> dict[str, Tensor]:
        network = {f"network.{name}": value for name, value in tensors(self.job.network).items()}
        return network | {f"optimizer.{name}": value for name, value in self.stepper.state_dict().items()}

    def _set_state(self, state: Mapping[str, Tensor]) -> None:
        own = self._state()
        if own.keys() != state.keys():
            differing = sorted(own.keys() ^ state.keys())
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
            self.job.writer.add(self._replay(first_bad))
            self._set_state(current)
        if lost:
            curve = [float(v) for v in torch.stack(self.losses)]
            self.job.writer.add(self._loss_curve(curve, self.step))
        return lost

    def _replay(self, first_bad: int) -> list[Reading]:
        """Goes back to the last snapshot, repeats the steps up to the first bad one and looks inside it."""
        start, state = self.snapshot
        self._set_state(state)
        epoch, skip = divmod(start, self.steps_per_epoch)
        last = math.nan
        for step, (inputs, target) in enumerate(self.job.train.epoch(epoch, skip), start=start):
            rate = self.peak * self.schedule.factor(step, self.num_steps)
            if step >= first_bad - 1:  # a backward pass may have spoiled the weights one step earlier
                found = locate_nonfinite(
                    clone(self.job.network),
                    self.job.loss,
                    inputs,
                    target,
                    step=step,
                    seed=self.stepper.seed,
                    rows=self.rows_of(step),
                )
                if found:
                    return [*found, Reading("nonfinite.last_loss", last, step=step), Reading("rate", rate, step=step)]
            if step >= first_bad:
                break
            last = float(self.stepper(inputs, target, step=step, rate=rate))
        return [Reading("nonfinite.step", first_bad, step=first_bad)]

    def rows_of(self, step: int) -> list[int]:
        """The numbers, in the user's data, of the rows that step `step` trains on."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        size = self.job.train.batch_size
        positions = self.job.train.order(epoch)[batch * size : (batch + 1) * size]
        return [int(i) for i in self.job.train.rows.ids[positions]]

    # ------------------------------------------------------------------ checkpoints

    def _save_if_due(self) -> None:
        """Between two steps of an epoch, or after its end was recorded; never between the last step and the record."""
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self.save()

    def _save_best(self) -> None:
        best = self.best
        if best.weights and best.step != self.best_saved:
            facts = {"epoch": best.epoch, "step": best.step, "value": best.value}
            save_checkpoint(self.job.folder, "best", best.weights, facts)
            self.best_saved = best.step

    def save(self) -> None:
        """Writes the state at this step boundary, and the best weights where they are new."""
        self.job.writer.flush()  # first, so that the records reach at least as far as the checkpoint
        self._save_best()
        losses = {"losses": torch.stack(self.losses)} if self.losses else {}
        facts = {"step": self.step, "seconds": self.seconds, "best_step": self.best.step}
        save_checkpoint(self.job.folder, "last", self._state() | losses, facts)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Goes back to the last checkpoint: bit-identical from there on."""
        state, facts = load_checkpoint(self.job.folder, "last")
        losses = state.pop("losses", None)
        self._set_state(state)
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        self.losses = [] if losses is None else list(losses.to(self.stepper.parameters[0].device).unbind())
        if facts["best_step"]:
            weights, best = load_checkpoint(self.job.folder, "best")
            self.best = Best(int(best["epoch"]), int(best["step"]), float(best["value"]), weights)
            self.best_saved = self.best.step


@contextmanager
def single_rows_named(feeder: Feeder) -> Iterator[None]:
    """Batch norm cannot train on one value per channel; torch's error says so, but not which batch it was."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        left = len(feeder.rows) % feeder.batch_size
        raise TrainingError(
            f"Batch norm cannot train on a batch of one row, and {len(feeder.rows):,} training rows in batches of "
            f"{feeder.batch_size} leave {left}. Choose another batch_size, or 'auto'."
        ) from error
