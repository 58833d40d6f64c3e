"""The watched form of a step: the same numbers, with readings of every layer, at the steps that the budget allows."""

from contextlib import nullcontext
from dataclasses import replace

from torch import Tensor

from thalweg.measure.sampling import SampleSchedule
from thalweg.measure.signal import Signal
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading
from thalweg.store import Writer
from thalweg.train.compiled import CompiledStep
from thalweg.train.step import Step, Window


class Monitor:
    """Watches a training within a share of its time.

    Args:
        stepper: the step that is watched.
        writer: takes the readings.
        share: of the training time that watching may take; 0 watches nothing.
    """

    def __init__(self, stepper: Step, writer: Writer, *, share: float) -> None:
        self.stepper, self.writer = stepper, writer
        self.compiled: CompiledStep | None = None  # what makes the step instead, where there is one
        self.signal, self.schedule = Signal(stepper.network), SampleSchedule(share)
        self.due = self.schedule.due
        self.gradient_norm: float | None = None
        self.update_ratio: float | None = None

    def step(self, window: Window, *, step: int, rate: float, momentum: float | None = None) -> Tensor:
        """One optimizer step, bit-identical to the plain one; synchronizes once."""
        stepper, signal = self.stepper, self.signal
        scale = 1.0 if stepper.loss_scale is None else float(stepper.loss_scale.scale)  # synchronizes
        with self.schedule.watching(step):
            aside = nullcontext() if self.compiled is None else untouched(stepper.network, training=True)
            with aside, signal.attached():
                loss, gradients = stepper.loss_and_gradients(window, step=step)
            signal.before_update(stepper.names, stepper.parameters, gradients)
            if self.compiled is None:
                stepper.apply(gradients, rate=rate, momentum=momentum)
            else:  # nothing inside a graph is seen: what was measured went beside it, and only this counts
                loss = self.compiled(window, step=step, rate=rate, momentum=momentum)
            signal.after_update()
            readings = unscaled(signal.readings(step), scale, overflowed=stepper.overflowed)
            self.writer.add(readings)
        for reading in readings:
            if reading.name == "gradient.norm":
                self.gradient_norm = reading.value
            elif reading.name == "update.ratio" and not reading.place:
                self.update_ratio = reading.value
        return loss


def unscaled(readings: list[Reading], scale: float, *, overflowed: bool) -> list[Reading]:
    """Readings without float16's factor of the loss, which the gradients of activations still have.

    Of a step that overflowed by it, and was left out, nothing is told about gradients and updates.
    """
    if overflowed:
        return [r for r in readings if "gradient" not in r.name and "update" not in r.name]
    if scale == 1:
        return readings
    return [replace(r, value=r.value / scale) if r.name == "activation.gradient" else r for r in readings]
