"""Rows of a group depend on each other: intervals over groups cover, intervals over rows do not."""

import numpy as np
import pytest
import torch

from thalweg.errors import UsageError
from thalweg.evaluate.clustered import over_groups
from thalweg.evaluate.functions import class_functions, label_functions, value_functions
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.evaluate.result import Measure, Threshold

NUM_GROUPS, ROWS = 40, 12


def draw(generator, *, kind="binary"):
    """Outputs, targets and groups: what a network gets right depends on whose row it is."""
    groups = torch.arange(NUM_GROUPS).repeat_interleave(ROWS)
    own = 1.2 * torch.randn(NUM_GROUPS, generator=generator)[groups]
    if kind == "regression":
        target = torch.randn(len(groups), generator=generator) + own
        return target + own * 0.8 + 0.3 * torch.randn(len(groups), generator=generator), target, groups
    target = (torch.rand(len(groups), generator=generator) < 0.5).long()
    output = (2 * target - 1) * (1.0 + own) + torch.randn(len(groups), generator=generator)
    return output, target, groups


@pytest.mark.parametrize(
    ("kind", "names"), [("binary", ("accuracy", "f1", "auc", "log_loss")), ("regression", ("mae", "rmse"))]
)
def test_intervals_over_groups_cover(kind, names):
    """The truth is the mean over very many samples; 120 samples have a standard deviation of .02 around .95."""
    generator = torch.Generator().manual_seed(1)

    def functions():
        output, target, groups = draw(generator, kind=kind)
        return functions_of(output, target, kind, ["0", "1"]), groups

    ones = torch.ones(1, NUM_GROUPS * ROWS, dtype=torch.float64)
    many = [functions()[0] for _ in range(400)]
    truth = {name: np.mean([float(found[name, ""](ones)) for found in many]) for name in names}
    covered = {"rows": dict.fromkeys(names, 0), "groups": dict.fromkeys(names, 0)}
    for _ in range(120):
        found, groups = functions()
        for name in names:
            value = float(found[name, ""](ones))
            for unit, codes in (("rows", torch.arange(len(groups))), ("groups", groups)):
                each = Measure(name, value, 0.0, 1.0)
                each = over_groups(each, found[name, ""], codes=codes, seed=0, replicates=200)
                covered[unit][name] += each.low <= truth[name] <= each.high
    for name in names:
        assert covered["groups"][name] >= 120 * (0.95 - 3 * 0.02), (name, covered)
        assert covered["rows"][name] < 120 * 0.8, (name, covered)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_every_function_of_weights_is_its_measure(kind):
    """With equal weights it is the value; with whole weights that of repeated rows."""
    generator = torch.Generator().manual_seed(5)
    shape = (90,) if kind == "binary" else (90, 3)
    output = torch.randn(shape, generator=generator)
    if kind == "regression":
        target = output + torch.randn(shape, generator=generator)
    elif kind == "multilabel":
        target = (torch.rand(shape, generator=generator) < 0.3).long()
    else:
        target = torch.randint(2 if kind == "binary" else 3, (90,), generator=generator)
    times = torch.randint(1, 4, (90,), generator=generator)
    for weights in (torch.ones(90, dtype=torch.long), times):
        rows = torch.arange(90).repeat_interleave(weights)
        result = evaluate_outputs(output[rows], target[rows], kind=kind, replicates=2)
        functions = functions_of(output, target, kind, [row.name for row in (*result.per_class, *result.per_target)])
        found = [(m, "") for m in result.measures if m.name != "calibration_error"]
        for row in (*result.per_class, *result.per_target):
            kept = [getattr(row, name) for name in row.__slots__]
            found += [(m, row.name) for m in kept if hasattr(m, "method")]
        assert len(found) > 5
        for each, of in found:
            value = float(functions[each.name, of](weights[None].double()))
            assert value == pytest.approx(each.value, abs=1e-9), (each.name, of)


def functions_of(output, target, kind, names):
    cut = Threshold(0.0, "logits", "default")
    if kind == "regression":
        return value_functions(output, target, names=names if target.ndim > 1 else ())
    if kind == "multilabel":
        return label_functions(output, target, scores="logits", threshold=cut, names=names)
    own = cut if kind == "binary" else None
    return class_functions(output, target, kind=kind, scores="logits", threshold=own, classes=names)


def test_one_group_has_no_interval_and_says_why():
    output, target, _ = draw(torch.Generator().manual_seed(0))
    result = evaluate_outputs(output, target, kind="binary", groups=torch.zeros(len(target), dtype=torch.long))
    assert result["accuracy"].low is None
    assert "of one group" in result["accuracy"].note
    assert "not resampled by groups" in result["calibration_error"].note


def test_all_right_is_as_much_evidence_as_there_are_groups():
    target = torch.arange(60) % 2
    output = 10.0 * (2 * target - 1)
    result = evaluate_outputs(output, target, kind="binary", groups=torch.arange(60) // 6)
    low = result["accuracy"].low
    assert result["accuracy"].high == 1
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 10), abs=1e-6)  # Wilson of 10 in 10


def test_positions_take_groups_too():
    generator = torch.Generator().manual_seed(2)
    output, target = torch.randn(40, 5, 4, generator=generator), torch.randint(4, (40, 5), generator=generator)
    alone = evaluate_outputs(output, target, kind="per_position")
    grouped = evaluate_outputs(output, target, kind="per_position", groups=torch.arange(40) // 4)
    assert grouped["accuracy"].value == alone["accuracy"].value
    assert grouped["accuracy"].method == "bootstrap of whole groups (BCa)"


def test_groups_of_a_wrong_length_are_named():
    with pytest.raises(UsageError, match=r"groups has shape \[3\]; give one code per row, \[4\]"):
        evaluate_outputs(torch.zeros(4), torch.tensor([0, 1, 0, 1]), kind="binary", groups=torch.zeros(3))
