"""Two lines around a Lightning training: no callback, no change of the module."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.watched import Watch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the library's own imports
    lightning: Any = pytest.importorskip("lightning", reason="Lightning is not installed: pip install lightning")

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's, about workers and loggers
G = torch.Generator().manual_seed(0)
X = torch.randn(1200, 12, generator=G)
Y = 2 * (X[:, 0] * X[:, 1] > 0).long() + (X[:, 2] + X[:, 3] > 0).long()


class Classifier(lightning.LightningModule):
    """Healthy, or with one fault."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        body = (nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
        self.net = nn.Sequential(*body, nn.Linear(32, 4))
        self.automatic_optimization = fault != "not cleared"

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Tensor | None:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        if self.automatic_optimization:
            return -loss if self.fault == "ascended" else loss
        self.manual_backward(loss)
        self.optimizers().step()
        return None

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("validation_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def on_train_epoch_start(self) -> None:
        self.train(self.fault != "never in training mode")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fitted(fault: str = "", *, watched: bool = True) -> tuple[Classifier, Watch | None]:
    torch.manual_seed(0)
    module = Classifier(fault)
    silent: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=6, accelerator="cpu", enable_checkpointing=False, **silent)
    train, validation = TensorDataset(X, Y), TensorDataset(X[:100], Y[:100])
    loaders = DataLoader(train, 32, shuffle=True), DataLoader(validation, 50)
    if not watched:
        trainer.fit(module, *loaders)
        return module, None
    with tw.watch(module, listeners=()) as watch:
        trainer.fit(module, *loaders)
    return module, watch


def test_a_healthy_training_is_told_so_and_left_as_it_is():
    module, watch = fitted()
    plain, _ = fitted(watched=False)
    assert watch._steps.count == 228
    assert [f.code for f in watch.findings if f.counts] == []
    assert watch.check is not None
    for name, value in plain.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])


@pytest.mark.parametrize(
    ("fault", "code"), [("not cleared", "LOOP01"), ("ascended", "LOOP02"), ("never in training mode", "LOOP04")]
)
def test_a_fault_is_the_first_cause(fault, code):
    _, watch = fitted(fault)
    assert next(f.code for f in watch.findings if f.counts) == code
