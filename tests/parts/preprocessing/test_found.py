"""Mistakes that were found by use: each test failed once."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.data.rows import Rows
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing import PCA, Chain, Log, MinMax, Power, Preparation, Robust, Standardize, Table
from thalweg.parts.preprocessing import measured as measuring
from thalweg.parts.preprocessing.covariance import gram
from thalweg.parts.preprocessing.encoder import TableEncoder
from thalweg.parts.preprocessing.moments import Moments

SHORT = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.01), epochs=1, batch_size=64, probes=False, memory_format="contiguous"
)


def rows(x: Tensor) -> Rows:
    return Rows(x, torch.zeros(len(x)), torch.arange(len(x)), "train")


@pytest.mark.parametrize("part", [Standardize(), MinMax(), Robust(), Log(), Power(), PCA()], ids=repr)
def test_rows_in_memory_are_measured_block_by_block(part: Preparation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of a memory map at once took up to eight times its size."""
    x = torch.randn(1000, 3, 4, 4)
    whole = part.fit(rows(x))
    sizes: list[int] = []
    arrange = type(part).arrange

    def watched(self: Preparation, values: Tensor) -> Tensor:
        sizes.append(values.numel())
        return arrange(self, values)

    monkeypatch.setattr(type(part), "arrange", watched)
    monkeypatch.setattr(measuring, "BLOCK", 4800)
    torch.testing.assert_close(part.fit(rows(x))(x), whole(x))
    assert max(sizes) == 4800


FAR = {
    "incomes from 500": lambda random: (1 - random.random(3000)) ** (-1 / 1.5) * 100 + 500,
    "prices from 10,000": lambda random: 1e4 + random.pareto(2, 3000) * 100,
    "years, skewed to the left": lambda random: 2025 - random.exponential(8, 3000),
    "years": lambda random: 2000.0 + random.integers(0, 25, 3000),
    "far below 0": lambda random: -random.lognormal(8, 2, 3000) - 1e4,
    "around a million": lambda random: random.normal(size=3000) + 1e6,
}


@pytest.mark.parametrize("name", FAR)
def test_a_power_loses_no_values_in_float32(name: str) -> None:
    """The likeliest power made one number of a column far from 0; the inverse was off by 30 deviations."""
    x = torch.tensor(FAR[name](np.random.default_rng(0)))[:, None].float()
    deviation = x.double().std()
    for part in (Power(skewness=0), Chain(Power(skewness=0), Standardize())):
        module = part.fit(rows(x))
        y = module(x)
        assert y.isfinite().all()
        assert (y.double() - module.between(x.double())).abs().max() < 0.011 * y.double().std()  # type: ignore[arg-type]
        assert (module.inverse(y).double() - x.double()).abs().max() < 0.011 * deviation  # type: ignore[operator]


def test_a_target_is_not_cut(tmp_path: Path) -> None:
    """Validation targets beyond the range of the training rows were measured as if they were at its end."""
    experiment = tw.Experiment(
        nn.Linear(3, 1), train=(torch.randn(99, 3), torch.randn(99)), loss="mse", directory=tmp_path
    )
    for part in (MinMax(clip=True), Chain(Log(), MinMax(clip=True))):
        with pytest.raises(UsageError, match=r"cannot be undone for each target.*MinMax without clip"):
            experiment.train(SHORT.replace(target_scaling=part), listeners=())


@pytest.mark.parametrize("given", [(Log(), Standardize()), [Log(), Standardize()]], ids=["tuple", "list"])
def test_several_parts_are_a_chain(given: Any) -> None:
    plan = tw.Plan(preprocessing=given, target_scaling=given)
    assert plan.preprocessing == plan.target_scaling == Chain(Log(), Standardize())
    assert tw.Plan.from_json(plan.to_json()) == plan
    assert tw.Plan().replace(preprocessing=["log", {"name": "Standardize"}]) == tw.Plan(preprocessing=given)
    with pytest.raises(UsageError, match="field 'schedule' got"):
        tw.Plan().replace(schedule=["cosine"])


def test_a_chain_takes_no_table() -> None:
    with pytest.raises(UsageError, match=r"Table\(numbers=Chain\(\.\.\.\)\)"):
        Chain(Table(), PCA())


@pytest.mark.parametrize("part", [Standardize(), MinMax(), Robust(), Power(), PCA()], ids=repr)
def test_inputs_without_numbers_to_prepare(part: Preparation) -> None:
    with pytest.raises(DataError, match=r"complex inputs.*view_as_real"):
        part.fit(rows(torch.randn(9, 2, dtype=torch.complex64)))
    with pytest.raises(DataError, match=r"shapes \[\[0\]\], in which there are no values"):
        part.fit(rows(torch.zeros(9, 0)))


@pytest.mark.parametrize("part", [Standardize(), MinMax(), Robust(), Log(), PCA(), Chain(Log(), PCA())], ids=repr)
def test_what_is_no_rows_or_none(part: Preparation) -> None:
    with pytest.raises(UsageError, match=r"got Tensor; it is fitted on training rows: experiment\.data\.train"):
        part.fit(torch.randn(9, 2))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="got no training rows"):
        part.fit(rows(torch.zeros(0, 2)))


@pytest.mark.parametrize("part", [Standardize(), Log(), PCA()], ids=repr)
def test_more_rows_cannot_be_among_fewer(part: Preparation) -> None:
    few, many = part.measure(rows(torch.randn(9, 2))), part.measure(rows(torch.randn(20, 2)))
    with pytest.raises(UsageError, match=r"\[20\] values cannot be among \[9\]"):
        few.subtract(many)


@pytest.mark.parametrize("columns", [1, 127, 128, 131, 300])
def test_the_half_of_a_symmetric_product(columns: int) -> None:
    x = torch.randn(50, columns, dtype=torch.float64)
    torch.testing.assert_close(gram(x), x.T @ x, rtol=1e-12, atol=1e-12)


def test_moments_of_one_far_row_and_many() -> None:
    """Σ n (mean − first)² − n (Σ ...)² is off by 1e-11 here."""
    first = torch.tensor([[1e9]], dtype=torch.float64)
    others = torch.randn(100_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = Moments.of(first).update(others)
    torch.testing.assert_close(state.subtract(Moments.of(first)).mean, others.mean(0), rtol=0, atol=1e-6)
    expected = torch.cat([first, others]).var(0, correction=0)
    torch.testing.assert_close(state.variance, expected, rtol=1e-13, atol=0)


def people() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.normal(40, 9, 300), "income": random.lognormal(10, 1, 300)})
    frame["job"] = random.choice(["cook", "clerk", "pilot"], 300)
    frame["size"] = random.choice(["S", "M"], 300)
    frame["buys"] = frame["income"] > 20_000
    return frame


class Embedded(nn.Module):
    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.count = len(spec.categories)
        self.tables = nn.ModuleList(nn.Embedding(size, 3) for size in spec.categories)
        self.linear = nn.Linear(spec.inputs[0][0] - self.count + 3 * self.count, spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        numbers, codes = x[:, : -self.count], x[:, -self.count :].long()
        return self.linear(torch.cat([numbers, *(table(codes[:, i]) for i, table in enumerate(self.tables))], 1))


def test_a_builder_gets_the_sizes_of_categories(tmp_path: Path) -> None:
    experiment = tw.Experiment(Embedded, train=people(), target="buys", loss="cross_entropy", directory=tmp_path)
    run = experiment.train(SHORT.replace(preprocessing=Table(categories="index")), listeners=())
    assert [table.num_embeddings for table in run.network.tables] == [4, 3]  # "other" is one of them
    new = people().drop(columns="buys")[:3]
    new["job"] = "astronaut"
    assert len(run.predict(new)) == 3
    specs = []

    def build(spec: Any) -> nn.Module:
        specs.append(spec)
        return nn.Linear(spec.inputs[0][0], spec.outputs)

    tw.Experiment(build, train=people(), target="buys", loss="cross_entropy", directory=tmp_path).train(
        SHORT, listeners=()
    )
    assert specs[-1].categories == ()


def fitted(part: Table) -> Any:
    frame = people().drop(columns="buys")
    encoder = TableEncoder.fit(frame)
    return part.fit_table(rows(encoder.encode(frame)), encoder), encoder.encode(frame)


def test_a_report_names_the_columns_of_a_table() -> None:
    module, _ = fitted(Table(numbers=Chain(Log(), Standardize())))
    assert module.report == "1 of 2 columns got the logarithm: income"


def test_components_are_no_columns_also_where_there_are_as_many() -> None:
    module, _ = fitted(Table(numbers=Chain(Standardize(), PCA())))
    assert module.names[:2] == ("component 1", "component 2")


def test_a_table_as_it_is(tmp_path: Path) -> None:
    """Plan(preprocessing="none"), and with it Plan.plain, standardized a table without a word."""
    module, x = fitted(Table(numbers=None))
    torch.testing.assert_close(module(x)[:, :2], x[:, :2].float())
    experiment = tw.Experiment(
        lambda spec: nn.Linear(spec.inputs[0][0], 1),
        train=people(),
        target="buys",
        loss="binary_cross_entropy",
        directory=tmp_path,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=1e-6), epochs=1, batch_size=64)
    run = experiment.train(plan, listeners=())
    x = experiment.data.train.inputs  # type: ignore[union-attr, assignment]
    prepared = run.model.preprocessing(x)  # type: ignore[operator]
    torch.testing.assert_close(prepared[:, :2], x[:, :2].float())
    assert tw.Plan.from_json(tw.Plan(preprocessing=Table(numbers=None)).to_json()).preprocessing == Table(numbers=None)
