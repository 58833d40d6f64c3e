import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.data.split import Split, split_rows
from thalweg.errors import DataError, UsageError


def parts(split: Split) -> tuple[torch.Tensor, ...]:
    return split.train, split.validation, split.test


def assert_partition(split: Split, num_rows: int) -> None:
    for part in parts(split):
        assert part.dtype == torch.int64
        assert torch.equal(part, part.sort().values)
    assert torch.equal(torch.cat(parts(split)).sort().values, torch.arange(num_rows))


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    validation=st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.3]),
    test=st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.45]),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=200, deadline=None)
def test_stratified_sizes_are_exact_and_classes_in_proportion(
    counts: list[int], validation: float, test: float, seed: int
) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    num_rows = len(labels)
    try:
        split = split_rows(num_rows, labels=labels, validation=validation, test=test, seed=seed)
    except DataError:
        sizes = [round(s * num_rows) for s in (validation, test) if s]
        assert min(sizes) == 0 or sum(sizes) >= num_rows  # a part without rows, held-out or training
        return
    assert_partition(split, num_rows)
    assert len(split.test) == round(test * num_rows)
    assert len(split.validation) == round(validation * num_rows)
    if split.method != "stratified":
        return
    num_parts = 1 + (validation > 0) + (test > 0)
    of = [torch.bincount(labels[part], minlength=len(counts)) for part in parts(split)]
    large = torch.tensor([n for n in counts if n >= num_parts]).sum()
    for c, count in enumerate(counts):
        assert of[0][c] >= 1
        if count < num_parts:
            assert of[0][c] == count
        elif of[0][c] > 1:  # a class that keeps its last row in training cannot follow its quota
            assert abs(of[2][c] - count * len(split.test) / large) < 2
            assert abs(of[1][c] - count * len(split.validation) / large) < 2.5


def test_balanced_classes_are_split_exactly() -> None:
    labels = torch.arange(1000) % 10
    split = split_rows(1000, labels=labels, validation=0.16, test=0.2, seed=3)
    for part, expected in zip(parts(split), (64, 16, 20), strict=True):
        assert torch.bincount(labels[part]).tolist() == [expected] * 10


def test_unbalanced_classes_follow_the_largest_remainder() -> None:
    # quotas of the test rows: 63.0, 6.3, 0.7 for 70 seats, so 63, 6 and 1
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([900, 90, 10]))
    split = split_rows(1000, labels=labels, validation=0, test=0.07, seed=0)
    assert torch.bincount(labels[split.test]).tolist() == [63, 6, 1]
    assert split.validation.tolist() == []


def test_a_small_class_stays_in_training_and_is_mentioned() -> None:
    labels = torch.cat([torch.arange(100) % 4, torch.tensor([4, 4, 5])])
    split = split_rows(103, labels=labels, validation=0.2, test=0.2, seed=0)
    assert {100, 101, 102} <= set(split.train.tolist())
    assert "stratified over 4 classes; 2 classes of fewer than 3 rows kept in training" in split.summary
    assert (len(split.validation), len(split.test)) == (round(0.2 * 103), round(0.2 * 103))


def test_more_classes_than_training_rows_are_split_at_random() -> None:
    split = split_rows(100, labels=torch.arange(100), validation=0.2, test=0.2, seed=0)
    assert split.method == "random"
    assert "too many classes" in split.summary
    assert len(split.test) == 20


def test_it_is_a_function_of_the_seed_and_leaves_the_global_state() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    labels = torch.arange(300) % 3
    first = split_rows(300, labels=labels, validation=0.2, test=0.2, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = split_rows(300, labels=labels, validation=0.2, test=0.2, seed=5)
    other = split_rows(300, labels=labels, validation=0.2, test=0.2, seed=6)
    assert torch.equal(first.test, again.test)
    assert torch.equal(first.validation, again.validation)
    assert not torch.equal(first.test, other.test)


def test_every_row_is_equally_likely_to_be_tested() -> None:
    hits = torch.zeros(50)
    for seed in range(400):
        hits[split_rows(50, labels=torch.arange(50) % 2, validation=0.2, test=0.2, seed=seed).test] += 1
    # 80 expected with a standard deviation of 8
    assert hits.min() > 80 - 36
    assert hits.max() < 80 + 36


def test_floats_are_not_stratified() -> None:
    split = split_rows(50, labels=torch.rand(50), validation=0.2, test=0.2, seed=0)
    assert split.method == "random"
    assert split.summary == "30 training, 10 validation and 10 test rows, at random"


@given(
    sizes=st.lists(st.integers(1, 30), min_size=8, max_size=40),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_no_group_is_in_two_parts(sizes: list[int], seed: int) -> None:
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    num_rows = len(groups)
    split = split_rows(num_rows, labels=None, validation=0.2, test=0.2, seed=seed, groups=groups)
    assert_partition(split, num_rows)
    assert split.method == "by group"
    held = [{groups[i] for i in part.tolist()} for part in parts(split)]
    assert sum(map(len, held)) == len(sizes)
    for part in (split.validation, split.test):
        assert abs(len(part) - 0.2 * num_rows) <= max(sizes)


def test_groups_that_cannot_fill_every_part_are_refused() -> None:
    with pytest.raises(DataError, match=r"leaves the validation part empty, which should hold 1 row: .* finer groups"):
        split_rows(100, labels=None, validation=0.01, test=0.2, seed=0, groups=[0] * 2 + [1] * 3 + [2] * 95)


def test_groups_that_fit_give_exact_sizes() -> None:
    groups = np.repeat(np.arange(6), 500)  # six speakers
    split = split_rows(3000, labels=torch.arange(3000) % 10, validation=1 / 6, test=1 / 6, seed=0, groups=groups)
    assert (len(split.train), len(split.validation), len(split.test)) == (2000, 500, 500)
    assert "(4 / 1 / 1 groups)" in split.summary


def test_the_largest_group_does_not_swallow_the_test_part() -> None:
    groups = torch.cat([torch.zeros(900), torch.arange(1, 101)])
    split = split_rows(1000, labels=None, validation=0.02, test=0.03, seed=0, groups=groups)
    assert (len(split.validation), len(split.test)) == (20, 30)


@pytest.mark.parametrize("as_text", [False, True])
def test_the_latest_rows_are_the_test_rows(as_text: bool) -> None:
    days = np.datetime64("2024-01-01") + np.random.default_rng(0).permutation(100)
    time = days.astype(str).tolist() if as_text else days
    split = split_rows(100, labels=None, validation=0.2, test=0.1, seed=0, time=time)
    assert_partition(split, 100)
    assert split.method == "by time"
    assert (len(split.validation), len(split.test)) == (20, 10)
    assert days[split.train].max() < days[split.validation].min()
    assert days[split.validation].max() < days[split.test].min()


def test_rows_of_one_time_stay_together() -> None:
    years = torch.tensor([2020] * 40 + [2021] * 35 + [2022] * 25)
    split = split_rows(100, labels=None, validation=0.3, test=0.2, seed=0, time=years)
    assert [sorted(set(years[p].tolist())) for p in parts(split)] == [[2020], [2021], [2022]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0.6, "test": 0.4}, "leave nothing to train on"),
        ({"validation": 0.01, "test": 0.2}, "is no validation row"),
        ({"groups": [1] * 10 + [2] * 10}, "at least 3 groups, .* received 2 groups"),
        ({"groups": [1, 2, 3]}, r"groups must be one value per row, of shape \(20,\); received shape \(3,\)"),
        ({"groups": [None] + ["a", "b"] * 9 + ["c"]}, "groups is missing in row 0"),
        ({"groups": ["a", float("nan")] * 10}, "groups is missing in row 1"),
        ({"time": [1] * 20}, "leaves the validation part empty"),
        ({"time": [float("nan")] + [1.0] * 19}, "time is missing in row 0"),
        ({"time": ["2020", *range(19)]}, "time holds values that have no order"),
        ({"labels": torch.zeros(7, dtype=torch.int64)}, "labels must be one value per row"),
    ],
)
def test_what_cannot_be_split_is_refused(options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"labels": None, "validation": 0.2, "test": 0.2, "seed": 0} | options
    with pytest.raises(DataError, match=message):
        split_rows(20, **arguments)  # type: ignore[arg-type]


def test_no_rows() -> None:
    with pytest.raises(DataError, match="0 rows"):
        split_rows(0, labels=None, validation=0.2, test=0.2, seed=0)


@pytest.mark.parametrize("share", [-0.1, 1.0, 20, float("nan")])
def test_a_share_outside_its_range(share: float) -> None:
    with pytest.raises(UsageError, match=r"not in \[0, 1\)"):
        split_rows(20, labels=None, validation=0.2, test=share, seed=0)


def test_groups_and_time_at_once() -> None:
    with pytest.raises(UsageError, match="by groups or by time"):
        split_rows(4, labels=None, validation=0, test=0.25, seed=0, groups=[1, 2, 3, 4], time=[1, 2, 3, 4])
