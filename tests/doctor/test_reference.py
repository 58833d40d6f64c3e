"""The outcome of a training beside plain learners on the same rows."""

import pytest
import torch
from torch import nn

import thalweg as tw


def trained(tmp_path, data, build, loss="cross_entropy", *, epochs=10, **options):
    (x, y), (held, answers) = data
    experiment = tw.Experiment(
        build,
        train=(x, y),
        validation=(held, answers),
        test=False,
        loss=loss,
        metrics=[],
        directory=tmp_path,
        **options,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=0.01), epochs=epochs, batch_size=32, probes=True, seed=0)
    run = experiment.train(plan, listeners=())
    return run, run.store.readings()


def blobs(seed=0, count=900):
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (count,), generator=draw)
    x = 1.5 * torch.eye(3)[y] + torch.randn(count, 3, generator=draw)
    return (x[:600], y[:600]), (x[600:], y[600:])


def test_outcome_and_reference_of_a_classifier(tmp_path):
    data = blobs()
    run, readings = trained(tmp_path, data, lambda: nn.Linear(3, 3))
    with torch.no_grad():
        right = run.model(data[1][0]).argmax(1) == data[1][1]
    assert readings.value("outcome.score") == pytest.approx(float(right.double().mean()))
    assert readings.last("outcome.score").note == "accuracy"
    share = right.double().mean()
    assert readings.value("outcome.error") == pytest.approx(float((share * (1 - share) / 299).sqrt()))
    recall = float(right[data[1][1] == 1].double().mean())
    assert readings.value("outcome.recall", "1") == pytest.approx(recall)
    gain = readings.last("reference.gain")
    assert gain.value == pytest.approx(readings.value("reference.score") - readings.value("outcome.score"))
    assert gain.low < 0 < gain.high
    assert readings.value("labels.chance", "train") == 0.05
    assert readings.of("labels.chance", "validation") == []  # looked at only where training rows are at chance
    assert readings.last("reference.score").step == run.store.get("step")


def test_a_regression_with_scaled_targets_has_the_same_yardstick(tmp_path):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(600, 4, generator=draw)
    y = 1000 * (x[:, 0] + x[:, 1]) + 50 * torch.randn(600, generator=draw)
    _, readings = trained(tmp_path, ((x[:400], y[:400]), (x[400:], y[400:])), lambda: nn.Linear(4, 1), "mse", epochs=3)
    assert readings.last("outcome.score").note == "r2"
    assert readings.value("reference.score") > 0.98
    assert readings.value("outcome.constant") == 0.0


def test_several_inputs_are_judged_and_a_model_of_several_outputs_is_left_alone(tmp_path):
    (x, y), (held, answers) = blobs()

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, a, b):
            return self.one(a) + self.two(b)

    _, readings = trained(tmp_path / "a", (((x, x), y), ((held, held), answers)), Two)
    assert readings.value("reference.score") > 0.6

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(3, 3)

        def forward(self, a):
            return self.one(a), a

    def loss(output, target):
        return nn.functional.cross_entropy(output[0], target)

    _, readings = trained(tmp_path / "b", ((x, y), (held, answers)), Pair, loss)
    assert "outcome.score" not in readings
    assert readings.value("reference.score") > 0.6


def test_an_examined_training_is_the_same_training(tmp_path):
    data = blobs()
    outputs = []
    for probes in (True, False):
        (x, y), (held, answers) = data
        experiment = tw.Experiment(
            lambda: nn.Linear(3, 3),
            train=(x, y),
            validation=(held, answers),
            test=False,
            loss="cross_entropy",
            metrics=[],
            directory=tmp_path / str(probes),
        )
        plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=3, batch_size=32, probes=probes, seed=0)
        outputs.append(experiment.train(plan, listeners=()).model(held))
    assert torch.equal(*outputs)
