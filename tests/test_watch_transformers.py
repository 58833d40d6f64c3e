"""Two lines around a training of Transformers, whose networks compute their own loss."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

import thalweg as tw
from thalweg.watched import Watch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the library's own imports
    reason = "Transformers is not installed: pip install 'transformers[torch]'"
    transformers: Any = pytest.importorskip("transformers", reason=reason)
    pytest.importorskip("accelerate", reason=reason)

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's, about its defaults
WORDS = torch.randint(2, 30, (600, 8), generator=torch.Generator().manual_seed(0))
LABELS = (WORDS[:, 0] > 15).long()


class Sentences(Dataset[dict[str, Tensor]]):
    def __init__(self, *, labels: Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(WORDS)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        mask = torch.ones(8, dtype=torch.long)
        return {"input_ids": WORDS[row], "attention_mask": mask, "labels": self.labels[row]}


def bert() -> Any:
    sizes: dict[str, int] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=30, intermediate_size=64, max_position_embeddings=16, **sizes)
    return transformers.BertForSequenceClassification(config)


def gpt() -> Any:
    sizes: dict[str, int] = {"n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=30, **sizes))


def trained(
    model: Any, folder: Path, *, optimizer: Any = None, labels: Tensor = LABELS, watched: bool = True
) -> Watch | None:
    settings: dict[str, Any] = {"report_to": [], "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=6, per_device_train_batch_size=16, learning_rate=3e-3,
        lr_scheduler_type="constant", use_cpu=True, seed=0, **settings,
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=Sentences(labels=labels), optimizers=(optimizer, None)
    )
    if not watched:
        trainer.train()
        return None
    with tw.watch(model, listeners=()) as watch:
        trainer.train()
    return watch


def test_a_healthy_training_is_told_so_and_left_as_it_is(tmp_path):
    torch.manual_seed(0)
    model = bert()
    torch.manual_seed(0)
    plain = bert()
    watch = trained(model, tmp_path)
    trained(plain, tmp_path, watched=False)
    assert watch._steps.count == 228
    assert [f.code for f in watch.findings if f.counts] == []
    assert watch.check is not None, watch.unseen
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_parameters_that_the_optimizer_misses(tmp_path):
    model = bert()
    watch = trained(model, tmp_path, optimizer=torch.optim.AdamW(model.classifier.parameters(), lr=3e-3))
    assert [f.code for f in watch.findings if f.counts] == ["LOOP03"]


def test_a_rate_that_is_much_too_low(tmp_path):
    model = bert()
    watch = trained(model, tmp_path, optimizer=torch.optim.AdamW(model.parameters(), lr=1e-7))
    assert [f.cause for f in watch.findings if f.counts] == ["lr_too_low"]


def test_a_language_model_says_what_cannot_be_judged(tmp_path):
    watch = trained(gpt(), tmp_path, labels=WORDS)
    assert [f.code for f in watch.findings if f.counts] == []
    assert any("computes its own loss" in reason for reason in watch.unseen)
