"""Keras: the callback `BackupAndRestore`, with its own layers; a second `fit` goes on."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from torch import Tensor

from resuming.job import BATCH, EPOCHS, RATE, Job, die, rows


class StopAt(keras.callbacks.Callback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.begun = step, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.begun += 1
        if self.begun == self.step:
            die()


def run(job: Job) -> list[Tensor]:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            *(keras.Input((16,)), layers.Dense(32), layers.BatchNormalization(), layers.ReLU()),
            *(layers.Dropout(0.3), layers.Dense(4)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss=loss)
    often = job.every if job.when == "mid" else "epoch"
    saving = keras.callbacks.BackupAndRestore(str(job.folder / "backup"), save_freq=often)
    callbacks = [saving, *([StopAt(job.every + 2)] if job.stopped else [])]
    model.fit(*rows(), batch_size=BATCH, epochs=EPOCHS, callbacks=callbacks, verbose=0)
    return [variable.value.detach().clone() for variable in model.weights]
