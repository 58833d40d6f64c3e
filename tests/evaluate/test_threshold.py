import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from thalweg.errors import DataError, UsageError
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.evaluate.threshold import choose_threshold

OBJECTIVES = {
    "f1": lambda true, hard: reference.f1_score(true, hard, zero_division=0),
    "balanced_accuracy": reference.balanced_accuracy_score,
    "youden": lambda true, hard: reference.balanced_accuracy_score(true, hard, adjusted=True),
    "f2": lambda true, hard: reference.fbeta_score(true, hard, beta=2, zero_division=0),
    "f0.5": lambda true, hard: reference.fbeta_score(true, hard, beta=0.5, zero_division=0),
    "accuracy": reference.accuracy_score,
    "mcc": reference.matthews_corrcoef,
    "cost_10": lambda true, hard: -(10 * (true * ~hard).sum() + ((1 - true) * hard).sum()) / len(true),
}
tied = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-5, 5), min_size=n, max_size=n), st.lists(st.integers(0, 1), min_size=n, max_size=n)
    )
)


@settings(max_examples=120, deadline=None)
@given(tied.filter(lambda rows: 0 < sum(rows[1]) < len(rows[1])), st.sampled_from(sorted(OBJECTIVES)))
def test_no_cut_reaches_more(rows, objective):
    scores, true = np.array(rows[0], dtype=float), np.array(rows[1])
    found = choose_threshold(torch.tensor(scores), torch.tensor(true), objective=objective)
    every = [OBJECTIVES[objective](true, scores > cut) for cut in (*np.unique(scores), -np.inf)]
    assert found.reached == pytest.approx(max(every), abs=1e-12)
    assert OBJECTIVES[objective](true, scores > found.value) == pytest.approx(found.reached, abs=1e-12)
    assert (found.scores, found.chosen_on, found.objective, found.count) == (
        "logits",
        "validation",
        objective,
        len(true),
    )


def test_the_cut_lies_in_the_middle_of_its_gap():
    assert choose_threshold(torch.tensor([-3.0, -1.0, 2.0, 4.0]), torch.tensor([0, 0, 1, 1])).value == 0.5


@pytest.mark.parametrize(("p", "nearest"), [([0.05, 0.15, 0.45, 0.65], 0.55), ([0.35, 0.45, 0.85, 0.95], 0.40)])
def test_of_equal_cuts_the_one_nearest_to_one_half_is_taken(p, nearest):
    found = choose_threshold(torch.tensor(p), torch.tensor([0, 1, 0, 1]), objective="youden", scores="probabilities")
    assert found.reached == 0.5  # also in the other gap above a negative row
    assert found.value == pytest.approx(nearest)


def test_neighboring_floats_are_still_parted():
    low = torch.tensor(1.0, dtype=torch.float64)
    high = torch.nextafter(low, torch.tensor(2.0, dtype=torch.float64))
    scores, true = torch.stack([low, high]), torch.tensor([0, 1])
    found = choose_threshold(scores, true)
    assert found.reached == 1.0
    assert (scores > found.value).tolist() == [False, True]


def test_every_form_of_output_gives_the_same_cut():
    logit = torch.tensor([-2.0, 0.5, 1.0, 3.0, -1.0])
    true = torch.tensor([0, 1, 0, 1, 0])
    first = choose_threshold(logit, true)
    assert choose_threshold(logit[:, None], true.float()) == first
    assert choose_threshold(torch.stack([1 - logit, torch.ones(5)], 1), true) == first
    p = logit.double().sigmoid()
    by_probability = choose_threshold(p, true, scores="probabilities")
    assert torch.equal(p > by_probability.value, logit > first.value)


def test_a_weak_network_reaches_its_best_f1_by_calling_every_row_positive():
    found = choose_threshold(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1, 1, 1, 0]))
    assert found.value == -math.inf
    assert found.probability == 0.0
    assert found.note == "every row is called positive: no cut does better"


def test_one_class_cannot_choose_and_says_so():
    found = choose_threshold(torch.tensor([0.2, 0.9]), torch.tensor([1, 1]), scores="probabilities")
    assert (found.value, found.chosen_on) == (0.5, "default")
    assert found.note == "not chosen: all rows are of one class, so there is nothing to rank"
    assert math.isnan(found.reached)


def test_nan_and_an_unknown_objective_are_refused():
    with pytest.raises(DataError, match="NaN"):
        choose_threshold(torch.tensor([math.nan, 1.0]), torch.tensor([0, 1]))
    with pytest.raises(UsageError, match=r"got 'youdin'\. Did you mean 'youden'"):
        choose_threshold(torch.tensor([0.0, 1.0]), torch.tensor([0, 1]), objective="youdin")


def test_the_measures_are_taken_at_the_chosen_threshold():
    generator = torch.Generator().manual_seed(0)
    true = (torch.rand(400, generator=generator) < 0.1).long()
    score = torch.randn(400, generator=generator) + 2 * true - 3
    chosen = choose_threshold(score[:200], true[:200])
    result = evaluate_outputs(score[200:], true[200:], kind="binary", threshold=chosen, replicates=50)
    hard = score[200:] > chosen.value
    assert result.threshold == chosen
    assert result["f1"].value == pytest.approx(reference.f1_score(true[200:], hard))
    given_number = evaluate_outputs(score[200:], true[200:], kind="binary", threshold=chosen.value, replicates=50)
    assert given_number.confusion == result.confusion
    assert given_number.threshold.chosen_on == "given"
    with pytest.raises(UsageError, match="chosen on logits, and the outputs are probabilities"):
        evaluate_outputs(score.sigmoid(), true, kind="binary", scores="probabilities", threshold=chosen)
    with pytest.raises(UsageError, match="belongs to a binary or multi-label task; this one is multiclass"):
        evaluate_outputs(torch.eye(3), torch.arange(3), kind="multiclass", threshold=0.5)


@pytest.mark.parametrize("objective", ["recall_at_precision_0.7", "precision_at_recall_0.7", "tpr_at_fpr_0.1"])
def test_a_limit_is_kept_and_nothing_better_keeps_it(objective):
    generator = torch.Generator().manual_seed(3)
    true = (torch.rand(400, generator=generator) < 0.4).long()
    scores = (torch.randn(400, generator=generator) + 1.5 * true).round(decimals=1)
    found = choose_threshold(scores, true, objective=objective)

    def kept(cut):
        hard = (scores > cut).numpy()
        recall = reference.recall_score(true, hard)
        precision = reference.precision_score(true, hard, zero_division=0)
        false_rate = float((hard & (true == 0).numpy()).sum() / (true == 0).sum())
        return {
            "recall_at_precision_0.7": (recall, precision >= 0.7),
            "precision_at_recall_0.7": (precision, recall >= 0.7),
            "tpr_at_fpr_0.1": (recall, false_rate <= 0.1),
        }[objective]

    value, keeps = kept(found.value)
    assert keeps
    assert value == pytest.approx(found.reached, abs=1e-12)
    others = [kept(cut) for cut in (*torch.unique(scores).tolist(), -math.inf)]
    assert value == pytest.approx(max(value for value, keeps in others if keeps), abs=1e-12)


def test_a_limit_that_no_cut_keeps_chooses_nothing():
    found = choose_threshold(torch.tensor([2.0, 1.0]), torch.tensor([0, 1]), objective="recall_at_precision_0.9")
    assert (found.value, found.chosen_on, found.note) == (0.0, "default", "not chosen: no cut keeps the limit")


@pytest.mark.parametrize("objective", ["f", "f0", "fbeta", "cost_", "tpr_at_fpr_1.5", "auc", "f-1"])
def test_an_unknown_objective_is_named(objective):
    with pytest.raises(UsageError, match=r"Allowed: f1, f2, f0\.5"):
        choose_threshold(torch.tensor([2.0, 1.0]), torch.tensor([0, 1]), objective=objective)
