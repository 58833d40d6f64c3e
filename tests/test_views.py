"""Answers averaged over views of each row, and what that brings."""

from pathlib import Path

import pytest
import torch
from scipy import stats
from sklearn import metrics
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.evaluate.result import Result
from thalweg.show.measures import result_lines
from thalweg.views import paired

A = tw.augmentations
FLIP = A.HorizontalFlip(p=1.0)


def train(
    data: object, runs: Path, model: nn.Module, loss: str = "cross_entropy", **changes: object
) -> tuple[tw.Experiment, tw.Run]:
    experiment = tw.Experiment(model, train=data, loss=loss, directory=runs)
    plain = {"optimizer": tw.optimizers.AdamW(lr=0.005), "epochs": 3, "batch_size": 64, "probes": False}
    return experiment, experiment.train(tw.Plan(**{**plain, **changes}), listeners=[])


@pytest.fixture(scope="module")
def images(digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return digits[0].reshape(-1, 1, 8, 8), digits[1]


def flat(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, outputs))


def test_the_probabilities_of_a_class_are_averaged(images: tuple[Tensor, Tensor], runs: Path):
    _, run = train(images, runs, flat(10))
    x = images[0][:50]
    both = (run.predict_probabilities(x) + run.predict_probabilities(x.flip(3))) / 2
    found = run.predict_probabilities(x, views=2, augmentation=FLIP)
    torch.testing.assert_close(found, both.double(), atol=1e-6, rtol=1e-6)
    assert (run.predict(x, views=2, augmentation=FLIP) == both.argmax(1).numpy()).all()


def test_one_view_is_the_row_itself(images: tuple[Tensor, Tensor], runs: Path):
    _, run = train(images, runs, flat(10))
    assert torch.equal(run.predict_probabilities(images[0][:9], views=1), run.predict_probabilities(images[0][:9]))


def test_two_classes_under_one_output(images: tuple[Tensor, Tensor], runs: Path):
    _, run = train((images[0], images[1] % 2), runs, flat(1), "binary_cross_entropy")
    x = images[0][:50]
    both = (run.predict_probabilities(x) + run.predict_probabilities(x.flip(3))) / 2
    torch.testing.assert_close(
        run.predict_probabilities(x, views=2, augmentation=FLIP), both.double(), atol=1e-6, rtol=1e-6
    )


def test_values_of_a_regression(images: tuple[Tensor, Tensor], runs: Path):
    _, run = train((images[0], images[1].float()), runs, flat(1), "mse")
    x = images[0][:50]
    both = (run.predict(x) + run.predict(x.flip(3))) / 2
    torch.testing.assert_close(
        torch.as_tensor(run.predict(x, views=2, augmentation=FLIP)).reshape(-1),
        torch.as_tensor(both).reshape(-1),
        atol=1e-5,
        rtol=1e-5,
    )


def test_a_rows_answer_does_not_depend_on_the_rows_beside_it(images: tuple[Tensor, Tensor], runs: Path):
    _, run = train(images, runs, flat(10), augmentation=(A.PaddedCrop(1), A.Affine(rotate=10)))
    x = images[0][:40]
    whole = run.predict_probabilities(x, views=5)
    torch.testing.assert_close(run.predict_probabilities(x[7:9], views=5), whole[7:9], atol=1e-6, rtol=1e-6)
    assert torch.equal(run.predict_probabilities(x, views=5), whole)


def test_an_evaluation_says_what_the_views_bring(images: tuple[Tensor, Tensor], runs: Path):
    experiment, run = train(images, runs, flat(10), augmentation=(A.PaddedCrop(1), A.Affine(rotate=10)))
    plain = experiment.evaluate(run)
    result = experiment.evaluate(run, views=6)
    assert plain.gain is None
    assert result.gain is not None
    assert result.gain.views == 6
    assert {m.name for m in result.gain.measures} == {"accuracy", "log_loss"}
    for measure in result.gain.measures:
        assert measure.value == pytest.approx(result[measure.name].value - plain[measure.name].value, abs=1e-9)
        assert measure.low <= measure.value <= measure.high
    assert Result.from_json(result.to_json()).to_json() == result.to_json()
    assert tw.Run.open(run.directory).result.gain == result.gain
    told = "\n".join(str(line) for line in result_lines(result, {}, width=100))
    assert "6 of each row by PaddedCrop(padding=1), Affine(rotate=10)" in told
    assert experiment.data.test.count() == 2  # each look at the test rows is counted
    assert "6 of each row" in Path(run.report()).read_text()


def test_log_loss_of_the_views_is_that_of_scikit_learn(images: tuple[Tensor, Tensor], runs: Path):
    experiment, run = train(images, runs, flat(10), augmentation=A.PaddedCrop(1))
    result = experiment.evaluate(run, views=3)
    rows = experiment.data.test._rows
    shares = run.predict_probabilities(rows.inputs, views=3).numpy()
    assert result["log_loss"].value == pytest.approx(metrics.log_loss(rows.target.numpy(), shares), rel=1e-6)


def test_the_interval_of_the_gain_is_that_of_a_paired_t_test():
    differences = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.2
    found = paired("accuracy", differences, None)
    low, high = stats.ttest_1samp(differences.numpy(), 0.0).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-6), pytest.approx(high, rel=1e-6))
    doubled = paired("accuracy", differences.repeat(2), torch.arange(40).repeat(2))  # each row twice, in a group
    assert doubled.low == pytest.approx(low, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"views": 0}, "views got 0; allowed: an integer of at least 1"),
        ({"views": 2}, "was trained without augmentation"),
        ({"views": 2, "augmentation": A.Mixup()}, "parts that mix rows"),
    ],
)
def test_views_that_nothing_makes_are_refused(
    images: tuple[Tensor, Tensor], runs: Path, options: dict[str, object], said: str
):
    _, run = train(images, runs, flat(10))
    with pytest.raises(UsageError, match=said):
        run.predict(images[0][:4], **options)


def test_a_class_per_pixel_has_no_views(runs: Path):
    x = torch.rand(60, 1, 8, 8)
    _, run = train((x, (x[:, 0] > 0.5).long()), runs, nn.Conv2d(1, 2, 1))
    with pytest.raises(UsageError, match="the answers move with the pixels"):
        run.predict(x[:4], views=2, augmentation=FLIP)
