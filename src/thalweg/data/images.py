"""Folders of images: one subfolder per class, read lazily, file by file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.data.archives import PART_WORDS, Parts
from thalweg.data.datasets import GuardedDataset
from thalweg.data.rows import Part
from thalweg.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LOOKED_AT = 2000  # files whose headers decide size and channels: .2 s
LARGEST_SIDE = 224  # of images of several sizes: what most image networks were designed for
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap width and height
GRAY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")


@dataclass(frozen=True)
class ImageForm:
    """What every image is brought into.

    Args:
        height: of the tensor.
        width: of the tensor.
        channels: 3, or 1 where all files are gray.
    """

    height: int
    width: int
    channels: int


class ImageFolder(Dataset[tuple[Tensor, str]]):
    """The images below a folder, the name of whose subfolder is their class.

    An item is `(image, class name)`, the image a float32 tensor `[C, H, W]` of values from 0 to 1. Files and folders
    that begin with a dot, and files of other suffixes, are left out. Images of another size than the form's are resized
    until they cover it, and cropped at the center. A photograph that its camera marks as turned is turned upright.

    Args:
        root: the folder.
        form: the images' size and channels; by default what most files call for, see `find_form`.

    Raises:
        UsageError: where Pillow, which reads the files, is not installed.
        DataError: for a folder without classes, a class without images, a file that is no image.
    """

    def __init__(self, root: Path, form: ImageForm | None = None) -> None:
        require_pillow(root)
        self.root = root
        self.classes = class_folders(root)
        self.samples = [(file, name) for name in self.classes for file in image_files(root / name)]
        self.targets = [name for _, name in self.samples]
        found = find_form([file for file, _ in self.samples]) if form is None else (form, "")
        self.form, self.note = found

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[Tensor, str]:
        file, name = self.samples[row]
        return read_image(file, self.form), name


class GuardedImages(GuardedDataset):
    """An `ImageFolder` that gives out the rows of one part and refuses all others (L34)."""


def require_pillow(root: Path) -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Reading the images in {root} needs Pillow, which is not installed: pip install 'thalweg[images]'."
        ) from error


def visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing hidden."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def class_folders(root: Path) -> list[str]:
    """The names of the classes. Raises `DataError` where there are none, naming what is there instead."""
    names = [path.name for path in visible(root) if path.is_dir()]
    if not names:
        there = [path.name for path in visible(root)]
        shown = f"{len(there):,} files, {there[0]!r} the first of them" if there else "nothing"
        raise DataError(
            f"The folder {root} has no subfolders, which would name the classes; it holds {shown}. Make one subfolder "
            f"per class ({root.name}/cat/..., {root.name}/dog/...); or pass a table, a Dataset or arrays."
        )
    return names


def image_files(folder: Path) -> list[Path]:
    """The images in a class's folder and the folders below, sorted. Raises `DataError` where there is none."""
    found = []
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(here, name) for name in sorted(files) if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        raise DataError(
            f"The class folder {folder} has no images (files ending in {', '.join(SUFFIXES)}). Add some, or remove the "
            "folder."
        )
    return found


def find_form(files: Sequence[Path]) -> tuple[ImageForm, str]:
    """The form that suits the files, and a text about it.

    Their own size where all agree; else squares, their side the median of the shorter sides, 224 at most. One channel
    where all are gray. Of more than 2,000 files, 2,000 spread over all of them decide.
    """
    looked_at = [files[i] for i in np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int).tolist()]
    headers = [read_header(file) for file in looked_at]
    sizes = {(height, width) for height, width, _ in headers}
    channels = 1 if all(mode in GRAY for _, _, mode in headers) else 3
    kind = "gray" if channels == 1 else "RGB"
    if len(sizes) == 1:
        height, width = sizes.pop()
        return ImageForm(height, width, channels), f"images are {kind}, {height} × {width}"
    side = min(int(median(min(height, width) for height, width, _ in headers)), LARGEST_SIDE)
    (low, low_width), (high, high_width) = min(sizes), max(sizes)
    return ImageForm(side, side, channels), (
        f"images are {kind}, of {len(sizes):,} sizes ({low} × {low_width} to {high} × {high_width}): each is resized "
        f"to a shorter side of {side} and cropped at the center to {side} × {side}"
    )


def read_header(file: Path) -> tuple[int, int, str]:
    """Height and width as seen upright, and Pillow's mode."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION) in TURNED
            return (width, height, image.mode) if turned else (height, width, image.mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise broken(file, error) from error


def read_image(file: Path, form: ImageForm) -> Tensor:
    """`[C, H, W]` float32 from 0 to 1. Raises `DataError` for a file that is no image, naming it."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            least = max(form.height, form.width)
            # A JPEG is decoded at a half, a quarter or an eighth of its size, which is 2 to 8 times as quick.
            opened.draft(None, (2 * least, 2 * least))
            image = ImageOps.exif_transpose(opened)
            values = as_array(image, form)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise broken(file, error) from error
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


def as_array(image: "Image", form: ImageForm) -> Any:
    """`[H, W, C]` float32 from 0 to 1."""
    from PIL import Image, ImageOps

    deep = image.mode.startswith("I")  # 16 bits, which Pillow would cut off at 255
    image = image.convert("F") if deep else image.convert("L" if form.channels == 1 else "RGB")
    if image.size != (form.width, form.height):
        image = ImageOps.fit(image, (form.width, form.height), Image.Resampling.BILINEAR)
    values = np.asarray(image, dtype=np.float32) / np.float32(65535 if deep else 255)
    values = values[:, :, None] if values.ndim == 2 else values
    return np.repeat(values, form.channels, axis=2) if values.shape[2] < form.channels else values


def broken(file: Path, error: Exception) -> DataError:
    return DataError(
        f"The image {file} cannot be read: {str(error).strip().rstrip('.')}. It is damaged, cut off or no image; mend "
        "it or take it out of the folder."
    )


def read_image_parts(root: Path) -> Parts:
    """The parts of a folder of images: `root/train/cat/...`, `root/val/...`, `root/test/...`; else all as one.

    A folder is one of parts where it has a training folder and another one, whose own subfolders are the classes.
    """
    given: dict[Part, Path] = {}
    unlabeled = []
    for path in visible(root):
        part = PART_WORDS.get(path.name.lower())
        if part and path.is_dir():
            if any(inner.is_dir() for inner in visible(path)):
                given[part] = path
            else:
                unlabeled.append(path.name)
    if "train" not in given or not (len(given) > 1 or unlabeled):
        whole = ImageFolder(root)
        return Parts({"train": whole}, [whole.note])
    train = ImageFolder(given["train"])
    parts: dict[Part, Any] = {part: ImageFolder(path, train.form) for part, path in given.items() if part != "train"}
    notes = [f"the folder {name!r} has no class folders, hence no targets, and is not used" for name in unlabeled]
    return Parts({"train": train, **parts}, [train.note, *notes])
