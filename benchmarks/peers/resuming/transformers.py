"""Transformers: `save_strategy`, then `train(resume_from_checkpoint=True)`."""

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments

from resuming.job import BATCH, EPOCHS, Job, WithLoss, adam, rows, state


def run(job: Job) -> list[Tensor]:
    torch.manual_seed(0)
    model = WithLoss(job.network())
    optimizer = adam(model)
    x, y = rows()
    arguments = TrainingArguments(
        str(job.folder),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
        save_strategy="steps" if job.when == "mid" else "epoch",
        save_steps=job.every,
        seed=0,
    )
    trainer = Trainer(
        model,
        args=arguments,
        train_dataset=[{"x": x[i], "labels": y[i]} for i in range(len(y))],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
    )
    trainer.train(resume_from_checkpoint=True if job.resumed else None)
    return state(model.model)
