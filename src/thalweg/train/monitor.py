"""The watched form of a step: the same numbers, with readings of every layer, at the steps that the budget allows."""

from torch import Tensor

from thalweg.data.rows import Inputs
from thalweg.measure.sampling import SampleSchedule
from thalweg.measure.signal import Signal
from thalweg.store import Writer
from thalweg.train.step import Step


class Monitor:
    """Watches a training within a share of its time.

    Args:
        stepper: the step that is watched.
        writer: takes the readings.
        share: of the training time that watching may take; 0 watches nothing.
    """

    def __init__(self, stepper: Step, writer: Writer, *, share: float) -> None:
        self.stepper, self.writer = stepper, writer
        self.signal, self.schedule = Signal(stepper.network), SampleSchedule(share)
        self.due = self.schedule.due
        self.gradient_norm: float | None = None
        self.update_ratio: float | None = None

    def step(self, inputs: Inputs, target: Tensor, *, step: int, rate: float) -> Tensor:
        """One optimizer step, bit-identical to the plain one; synchronizes once."""
        stepper, signal = self.stepper, self.signal
        with self.schedule.watching(step):
            with signal.attached():
                loss, gradients = stepper.loss_and_gradients(inputs, target, step=step)
            signal.before_update(stepper.names, stepper.parameters, gradients)
            stepper.apply(gradients, rate=rate)
            signal.after_update()
            readings = signal.readings(step)
            self.writer.add(readings)
        for reading in readings:
            if reading.name == "gradient.norm":
                self.gradient_norm = reading.value
            elif reading.name == "update.ratio" and not reading.place:
                self.update_ratio = reading.value
        return loss
