"""The Trainer of Transformers; clipping is off in both forms, because the others do not clip."""

import tempfile

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments
from work import Work


class WithLoss(nn.Module):
    """The Trainer wants a model that takes named inputs and returns its loss."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.model(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Rows(torch.utils.data.Dataset):
    def __init__(self, work: Work) -> None:
        self.x, self.y = work.x, work.y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i):
        return {"x": self.x[i], "labels": self.y[i]}


class TunedTrainer(Trainer):
    loader: torch.utils.data.DataLoader

    def get_train_dataloader(self):
        return self.loader


def fit(work: Work, **arguments: object) -> nn.Module:
    optimizer = work.optimizer()
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=work.epochs,
            per_device_train_batch_size=work.batch_size,
            max_grad_norm=0.0,
            use_cpu=True,
            **arguments,
        )
        options = {"args": settings, "train_dataset": Rows(work), "optimizers": (optimizer, constant)}
        if not work.tuned:
            Trainer(WithLoss(work.model), **options).train()
            return work.model
        trainer = TunedTrainer(WithLoss(work.model), **options)
        loader = work.loader()
        loader.dataset.__class__ = NamedTensors
        trainer.loader = loader
        trainer.train()
    return work.model


class NamedTensors(torch.utils.data.TensorDataset):
    def __getitem__(self, indices):
        x, y = super().__getitem__(indices)
        return {"x": x, "labels": y}


def default(work: Work) -> nn.Module:
    return fit(work)


def stripped(work: Work) -> nn.Module:
    return fit(work, logging_strategy="no", save_strategy="no", disable_tqdm=True, report_to="none")


DEFAULT, STRIPPED = default, stripped
