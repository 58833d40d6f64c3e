"""skorch: the callbacks `Checkpoint` and `LoadInitState`; it saves after epochs only."""

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, LoadInitState
from torch import Tensor, nn

from resuming.job import BATCH, EPOCHS, RATE, Job, rows, state

EPOCHS_ONLY = True


def run(job: Job) -> list[Tensor]:
    torch.manual_seed(0)
    saving = Checkpoint(monitor=None, dirname=str(job.folder))
    net = NeuralNetClassifier(
        job.network(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=RATE,
        batch_size=BATCH,
        max_epochs=EPOCHS - 1 if job.resumed else EPOCHS,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[saving, LoadInitState(saving)],
    )
    net.fit(*rows())
    return state(net.module_)
