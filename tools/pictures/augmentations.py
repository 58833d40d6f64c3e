"""Pictures of the augmentations: photographs, a signal, tokens and flowers of a table, as they are and as drawn."""

from io import BytesIO
from typing import Any

import numpy as np
import torch
from pictures.plot import curves, heat, points, row
from PIL import Image
from sklearn.datasets import load_iris, load_sample_image
from torch import Tensor

from thalweg.parts import augmentations as tw
from thalweg.parts.augmentations import Augmentation
from thalweg.parts.augmentations.augmentation import Photometric
from thalweg.show.report.images import strip

SHRINK = 8  # of the photographs' 427 × 640 pixels: whole blocks, so that their mean is exact on any machine
DRAWS = 6
STEPS = 200

# What there is beside the defaults is wide enough to be seen at this size.
DRAWN: dict[str, Augmentation] = {
    "affine": tw.Affine(rotate=25, translate=(0.1, 0.1), scale=(0.7, 1.3), shear=10),
    "blur": tw.Blur(),
    "brightness": tw.Brightness(),
    "color_jitter": tw.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "compose": tw.Compose(
        tw.HorizontalFlip(), tw.PaddedCrop(10), tw.ColorJitter(0.4, 0.4, 0.4, 0.05), tw.Affine(rotate=15)
    ),
    "contrast": tw.Contrast(0.6),
    "erasing": tw.Erasing(p=1.0),
    "hue_hsv": tw.HueHSV(0.2),
    "hue_rotation": tw.HueRotation(0.2),
    "noise": tw.Noise((0.0, 0.2)),
    "padded_crop": tw.PaddedCrop(10),
    "perspective": tw.Perspective(p=1.0),
    "posterize": tw.Posterize((1, 4), p=1.0),
    "rand_augment": tw.RandAugment(),
    "resized_crop": tw.ResizedCrop(),
    "rotation": tw.Rotation(45),
    "saturation": tw.Saturation(0.9),
    "sharpness": tw.Sharpness(3.0),
    "shear": tw.Shear(25),
    "solarize": tw.Solarize((0.2, 1.0), p=1.0),
    "trivial_augment": tw.TrivialAugment(),
}
SAME_FOR_ALL: dict[str, Augmentation] = {  # which leave nothing to be drawn but whether they act
    "auto_contrast": tw.AutoContrast(p=1.0),
    "equalize": tw.Equalize(p=1.0),
    "grayscale": tw.Grayscale(p=1.0),
    "horizontal_flip": tw.HorizontalFlip(p=1.0),
    "invert": tw.Invert(p=1.0),
    "vertical_flip": tw.VerticalFlip(p=1.0),
}
MIXED: dict[str, Augmentation] = {
    "cut_mix": tw.CutMix(),
    "mixup": tw.Mixup(1.0),
    "mixup_or_cut_mix": tw.MixupOrCutMix(),
}
SEQUENCES: dict[str, Augmentation] = {
    "jitter": tw.Jitter(0.1),
    "scaling": tw.Scaling(0.3),
    "shift": tw.Shift(0.2),
    "speed": tw.Speed((1.3, 1.3)),
    "time_crop": tw.TimeCrop(0.5),
    "time_mask": tw.TimeMask(0.2, 2),
    "time_warp": tw.TimeWarp(1.0),
}
TOKENS: dict[str, Augmentation] = {
    "token_drop": tw.TokenDrop(0.2),
    "token_mask": tw.TokenMask(0.2, mask=12),
    "token_swap": tw.TokenSwap(0.4),
}
TABLES: dict[str, Augmentation] = {"column_noise": tw.ColumnNoise(0.1), "swap_noise": tw.SwapNoise(0.15)}

CAPTIONS = (
    {name: f"A photograph, and {DRAWS} draws of `{part}`." for name, part in DRAWN.items()}
    | {name: f"Two photographs, each before and after `{part}`." for name, part in SAME_FOR_ALL.items()}
    | {name: f"Two photographs, and {DRAWS} draws of `{part}` of them in turn." for name, part in MIXED.items()}
)


def draw() -> dict[str, str | bytes]:
    """One picture per part; bytes are a PNG file."""
    found: dict[str, str | bytes] = {name: drawn(part) for name, part in DRAWN.items()}
    found |= {name: before_and_after(part) for name, part in SAME_FOR_ALL.items()}
    found |= {name: mixed(part) for name, part in MIXED.items()}
    found |= {name: signals(part) for name, part in SEQUENCES.items()}
    found |= {name: tokens(part) for name, part in TOKENS.items()}
    found |= {name: table(part) for name, part in TABLES.items()}
    return found | {"frequency_mask": spectrogram()}


# ---------------------------------------------------------------------- images


def photographs() -> Tensor:
    """`[2, 3, 53, 80]` bytes: a temple in China and a flower, which scikit-learn ships."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        whole = load_sample_image(name).astype(np.int64)
        high, wide = whole.shape[0] // SHRINK, whole.shape[1] // SHRINK
        blocks = whole[: high * SHRINK, : wide * SHRINK].reshape(high, SHRINK, wide, SHRINK, 3)
        found.append(blocks.sum((1, 3)) // SHRINK**2)
    return torch.from_numpy(np.stack(found)).byte().permute(0, 3, 1, 2).contiguous()


def drawn(part: Augmentation) -> bytes:
    """Of the temple, whose lines show what is turned; of the flower where colors change."""
    temple, flower = photographs().split(1)
    one = flower if isinstance(part, Photometric | tw.HueHSV) else temple
    return png([one, part(one.expand(DRAWS, -1, -1, -1), ids=range(DRAWS))])


def before_and_after(part: Augmentation) -> bytes:
    both = photographs()
    after = part(both, ids=range(2))
    return png([both[:1], after[:1], both[1:], after[1:]])


def mixed(part: Augmentation) -> bytes:
    both = photographs()
    after, _ = part((both.repeat(DRAWS // 2, 1, 1, 1), torch.zeros(DRAWS)), ids=range(DRAWS))
    return png([both, after])


def png(batches: list[Tensor]) -> bytes:
    """Images side by side; Pillow chooses filters that a photograph takes a third less with."""
    levels = torch.cat([batch.float() for batch in batches]).round().byte().permute(0, 2, 3, 1).numpy()
    file = BytesIO()
    Image.fromarray(strip(list(levels))).save(file, "PNG", optimize=True)
    return file.getvalue()


# ---------------------------------------------------------------------- sequences


def signal() -> Tensor:
    """`[1, T]`: two bursts of different pitch on a slow wave."""
    t = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    bursts = sum(
        torch.exp(-(((t - at) / 0.08) ** 2)) * torch.sin(2 * torch.pi * pitch * t)
        for at, pitch in ((0.3, 18.0), (0.7, 30.0))
    )
    return (bursts + 0.4 * torch.sin(2 * torch.pi * t))[None]


def signals(part: Augmentation) -> str:
    before, t = signal(), range(STEPS)
    after = part(before, ids=[1])
    return curves([("as it is", t, before[0]), ("as drawn", t, after[0])], str(part), "step")


def spectrogram() -> str:
    """The strength of 16 frequencies over time, of a tone that rises."""
    channel, step = torch.arange(16.0)[:, None], torch.arange(40.0)[None]
    before = torch.exp(-(((channel - step * 0.4) / 2) ** 2)).round(decimals=3)[None]
    part = tw.FrequencyMask(0.3, 2)
    return row(channels(before[0], "as it is"), channels(part(before, ids=[1])[0], str(part)))


def channels(x: Tensor, title: str) -> str:
    names = [str(i) for i in range(len(x))]
    return heat(names, range(x.shape[1]), x.tolist(), title, "step", "channel")


# ---------------------------------------------------------------------- tokens and tables


def tokens(part: Augmentation) -> str:
    """Four rows of ids from 1 to 8 with padding of 0 at their ends."""
    lengths = torch.tensor([16, 13, 16, 10])
    ids = 1 + (3 * torch.arange(16)[None] + 5 * torch.arange(4)[:, None]) % 8
    before = torch.where(torch.arange(16) < lengths[:, None], ids, 0)
    return row(texts(before, "as they are"), texts(part(before, ids=range(4)), str(part)))


def texts(x: Tensor, title: str) -> str:
    return heat([f"row {i}" for i in range(len(x))], range(x.shape[1]), x.tolist(), title, "position", "id")


def table(part: Augmentation) -> str:
    """Length and width of the petals of 150 irises, standardized."""
    values: Any = load_iris().data[:, 2:]
    before = torch.from_numpy((values - values.mean(0)) / values.std(0))
    before = before[torch.randperm(len(before), generator=torch.Generator().manual_seed(0))]
    after = part(before, ids=range(len(before)))
    return row(*(petals(x, title) for x, title in ((before, "as they are"), (after, str(part)))))


def petals(x: Tensor, title: str) -> str:
    limits = (-2.2, 2.2)
    return points([("", x[:, 0], x[:, 1])], title, "petal length", "petal width", x_range=limits, y_range=limits)
