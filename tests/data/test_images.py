import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from thalweg import Experiment, Plan, optimizers
from thalweg.data.images import ImageFolder, ImageForm, find_form, read_image
from thalweg.data.prepare import prepare
from thalweg.data.rows import DatasetRows
from thalweg.errors import DataError, UsageError

GENERATOR = np.random.default_rng(0)
CLASSES = {"cat": 200, "dog": 60, "10": 120, "2": 20}  # and their brightness


def pixels(brightness: int, size: tuple[int, int] = (8, 9), channels: int = 3) -> np.ndarray[Any, Any]:
    shape = (*size, channels) if channels > 1 else size
    return GENERATOR.integers(max(brightness - 20, 0), brightness + 20, shape).astype(np.uint8)


def write(root: Path, count: int = 6, *, suffix: str = ".png", **options: Any) -> Path:
    for name, brightness in CLASSES.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(pixels(brightness, **options)).save(root / name / f"{i}{suffix}")
    return root


def test_a_folder_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    """Sorted class names and files, folders below a class, nothing hidden: `torchvision.datasets.ImageFolder`."""
    root = write(tmp_path / "photos")
    (root / "cat" / "more" / "still").mkdir(parents=True)
    Image.fromarray(pixels(200)).save(root / "cat" / "more" / "still" / "x.BMP")
    for hidden in (root / "cat" / ".hidden.png", root / ".git" / "a.png", root / "cat" / ".cache" / "b.png"):
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_bytes(b"no image")
    (root / "cat" / "notes.txt").write_text("no image either")
    (root / "labels.csv").write_text("not read")
    folder = ImageFolder(root)
    assert folder.classes == ["10", "2", "cat", "dog"]
    assert folder.class_to_idx == {"10": 0, "2": 1, "cat": 2, "dog": 3}
    assert len(folder) == 25
    assert [path.relative_to(root).as_posix() for path, _ in folder.samples][12:19] == [
        *(f"cat/{i}.png" for i in range(6)),
        "cat/more/still/x.BMP",
    ]
    image, name = folder[0]
    expected = np.array(Image.open(root / "10" / "0.png"))
    assert name == "10"
    assert image.dtype == torch.float32
    torch.testing.assert_close(image, torch.from_numpy(expected).permute(2, 0, 1) / 255, atol=0, rtol=0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".webp", ".tiff"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    folder = ImageFolder(write(tmp_path / "photos", 2, suffix=suffix))
    image, _ = folder[0]
    assert image.shape == (3, 8, 9)
    with Image.open(folder.samples[0][0]) as opened:
        torch.testing.assert_close(image, torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1) / 255)


def test_gray_stays_gray_and_mixed_becomes_color(tmp_path: Path) -> None:
    root = write(tmp_path / "photos", 2, channels=1)
    assert ImageFolder(root).form == ImageForm(8, 9, 1)
    assert ImageFolder(root).note == "images are gray, 8 × 9"
    Image.fromarray(pixels(50, channels=4)).save(root / "cat" / "alpha.png")
    folder = ImageFolder(root)
    assert folder.form == ImageForm(8, 9, 3)
    gray = folder[0][0]
    assert torch.equal(gray[0], gray[2])


def test_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    values = np.array([[0, 256, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    for channels in (1, 3):
        image = read_image(tmp_path / "x.png", ImageForm(1, 3, channels))
        torch.testing.assert_close(image[-1, 0], torch.tensor([0.0, 256 / 65535, 1.0]))


def test_sizes_that_differ_are_resized_and_cropped(tmp_path: Path) -> None:
    """The short side of each becomes the median of the short sides; the center is kept."""
    root = tmp_path / "photos"
    for name, sizes in {"a": [(20, 40), (30, 30)], "b": [(50, 26), (20, 40), (30, 31)]}.items():
        (root / name).mkdir(parents=True)
        for i, (height, width) in enumerate(sizes):
            array = np.zeros((height, width), np.uint8)
            array[:, width // 2 :] = 255
            Image.fromarray(array).save(root / name / f"{i}.png")
    folder = ImageFolder(root)
    assert folder.form == ImageForm(26, 26, 1)
    assert folder.note == (
        "images are gray, of 4 sizes (20 × 40 to 50 × 26): each is resized to a shorter side of 26 and cropped at the "
        "center to 26 × 26"
    )
    for image, _ in (folder[i] for i in range(5)):
        assert image.shape == (1, 26, 26)
        assert image[:, :, :11].max() == 0  # the edge between black and white stays in the middle
        assert image[:, :, 15:].min() == 1
    large = [pixels(9, (300, 400)), pixels(9, (500, 310))]
    for i, array in enumerate(large):
        Image.fromarray(array).save(tmp_path / f"{i}.jpg")
    assert find_form([tmp_path / "0.jpg", tmp_path / "1.jpg"])[0] == ImageForm(224, 224, 3)


def test_large_photographs_are_decoded_small(tmp_path: Path) -> None:
    """What `draft` decodes differs little from the whole picture resized."""
    rows, columns = np.mgrid[0:1200, 0:1600]
    smooth = np.stack([rows / 5, columns / 7, (rows + columns) / 12], axis=2).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=95)
    image = read_image(tmp_path / "x.jpg", ImageForm(96, 96, 3))
    whole = Image.fromarray(smooth).crop((200, 0, 1400, 1200)).resize((96, 96), Image.Resampling.BILINEAR)
    torch.testing.assert_close(image, torch.from_numpy(np.array(whole)).permute(2, 0, 1) / 255, atol=0.02, rtol=0)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(100, (6, 10)))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "x.png", exif=exif)
    folder = ImageFolder(tmp_path)
    assert folder.form == ImageForm(10, 6, 3)
    expected = np.rot90(np.array(image), k=-1).copy()
    torch.testing.assert_close(folder[0][0], torch.from_numpy(expected).permute(2, 0, 1) / 255)


def test_a_root_with_parts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for part, count, size in (("train", 6, (8, 9)), ("val", 2, (8, 9)), ("test", 3, (16, 18))):
        write(root / part, count, size=size)
    data = prepare(root, loss_name="cross_entropy", directory=tmp_path)
    assert data.split["given"] == ["validation", "test"]
    assert data.split["rows"] == {"train": 24, "validation": 8, "test": 12}
    assert data.split["notes"] == [
        "images are RGB, 8 × 9",
        "the test rows are those that root gives",
        "the validation rows are those that root gives",
    ]
    assert data.task.classes == ("10", "2", "cat", "dog")
    assert data.spec.shapes == ((3, 8, 9),)
    assert data.test is not None
    test = data.test.open("run")
    assert isinstance(test, DatasetRows)
    assert test.dataset[0][0].shape == (3, 8, 9)  # as the training images


def test_a_test_folder_without_classes_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "root" / "train")
    (tmp_path / "root" / "test").mkdir()
    Image.fromarray(pixels(9)).save(tmp_path / "root" / "test" / "1.png")
    data = prepare(tmp_path / "root", loss_name="cross_entropy", directory=tmp_path)
    assert data.split["given"] == []
    assert "the folder 'test' has no class folders, hence no targets, and is not used" in data.split["notes"]


def test_classes_named_like_parts_are_classes(tmp_path: Path) -> None:
    for name in ("train", "bus", "test"):
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(pixels(50)).save(tmp_path / "root" / name / f"{i}.png")
    data = prepare(tmp_path / "root", loss_name="cross_entropy", directory=tmp_path)
    assert data.task.classes == ("bus", "test", "train")


def test_a_folder_for_another_part_takes_the_training_form(tmp_path: Path) -> None:
    train, other = write(tmp_path / "train"), write(tmp_path / "other", 2, size=(20, 31), channels=1)
    data = prepare(train, test=other, loss_name="cross_entropy", directory=tmp_path)
    assert data.split["rows"]["test"] == 8
    assert data.test is not None
    test = data.test.open("run")
    assert isinstance(test, DatasetRows)
    assert test.dataset[0][0].shape == (3, 8, 9)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    with pytest.raises(DataError, match="photos has no subfolders, which would name the classes; it holds nothing"):
        prepare(root, loss_name="cross_entropy", directory=tmp_path)
    Image.fromarray(pixels(9)).save(root / "1.png")
    with pytest.raises(DataError, match=r"it holds 1 files, '1\.png' the first of them\. Make one subfolder per class"):
        prepare(root, loss_name="cross_entropy", directory=tmp_path)
    write(root)
    (root / "empty").mkdir()
    (root / "empty" / "readme.md").write_text("soon")
    with pytest.raises(DataError, match=r"class folder .*empty has no images"):
        prepare(root, loss_name="cross_entropy", directory=tmp_path)


def test_broken_files_are_named(tmp_path: Path) -> None:
    root = write(tmp_path / "photos", suffix=".jpg", size=(64, 64))
    target = root / "dog" / "3.jpg"
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])  # the header is there
    folder = ImageFolder(root)
    row = [path for path, _ in folder.samples].index(target)
    with pytest.raises(DataError, match=r"The image .*dog/3\.jpg cannot be read: .*truncated"):
        folder[row]
    experiment = Experiment(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4)), train=root, loss="cross_entropy",
                            directory=tmp_path / "runs", validation=0.1, test=False)  # fmt: skip
    with pytest.raises(DataError, match=r"dog/3\.jpg cannot be read"):
        experiment.train(Plan(optimizer=optimizers.SGD(lr=0.1), epochs=1, batch_size=8, probes=False), listeners=())
    target.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"dog/3\.jpg cannot be read: cannot identify image file"):
        ImageFolder(root)


def test_pillow_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "photos", 1)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UsageError, match=r"needs Pillow, which is not installed: pip install 'thalweg\[images\]'"):
        ImageFolder(root)


@pytest.mark.slow
def test_training_on_a_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "photos", 30)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    plan = Plan(optimizer=optimizers.Adam(lr=0.03), epochs=12, batch_size=16, probes=False, memory_format="contiguous")
    runs = []
    for workers in (0, 2):
        experiment = Experiment(network, train=root, loss="cross_entropy", directory=tmp_path / "runs")
        runs.append(experiment.train(plan.replace(workers=workers), listeners=()))
        assert experiment.evaluate(runs[-1])["accuracy"].value == 1.0
    assert runs[0].plan.preprocessing == "standardize"  # on the statistics of the training images
    assert runs[0].history["train.loss"] == runs[1].history["train.loss"]
