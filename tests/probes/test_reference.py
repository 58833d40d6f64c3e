import math

import pytest
import torch
from sklearn.linear_model import Ridge as Oracle

from thalweg.data.rows import Batch
from thalweg.data.task import Task
from thalweg.measure.head import FREE
from thalweg.measure.score import score
from thalweg.probes.plain_features import normal_scores, plain_features
from thalweg.probes.reference import Ridge, Target, fit, reference_readings, target_of
from thalweg.readings import Readings

REGRESSION = Task("regression", (), 1)


def classes(count):
    return Task("multiclass", tuple(range(count)), count)


def reached(inputs, target, others, other_target, task):
    own = target_of(target, task)
    found = fit(inputs, own, others)
    held = target_of(other_target, task, own.values.shape[1] if own.codes is not None else None)
    return Readings(reference_readings(found, held))


def test_ridge_and_its_left_out_errors_are_those_of_refitting():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 4, generator=draw), torch.randn(30, 2, generator=draw)
    ridge = Ridge(x)
    for which, shrink in ((1, 1e-3), (3, 1e-1)):
        penalty = shrink * 30
        oracle = Oracle(alpha=penalty).fit(x.double(), y.double())
        new = torch.randn(5, 4, generator=draw)
        assert torch.allclose(ridge.predict(new, y, which), torch.tensor(oracle.predict(new)).float(), atol=1e-4)
        errors = ridge.left_out(y)[which]
        for row in (0, 7, 29):
            rest = torch.arange(30) != row
            # The penalty acts on rows centered by all: a small difference of order 1/N is not the method's error.
            left = Oracle(alpha=penalty).fit(x[rest], y[rest]).predict(x[row : row + 1])
            assert torch.allclose(errors[row], y[row] - torch.tensor(left)[0].float(), atol=0.02)


def test_weights_count_as_repeated_rows():
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(40, 3, generator=draw), torch.randn(40, 1, generator=draw)
    weight = torch.ones(40)
    weight[:10] = 3.0
    repeated = torch.cat([x, x[:10], x[:10]]), torch.cat([y, y[:10], y[:10]])
    found = Ridge(x, weight).predict(x, y, 0)
    assert torch.allclose(found, Ridge(repeated[0]).predict(x, repeated[1], 0), atol=1e-3)


def test_left_out_errors_hold_with_more_columns_than_rows():
    draw = torch.Generator().manual_seed(2)
    x, y = torch.randn(40, 300, generator=draw), torch.randn(40, 1, generator=draw)
    assert min(1 - float(e.square().sum() / y.square().sum()) for e in Ridge(x).left_out(y)) < 0.2


def test_it_learns_tables_images_tokens_and_signals():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(900, 6, generator=draw) * torch.tensor([1.0, 1e6, 1e-6, 1.0, 1.0, 1.0])
    y = torch.sin(2 * x[:, 0]) + x[:, 1] / 1e6 * x[:, 3]
    table = reached(x[:600], y[:600], x[600:], y[600:], REGRESSION)
    assert table.value("reference.score") > 0.6
    assert table.last("reference.score").note == "random features"

    labels = torch.randint(0, 2, (600,), generator=draw)
    images = 0.3 * torch.randn(600, 1, 12, 12, generator=draw)
    bars = torch.zeros(2, 5, 5)
    bars[0, 2], bars[1, :, 2] = 1.0, 1.0
    for k in range(600):  # a bar somewhere: lying or standing
        i, j = torch.randint(0, 8, (2,), generator=draw).tolist()
        images[k, 0, i : i + 5, j : j + 5] += bars[labels[k]]
    seen = reached(images[:400], labels[:400], images[400:], labels[400:], classes(2))
    assert seen.last("reference.score").note == "patches"
    assert seen.value("reference.score") > 0.85

    words = torch.randint(0, 50, (600, 8), generator=draw)
    topic = (words < 10).sum(1) > (words > 40).sum(1)
    read = reached(words[:400], topic[:400].long(), words[400:], topic[400:].long(), classes(2))
    assert read.last("reference.score").note == "tokens"
    assert read.value("reference.score") > 0.8

    time = torch.arange(400.0)
    pitch = torch.randint(0, 2, (500,), generator=draw)
    phase = 6.28 * torch.rand(500, 1, generator=draw)
    tones = torch.sin(time * (0.2 + 0.1 * pitch[:, None]) + phase)[:, None] + 0.5 * torch.randn(
        500, 1, 400, generator=draw
    )
    heard = reached(tones[:300], pitch[:300], tones[300:], pitch[300:], classes(2))
    assert heard.value("reference.score") > 0.9


def test_noise_reaches_what_a_constant_answer_reaches():
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(1000, 5, generator=draw), torch.randint(0, 2, (1000,), generator=draw)
    found = reached(x[:600], y[:600], x[600:], y[600:], classes(2))
    assert found.last("reference.score").low < found.value("reference.constant")


def test_it_is_deterministic_and_leaves_the_random_state_alone():
    x = torch.randn(100, 5)
    state = torch.get_rng_state()
    one, two = (fit(x, target_of(x[:, :1], REGRESSION), x, seed=4) for _ in range(2))
    assert torch.equal(one.best.output, two.best.output)
    assert torch.equal(torch.get_rng_state(), state)


def test_rare_classes_are_weighed_alike():
    draw = torch.Generator().manual_seed(0)
    y = (torch.rand(2000, generator=draw) < 0.05).long()
    x = torch.randn(2000, 3, generator=draw) + 1.5 * y[:, None]
    found = reached(x[:1000], y[:1000], x[1000:], y[1000:], classes(2))
    assert found.value("reference.balanced") > 0.85  # without weights 0.7
    assert found.value("reference.weighted") < found.value("reference.score")


@pytest.mark.parametrize(
    ("target", "task", "columns"),
    [
        (torch.tensor([0, 2, 1]), classes(3), 3),
        (torch.tensor([[0.0], [1.0]]), Task("binary", (0, 1), 1), 2),
        (torch.tensor([-1.0, 1.0]), Task("binary", (-1, 1), 1), 2),
        (torch.tensor([-1, 1]), Task("binary", (-1, 1), 1), 2),
        (torch.rand(4, 3), REGRESSION, 3),
        (torch.ones(4, 3), Task("multilabel", (0, 1, 2), 3), 3),
    ],
)
def test_targets_of_every_form(target, task, columns):
    found = target_of(target, task)
    assert found.values.shape == (len(target), columns)
    assert found.score(found.values).value == pytest.approx(1.0) or columns == 3


def test_what_cannot_be_judged_is_not():
    assert target_of(torch.zeros(4, 3), Task("own", (), 1)) is None
    assert target_of(torch.zeros(4, 3).long(), Task("per_position", (), 3)) is None
    assert target_of(torch.tensor([1.0, math.nan]), REGRESSION) is None
    assert plain_features(Batch((torch.zeros(3, 2), torch.zeros(3)), lambda model, batch: None)) == []
    few = Target(torch.rand(5, 1), None, REGRESSION)
    assert fit(torch.rand(5, 2), few, torch.rand(5, 2)) is None
    assert fit(torch.rand(50, 2), Target(torch.ones(50, 1), None, REGRESSION), torch.rand(5, 2)) is None


def test_odd_inputs_are_described():
    for inputs in (
        {"a": torch.rand(40, 3), "b": torch.randint(0, 5, (40, 2))},
        (torch.rand(40, 2, 70, 90), torch.rand(40, 1)),
        torch.rand(40, 7000).to(torch.bfloat16),
        torch.randint(0, 255, (40, 3, 8, 8), dtype=torch.uint8),
        torch.full((40, 3), math.nan),
        torch.rand(40, 50, 3),
        torch.rand(40),
    ):
        for plain in plain_features(inputs):
            assert plain.own.shape[0] == 40
            assert bool(plain.own.isfinite().all())
            assert torch.allclose(plain.describe(inputs), plain.own, atol=1e-3)


def test_normal_scores_do_not_depend_on_the_scale():
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    scores = normal_scores(x.exp() * 1e6, (x.exp() * 1e6).sort(0).values)
    assert torch.allclose(scores, normal_scores(x, x.sort(0).values))
    assert 0.9 < float(scores.std()) < 1.1


def test_scores_are_those_of_the_measure():
    y = torch.randint(0, 3, (50,), generator=torch.Generator().manual_seed(0))
    output = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    found = target_of(y, classes(3)).score(output)
    assert found.value == score(output, y, task=classes(3), head=FREE).value
    assert found.value == float((output.argmax(1) == y).double().mean())
