from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data05_unseen_classes import judge


def classes(train: int, validation: int, unseen: float, *, rows: int = 4000) -> Readings:
    return Readings(
        [
            Reading("target.distinct", 2),
            Reading("labels.classes", train, place="train", count=rows),
            Reading("labels.classes", validation, place="validation", count=1000),
            Reading("labels.unseen", unseen, place="validation", count=1000, note="class 7"),
        ]
    )


BROKEN = classes(1, 10, 0.9)
HEALTHY = Readings([Reading("target.distinct", 2)])


@pytest.mark.parametrize(
    ("train", "unseen", "severity", "cause"),
    [
        (1, 0.9, "error", "label_corruption"),
        (6, 0.4, "warning", "split_shift"),
        (6, 0.2, "warning", "split_shift"),
        (6, 0.19, "note", "split_shift"),
    ],
)
def test_severity(train: int, unseen: float, severity: str, cause: str) -> None:
    (finding,) = judge(classes(train, 10, unseen))
    assert (finding.severity, finding.standing, finding.cause) == (severity, "proven", cause)


def test_a_few_training_rows_of_one_class_prove_nothing_about_labels() -> None:
    (finding,) = judge(classes(1, 2, 0.1, rows=8))
    assert finding.severity == "note"


def experiment(tmp_path: Path, train: torch.Tensor, held: torch.Tensor, *, outputs: int = 10) -> tw.Experiment:
    generator = torch.Generator().manual_seed(0)
    return tw.Experiment(
        nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, outputs)),
        train=(torch.randn(len(train), 4, generator=generator), train),
        validation=(torch.randn(len(held), 4, generator=generator), held),
        test=False,
        loss=lambda output, target: nn.functional.cross_entropy(output, target),
        task="multiclass",
        directory=tmp_path,
    )


def test_labels_that_were_scaled_to_zero(tmp_path: Path) -> None:
    found = experiment(tmp_path, torch.zeros(300).long(), torch.arange(100) % 10).check().findings
    assert ("DATA05", "error") in [(f.code, f.severity) for f in found]


def test_a_class_that_came_later(tmp_path: Path) -> None:
    """It trains, is measured on ten classes, and the note says why one of them is never found."""
    held = torch.arange(100) % 10
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=1e-3), epochs=2, batch_size=32, probes=True)
    run = experiment(tmp_path, torch.arange(300) % 9, held).train(plan, listeners=())
    (finding,) = [f for f in run.findings if f.code == "DATA05"]
    assert finding.title == "10 % of the validation rows are of class 9, which no training row has"
    assert not finding.counts


def test_all_classes_everywhere_pass(tmp_path: Path) -> None:
    made = experiment(tmp_path, torch.arange(300) % 10, torch.arange(50) % 5)
    assert not [f for f in made.check().findings if f.code == "DATA05"]


def test_a_label_without_an_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="The network has 5 outputs, and the labels of validation or test go up to 9"):
        experiment(tmp_path, torch.arange(300) % 5, torch.arange(100) % 10, outputs=5).check()
