"""The picture of training images under augmentation: the images that the training sees, in files that browsers read."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.show.report.images import png, strip

A = tw.augmentations
PARTS = (A.HorizontalFlip(), A.PaddedCrop(1))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1)])
def test_a_png_is_read_by_pillow_as_it_was_written(shape: tuple[int, ...]):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_images_lie_side_by_side():
    one = np.full((2, 3), 7, np.uint8)
    assert strip([one, one]).shape == (2, 8)


def experiment_of(digits: tuple[Tensor, Tensor], runs: Path) -> tw.Experiment:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return tw.Experiment(model, train=(digits[0].reshape(-1, 1, 8, 8), digits[1]), loss="cross_entropy", directory=runs)


def pixels_of(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_it_shows_what_the_training_sees(digits: tuple[Tensor, Tensor], runs: Path, tmp_path: Path):
    experiment = experiment_of(digits, runs)
    plan = tw.Plan(augmentation=PARTS, seed=3)
    found = experiment.preview(plan, images=6, epoch=2)
    assert [row[0] for row in found.rows] == [
        "as they are",
        "HorizontalFlip()",
        "PaddedCrop(padding=1)",
        "all together",
    ]
    plain, mirrored, _, together = (pixels_of(row[1]) for row in found.rows)
    first = plain[:, :8]
    assert np.array_equal(mirrored[:, :8], first[:, ::-1])
    setup = experiment._set_up(plan)
    fed = setup.feeder(experiment.data.train, batch_size=10_000, seed=3)
    rows = experiment.data.train
    seen = next(fed.like(seed=3).epoch(2))[0][torch.argsort(fed.order(2))]
    raw = setup.preprocessing.inverse(seen)
    number = int(found.drawn.split("sample ")[1].split(":")[0])
    at = int((rows.ids == number).nonzero())
    shown = torch.from_numpy(together[:, :8].copy()).float() * 16 / 255
    torch.testing.assert_close(raw[at, 0], shown, atol=0.05, rtol=0)
    assert found.save(tmp_path / "a.html").read_text().count("<img") == 4
    assert "<img" in found._repr_html_()


def test_the_report_of_a_run_has_the_picture(digits: tuple[Tensor, Tensor], runs: Path):
    plan = tw.Plan(augmentation=PARTS, optimizer=tw.optimizers.AdamW(lr=0.01), epochs=1, probes=False)
    run = experiment_of(digits, runs).train(plan, listeners=[])
    text = run.report().read_text()
    assert 'id="augmentation"' in text
    assert text.count("data:image/png") == 4


def test_without_augmentation_or_images_it_says_so(digits: tuple[Tensor, Tensor], runs: Path):
    with pytest.raises(UsageError, match="has no augmentation"):
        experiment_of(digits, runs).preview(tw.Plan())
    table = tw.Experiment(nn.Linear(64, 10), train=digits, loss="cross_entropy", directory=runs)
    with pytest.raises(UsageError, match="no images with one class each"):
        table.preview(tw.Plan(augmentation=A.Mixup()))


def test_the_command_writes_it(tmp_path: Path):
    (tmp_path / "train.py").write_text(
        "import thalweg as tw\nfrom sklearn.datasets import load_digits\nfrom torch import nn\n"
        "bunch = load_digits()\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "experiment = tw.Experiment(model, train=(bunch.images[:, None].astype('float32'), bunch.target), "
        "loss='cross_entropy')\n"
    )
    command = [sys.executable, "-m", "thalweg.cli", "preview", "train.py", "--set", "augmentation=trivial"]
    done = subprocess.run([*command, "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert (tmp_path / "augmentation.html").read_text().count("<img") == 2
    assert told["drawn"][0].startswith("TrivialAugment")
