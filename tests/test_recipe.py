"""The recipe: every automatic choice follows from the data and the network, and has a reason."""

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.recipe import batch_size_for, epochs_for, resolve, selection_for

TWO = Task("binary", ("no", "yes"), 2)


def rows(x: Tensor, y: Tensor | None = None) -> Rows:
    y = torch.arange(len(x)) % 2 if y is None else y
    return Rows(x, y, torch.arange(len(x)), "train")


def decide(plan: tw.Plan, x: Tensor, y: Tensor | None = None, **changes: object) -> tuple[tw.Plan, dict[str, str]]:
    options = {
        "task": TWO,
        "network": nn.Linear(4, 2),
        "loss_name": "cross_entropy",
        "metrics": ("accuracy",),
        "table": False,
        "seed": 7,
    } | changes
    resolved, decisions = resolve(plan, rows=rows(x, y), **options)  # type: ignore[arg-type]
    return resolved, {d.field: d.reason for d in decisions}


def test_everything_but_the_rate_is_decided_with_a_reason() -> None:
    plan, reasons = decide(tw.Plan(), torch.randn(1000, 4))
    left = {name for name, value in plan.to_json().items() if value == "auto"}
    assert left == {"memory_format", "compile", "workers"}  # timed on the built network and its data
    assert plan.optimizer != "auto"
    assert plan.optimizer.lr == "auto"
    assert all(reasons.values())
    assert plan.seed == 7


def test_what_the_user_decided_stays() -> None:
    given = tw.Plan(optimizer=tw.optimizers.SGD(lr=0.1), epochs=3, batch_size=17, clip_norm=None, selection="loss")
    plan, reasons = decide(given, torch.randn(1000, 4))
    assert (plan.optimizer, plan.epochs, plan.batch_size) == (given.optimizer, 3, 17)
    assert not {"optimizer", "epochs", "batch_size", "clip_norm", "selection"} & set(reasons)


@pytest.mark.parametrize("n", [20, 150, 1168, 16_512, 60_000, 1_000_000])
def test_batches_and_epochs_stay_within_their_limits(n: int) -> None:
    size = batch_size_for(n)
    assert 16 <= size <= 256
    assert size & (size - 1) == 0
    epochs, _ = epochs_for(n, size)
    assert 15 <= epochs <= 60


@pytest.mark.parametrize("n", [17, 33, 1025, 2049, 16_513])
def test_no_batch_of_one_row_remains(n: int) -> None:
    assert n % batch_size_for(n) != 1


@pytest.mark.parametrize(
    ("x", "changes", "expected"),
    [
        (torch.randn(500, 4), {}, "none"),
        (torch.randn(500, 4) * 30 + 5, {}, "standardize"),
        (torch.randint(0, 256, (500, 4), dtype=torch.uint8), {}, "standardize"),
        (torch.randint(0, 9, (500, 4)), {}, "none"),
        (torch.randn(500, 4), {"table": True}, "standardize"),
    ],
    ids=["standard", "far from standard", "bytes", "indices", "table"],
)
def test_preprocessing_follows_the_inputs(x: Tensor, changes: dict[str, object], expected: str) -> None:
    assert decide(tw.Plan(), x, **changes)[0].preprocessing == expected


def test_a_network_that_was_trained_before_keeps_its_inputs() -> None:
    far = torch.randn(500, 4) * 30
    norm = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert decide(tw.Plan(), far, network=norm)[0].preprocessing == "standardize"
    norm(torch.randn(8, 4))
    plan, reasons = decide(tw.Plan(), far, network=norm)
    assert plan.preprocessing == "none"
    assert "have seen data" in reasons["preprocessing"]
    frozen = nn.Sequential(nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 2))
    assert "frozen" in decide(tw.Plan(), far, network=frozen)[1]["preprocessing"]


def test_regression_targets_are_scaled_under_a_named_loss_only() -> None:
    x, y = torch.randn(500, 4), torch.randn(500) * 100 + 1000
    task = Task("regression", (), 1)
    assert decide(tw.Plan(), x, y, task=task, loss_name="mse")[0].target_scaling == "standardize"
    assert decide(tw.Plan(), x, y, task=task, loss_name=None)[0].target_scaling == "none"
    assert decide(tw.Plan(), x, torch.randn(500), task=task, loss_name="mse")[0].target_scaling == "none"
    assert decide(tw.Plan(), x, y, task=task, loss_name="mse", metrics=("r2",))[0].selection == "loss"


def test_selection_is_accuracy_only_for_even_classes() -> None:
    x = torch.randn(500, 4)
    assert decide(tw.Plan(), x)[0].selection == "accuracy"
    rare = (torch.arange(500) % 25 == 0).long()
    assert decide(tw.Plan(), x, rare)[0].selection == "loss"
    task = Task("multiclass", (0, 1, 2), 3)
    uneven = torch.cat([torch.zeros(460), torch.ones(20), torch.full((20,), 2.0)]).long()
    assert decide(tw.Plan(), x, uneven, task=task)[0].selection == "loss"


def test_recurrent_networks_are_clipped() -> None:
    assert decide(tw.Plan(), torch.randn(500, 4), network=nn.GRU(4, 2))[0].clip_norm == 1.0
    assert decide(tw.Plan(), torch.randn(500, 4))[0].clip_norm is None


def test_balanced_accuracy_selects_where_it_is_the_measure_asked_for() -> None:
    even, uneven = torch.arange(90) % 3, torch.tensor([0] * 80 + [1] * 10)
    assert selection_for(even, Task("multiclass", (0, 1, 2), 3), ["balanced_accuracy"])[0] == "balanced_accuracy"
    assert selection_for(uneven, Task("binary", (0, 1), 2), ["balanced_accuracy"])[0] == "loss"
