"""thalweg: Ctrl-C, then `experiment.resume`."""

import signal

from torch import Tensor

import thalweg as tw
from resuming.job import BATCH, EPOCHS, RATE, Job, rows, state


def run(job: Job) -> list[Tensor]:
    def network():
        return job.network(job.every, lambda: signal.raise_signal(signal.SIGINT))

    experiment = tw.Experiment(
        network, train=rows(), validation=rows(32), test=False, loss="cross_entropy", directory=job.folder, name="run"
    )
    if job.resumed:
        resumed = experiment.resume("run-1", listeners=())
        return state(resumed.network)
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=RATE), epochs=EPOCHS, batch_size=BATCH)
    return state(experiment.train(plan, listeners=()).network)
