"""A plan's augmentation in trainings: the same draw wherever, targets along, errors that say what is due."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import thalweg as tw
from thalweg.augmenting import augmenter_of
from thalweg.data.augmented import Augmenter, brightest, fitting
from thalweg.data.feeder import Feeder
from thalweg.data.rows import DatasetRows, Inputs, Rows
from thalweg.errors import DataError, ModelError, UsageError
from thalweg.train.checkpoint import load_checkpoint

A = tw.augmentations
CHAIN = (A.HorizontalFlip(), A.PaddedCrop(1), A.Affine(rotate=15, scale=(0.8, 1.2)), A.ColorJitter(0.2, 0.2))
RATE = tw.optimizers.AdamW(lr=0.003)


def convolutional(channels: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))


@pytest.fixture(scope="module")
def images(digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return digits[0].reshape(-1, 1, 8, 8), digits[1]


def plan_of(augmentation: object = CHAIN, **changes: object) -> tw.Plan:
    plain = {"optimizer": RATE, "epochs": 2, "batch_size": 64, "probes": False, "memory_format": "contiguous"}
    return tw.Plan(**{**plain, "augmentation": augmentation, **changes})  # a layout that is timed may differ


def experiment_of(data: object, runs: Path, model: object = None, **more: object) -> tw.Experiment:
    options = {"loss": "cross_entropy", **more}
    return tw.Experiment(model or convolutional, train=data, directory=runs, **options)


def augmenter(*parts: A.Augmentation, peak: float = 16.0) -> Augmenter:
    late = [part for part in parts if isinstance(part, A.Mixup | A.CutMix)]
    early = [part for part in parts if part not in late]
    return Augmenter(A.Compose(*early) if early else None, A.Compose(*late) if late else None, (0,), peak)


def by_number(feeder: Feeder, epoch: int) -> Tensor:
    """The inputs of an epoch in the order of the rows' numbers."""
    inputs = torch.cat([x for x, _ in feeder.epoch(epoch)])
    return inputs[torch.argsort(feeder.rows.ids[feeder.order(epoch)])]


class Items(Dataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.x[row], self.y[row]


# ---------------------------------------------------------------------- the same draw wherever


@pytest.mark.parametrize("batch_size", [1, 7, 64, 500])
def test_a_row_is_augmented_alike_in_batches_of_any_size(images: tuple[Tensor, Tensor], batch_size: int):
    x, y = images[0][:200], images[1][:200]
    rows = Rows(x, y, torch.arange(200) * 3 + 5, "train")
    whole = by_number(Feeder(rows, batch_size=32, seed=4, augment=augmenter(*CHAIN)), 2)
    other = by_number(Feeder(rows, batch_size=batch_size, seed=4, augment=augmenter(*CHAIN)), 2)
    assert torch.equal(whole, other)
    assert not torch.equal(whole, x)


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_a_dataset_read_by_any_number_of_processes_is_augmented_as_rows_in_memory(
    images: tuple[Tensor, Tensor], workers: int
):
    x, y = images[0][:150], images[1][:150]
    ids = torch.arange(150)
    expected = by_number(Feeder(Rows(x, y, ids, "train"), batch_size=16, seed=1, augment=augmenter(*CHAIN)), 1)
    read = DatasetRows(Items(x, y), y, ids, "train")
    with_workers = Feeder(read, batch_size=16, seed=1, workers=workers, augment=augmenter(*CHAIN))
    assert torch.equal(by_number(with_workers, 1), expected)
    with_workers.close()


def test_rows_above_one_gather_and_a_skipped_start_change_nothing(images: tuple[Tensor, Tensor], monkeypatch):
    from thalweg.data import feeder as module

    rows = Rows(*images, torch.arange(len(images[0])), "train")
    fed = Feeder(rows, batch_size=100, seed=0, augment=augmenter(*CHAIN))
    whole = [x for x, _ in fed.epoch(3)]
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**14)
    assert all(torch.equal(a, b) for a, (b, _) in zip(whole, fed.epoch(3), strict=True))
    assert all(torch.equal(a, b) for a, (b, _) in zip(whole[7:], fed.epoch(3, skip=7), strict=True))


def test_seed_and_epoch_change_the_draw(images: tuple[Tensor, Tensor]):
    rows = Rows(images[0][:100], images[1][:100], torch.arange(100), "train")
    first = Feeder(rows, batch_size=50, seed=0, augment=augmenter(*CHAIN))
    assert not torch.equal(by_number(first, 0), by_number(first, 1))
    assert not torch.equal(by_number(first, 0), by_number(first.like(seed=1), 0))


def test_rows_that_are_measured_on_stay_as_they_are(images: tuple[Tensor, Tensor]):
    rows = Rows(*images, torch.arange(len(images[0])), "validation")
    fed = Feeder(rows, batch_size=100, seed=0, shuffle=False, augment=augmenter(*CHAIN))
    assert torch.equal(torch.cat([x for x, _ in fed.epoch(0)]), images[0])
    again = Feeder(rows, batch_size=100, seed=0, augment=augmenter(*CHAIN)).like(shuffle=False)
    assert torch.equal(torch.cat([x for x, _ in again.epoch(0)]), images[0])


def test_the_generators_are_left_as_found(images: tuple[Tensor, Tensor]):
    rows = Rows(*images, torch.arange(len(images[0])), "train")
    before = torch.get_rng_state()
    list(Feeder(rows, batch_size=100, seed=0, augment=augmenter(*CHAIN, A.Noise(0.1), A.Erasing())).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "parts", [CHAIN, (*CHAIN, A.Noise(0.1), A.MixupOrCutMix()), "trivial", "rand"], ids=["chain", "mixing", "t", "r"]
)
def test_a_training_that_was_interrupted_goes_on_bit_identically(
    images: tuple[Tensor, Tensor], tmp_path: Path, parts: object
):
    plan = plan_of(parts, epochs=3)
    unbroken = experiment_of(images, tmp_path / "a").train(plan, listeners=[])

    def stop(event: object) -> None:
        if type(event).__name__ == "EpochEnded" and event.epoch == 2:
            raise KeyboardInterrupt

    experiment = experiment_of(images, tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        experiment.train(plan, listeners=[stop])
    (folder,) = [path for path in (tmp_path / "b").iterdir() if path.is_dir()]
    resumed = experiment.resume(folder.name, listeners=[])
    assert resumed.status == "completed"
    first, second = (load_checkpoint(run.directory / "checkpoints", "last")[0] for run in (unbroken, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------------- in a training


@pytest.mark.parametrize("parts", [CHAIN, "trivial", "rand", "auto", A.Erasing()])
def test_images_train_under_every_kind_of_plan(images: tuple[Tensor, Tensor], runs: Path, parts: object):
    run = experiment_of(images, runs).train(plan_of(parts), listeners=[])
    assert run.status == "completed"
    assert isinstance(run.plan.augmentation, A.Augmentation)
    assert run.history["validation.accuracy"][-1] > 0.5


def test_auto_takes_what_brings_images_nearer_to_their_class(images: tuple[Tensor, Tensor], runs: Path):
    run = experiment_of(images, runs).train(plan_of("auto"), listeners=[])
    names = {type(part).__name__ for part in run.plan.augmentation.parts}
    assert "HorizontalFlip" not in names  # a mirrored digit is another, or none
    assert {"Affine"} <= names
    reason = next(d["reason"] for d in run.store.get("decisions") if d["field"] == "augmentation")
    assert "HorizontalFlip +" in reason


def test_auto_leaves_what_it_cannot_judge(breast_cancer: tuple[Tensor, Tensor], runs: Path):
    model = nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2))
    run = experiment_of(breast_cancer, runs, model).train(plan_of("auto"), listeners=[])
    assert run.plan.augmentation is None


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss()])
def test_mixed_classes_become_probabilities(images: tuple[Tensor, Tensor], runs: Path, loss: object):
    run = experiment_of(images, runs, loss=loss).train(
        plan_of((A.Mixup(0.4),), epochs=4, label_smoothing=0.1), listeners=[]
    )
    assert run.status == "completed"
    assert run.history["validation.accuracy"][-1] > 0.7


def test_mixing_of_two_classes_under_one_output(breast_cancer: tuple[Tensor, Tensor], runs: Path):
    model = nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 1))
    run = experiment_of(breast_cancer, runs, model, loss="binary_cross_entropy").train(
        plan_of((A.Mixup(0.2),), epochs=30), listeners=[]
    )
    assert run.history["validation.accuracy"][-1] > 0.8


def test_mixing_of_numbers(diabetes: tuple[Tensor, Tensor], runs: Path):
    model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 1))
    run = experiment_of(diabetes, runs, model, loss="mse").train(plan_of(A.Mixup(1.0)), listeners=[])
    assert run.status == "completed"


def test_class_weights_and_mixing_together(images: tuple[Tensor, Tensor], runs: Path):
    experiment = experiment_of(images, runs, class_weights="balanced")
    assert experiment.train(plan_of((A.MixupOrCutMix(),)), listeners=[]).status == "completed"


def test_a_loss_that_takes_classes_only_is_refused_before_the_first_step(images: tuple[Tensor, Tensor], runs: Path):
    with pytest.raises(UsageError, match="mixes samples, and the loss does not take targets"):
        experiment_of(images, runs, loss=nn.NLLLoss()).train(plan_of((A.Mixup(),)), listeners=[])


class Segmenting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3, padding=1)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def test_a_class_per_pixel_moves_with_the_pixels(runs: Path):
    x = (torch.rand(60, 1, 12, 12, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    y = x[:, 0].long()  # the class of a pixel is its brightness
    rows = Rows(x, y, torch.arange(60), "train")
    parts = (A.HorizontalFlip(), A.PaddedCrop(3), A.CutMix())
    fed = Feeder(rows, batch_size=20, seed=0, augment=augmenter(*parts, peak=1.0))
    for inputs, target in fed.epoch(0):
        inside = target != -100
        assert torch.equal(inputs[:, 0][inside].long(), target[inside])
        assert bool((inputs[:, 0][~inside] == 0).all())
        assert not bool(inside.all())
    run = experiment_of((x, y), runs, Segmenting).train(plan_of(parts), listeners=[])
    assert run.status == "completed"


def test_a_loss_of_ones_own_that_does_not_know_what_lies_outside_is_told_before_the_first_step(runs: Path):
    x = torch.rand(60, 1, 12, 12)
    every = lambda output, target: -output.log_softmax(1).gather(1, target[:, None]).mean()  # noqa: E731
    experiment = experiment_of((x, (x[:, 0] > 0.5).long()), runs, Segmenting, loss=every)
    with pytest.raises(UsageError, match="moves the targets too, -100 where nothing is known"):
        experiment.train(plan_of(A.PaddedCrop(3)), listeners=[])


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.number = nn.Linear(64, 10), nn.Linear(3, 10)

    def forward(self, image: Tensor, number: Tensor) -> Tensor:
        return self.image(image.flatten(1)) + self.number(number)


def test_of_several_inputs_the_images_are_augmented(images: tuple[Tensor, Tensor], runs: Path):
    x, y = images
    numbers = torch.randn(len(x), 3, generator=torch.Generator().manual_seed(0))
    inputs: Inputs = {"image": x, "number": numbers}
    assert fitting(inputs, "image") == (0,)
    assert fitting(inputs, "any") == (0, 1)
    rows = Rows(inputs, y, torch.arange(len(y)), "train")
    fed = Feeder(rows, batch_size=200, seed=0, augment=augmenter(*CHAIN))
    changed, _ = next(fed.epoch(0))
    order = fed.order(0)[:200]
    assert torch.equal(changed["number"], numbers[order])
    assert not torch.equal(changed["image"], x[order])
    assert experiment_of((inputs, y), runs, Two).train(plan_of(CHAIN), listeners=[]).status == "completed"


def test_bytes_stay_bytes_where_nothing_prepares_them(images: tuple[Tensor, Tensor], runs: Path):
    seen: list[torch.dtype] = []

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.dtype)
            return self.layer(x.float().flatten(1) / 16)

    data = (images[0].byte(), images[1])
    experiment_of(data, runs, Own).train(plan_of(CHAIN, preprocessing="none"), listeners=[])
    assert set(seen) == {torch.uint8}


class Stream(IterableDataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __iter__(self):
        return iter(zip(self.x, self.y, strict=True))


@pytest.mark.parametrize("kind", ["dataset", "stream", "loader"])
def test_other_sources_are_augmented_too(images: tuple[Tensor, Tensor], runs: Path, kind: str):
    x, y = images
    parts = [(x[:1000], y[:1000]), (x[1000:1400], y[1000:1400]), (x[1400:], y[1400:])]
    made = {"dataset": lambda a, b: TensorDataset(a, b), "stream": Stream,
            "loader": lambda a, b: DataLoader(TensorDataset(a, b), batch_size=64)}[kind]  # fmt: skip
    train, validation, test = (made(*part) for part in parts)
    experiment = experiment_of(train, runs, validation=validation, test=test)
    plain = experiment.train(plan_of(None), listeners=[])
    augmented = experiment.train(plan_of(CHAIN), listeners=[])
    assert augmented.history["train.loss"][-1] > plain.history["train.loss"][-1]
    again = experiment.train(plan_of(CHAIN), listeners=[])
    assert again.history["train.loss"] == augmented.history["train.loss"]


def test_noise_of_a_table_leaves_codes_alone(runs: Path):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(400, 2, generator=generator)
    frame = pd.DataFrame({"a": numbers[:, 0].numpy(), "b": numbers[:, 1].numpy(), "c": ["x", "y", "z", "x"] * 100})
    frame["target"] = (numbers.sum(1) > 0).int().numpy()
    model = lambda spec: nn.Sequential(nn.Linear(spec.inputs[0][0], 8), nn.ReLU(), nn.Linear(8, 2))  # noqa: E731
    experiment = experiment_of(frame, runs, model, target="target")
    setup = experiment._set_up(plan_of(A.ColumnNoise(0.5)))
    fed = setup.feeder(experiment.data.train, batch_size=400, seed=0)
    changed, _ = next(fed.epoch(0))
    plain, _ = next(fed.like(shuffle=False).epoch(0))
    plain = plain[fed.order(0)]
    moved = (changed != plain).float().mean(0)
    assert bool((moved[:2] > 0.9).all())
    assert bool((moved[2:] == 0).all())


# ---------------------------------------------------------------------- errors


def test_prepared_images_have_no_brightest_value(images: tuple[Tensor, Tensor], runs: Path):
    x = (images[0] - images[0].mean()) / images[0].std()
    experiment = experiment_of((x, images[1]), runs)
    with pytest.raises(UsageError, match=r"changes colors, and the images' values go from -0.8"):
        experiment.train(plan_of(CHAIN), listeners=[])
    assert experiment.train(plan_of(CHAIN[:3]), listeners=[]).status == "completed"  # geometry needs none


@pytest.mark.parametrize(
    ("parts", "error", "said"),
    [
        ((A.Mixup(), A.HorizontalFlip()), UsageError, "got HorizontalFlip after Mixup, which acts on whole batches"),
        ((A.TokenDrop(0.1),), DataError, r"takes integers \[B, T\]"),
        ((A.ResizedCrop(16),), ModelError, "Under the plan's augmentation"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    images: tuple[Tensor, Tensor], runs: Path, parts: object, error: type, said: str
):
    with pytest.raises(error, match=said):
        experiment_of(images, runs).train(plan_of(parts), listeners=[])


def test_batches_of_a_form_of_their_own_are_left_to_the_step(images: tuple[Tensor, Tensor], runs: Path):
    def step(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(model(batch["x"]), batch["y"])

    class Named(Items):
        def __getitem__(self, row: int) -> dict[str, Tensor]:
            return {"x": self.x[row], "y": self.y[row]}

    experiment = tw.Experiment(convolutional, train=Named(*images), test=False, step=step, directory=runs)
    with pytest.raises(UsageError, match="have a form of their own that only the step knows"):
        experiment.train(plan_of(CHAIN), listeners=[])


def test_several_inputs_that_might_be_meant_are_asked_about():
    inputs = (torch.zeros(4, 9), torch.zeros(4, 7))
    with pytest.raises(DataError, match="more than one of them may be"):
        fitting(inputs, "sequence")
    with pytest.raises(DataError, match="none of them is"):
        fitting(inputs, "tokens")


@pytest.mark.parametrize(
    ("x", "peak"),
    [
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), 255.0),
        (torch.full((2, 1, 2, 2), 0.3), 1.0),
        (torch.full((2, 1, 2, 2), 254.0), 255.0),
        (torch.full((2, 1, 2, 2), 16.0), 16.0),
        (torch.full((2, 1, 2, 2), -0.1), None),
        (torch.full((2, 1, 2, 2), float("nan")), None),
    ],
)
def test_the_brightest_value_is_told_from_the_images(x: Tensor, peak: float | None):
    assert brightest(x, (0,)) == peak


def test_a_plan_keeps_its_augmentation_through_json_and_the_command_line(tmp_path: Path):
    plan = tw.Plan(augmentation=(*CHAIN, A.MixupOrCutMix()))
    assert tw.Plan.from_json(plan.to_json()) == plan
    assert tw.Plan().replace(augmentation="HorizontalFlip").augmentation == A.HorizontalFlip()
    assert tw.Plan().replace(augmentation=["HorizontalFlip", "Erasing"]).augmentation == A.Compose(
        A.HorizontalFlip(), A.Erasing()
    )
    with pytest.raises(UsageError, match=r"Did you mean 'trivial'"):
        tw.Plan().replace(augmentation="trivail")


def test_augmenter_of_nothing_is_nothing(images: tuple[Tensor, Tensor], runs: Path):
    experiment = experiment_of(images, runs)
    plan, found, told = augmenter_of(plan_of(None), experiment.data, None, images[0][:4])
    assert (plan.augmentation, found, told) == (None, None, [])
