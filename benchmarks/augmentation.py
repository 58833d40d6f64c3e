"""Image augmentation against the peers: images per CPU-second of one thread, what drawing costs, what a training pays.

    OMP_NUM_THREADS=1 python benchmarks/augmentation.py                # everything
    OMP_NUM_THREADS=1 python benchmarks/augmentation.py chain 32       # one part, one size

The chain is a mirror, a padded crop, a color jitter with hue, and a random affine map, drawn for each image by itself,
bytes in and floats out. Peers that are not installed are left out: kornia, fuse-augmentations, torchvision (v2 image by
image, because on a batch it draws once for all; and on Pillow images), albumentationsx. Passes are interleaved, each
after one of the same library that is not timed, and medians of the process's CPU time are shown, because the wall clock
of a busy machine is not theirs.
"""

import importlib
import platform
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.parts.augmentations import (
    Affine,
    ColorJitter,
    Compose,
    HorizontalFlip,
    PaddedCrop,
    RandAugment,
    TrivialAugment,
)

SIZES = {"32": (128, 3, 32), "96": (64, 3, 96), "224": (16, 3, 224), "28": (128, 1, 28)}
REPEATS = 9
Call = Callable[[], Any]


def found(name: str) -> Any:
    """A module, or None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:
        print(f"  {name} is left out: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def timed(calls: dict[str, Call], repeats: int = REPEATS) -> dict[str, float]:
    """CPU seconds of each call, medians of interleaved passes, each after one of its own that is not timed."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            call()
            started = time.process_time()
            call()
            spent[name].append(time.process_time() - started)
    return {name: median(values) for name, values in spent.items()}


def images(count: int, channels: int, side: int) -> Tensor:
    """Smooth bytes: noise at a quarter of the size, magnified."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, side // 4, side // 4, generator=generator)
    smooth = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    return (smooth.clamp(0, 1) * 255).byte()


def chain(channels: int) -> Compose:
    hue = (0.4, 0.1) if channels == 3 else (0.0, 0.0)
    return Compose(HorizontalFlip(), PaddedCrop(4), ColorJitter(0.4, 0.4, *hue), Affine(rotate=15, scale=(0.8, 1.2)))


def kornia_chain(kornia: Any, channels: int, side: int) -> list[Any]:
    gray = nn.Sequential(kornia.RandomBrightness((0.6, 1.4), p=1.0), kornia.RandomContrast((0.6, 1.4), p=1.0))
    return [
        kornia.RandomHorizontalFlip(),
        kornia.RandomCrop((side, side), padding=4, p=1.0),
        kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0) if channels == 3 else gray,
        kornia.RandomAffine(15, scale=(0.8, 1.2), p=1.0),
    ]


def chains(x: Tensor) -> dict[str, Call]:
    """The chain by each library, on the same batch of bytes."""
    count, channels, side = len(x), x.shape[1], x.shape[2]
    own, ids = chain(channels), np.arange(count)
    calls: dict[str, Call] = {"thalweg": lambda: own(x, ids=ids)}
    compiled = torch.compile(lambda batch: own(batch, ids=ids))
    calls["thalweg, under torch.compile"] = lambda: compiled(x)
    if kornia := found("kornia.augmentation"):
        parts = kornia_chain(kornia, channels, side)
        together = nn.Sequential(*parts)
        calls["kornia"] = lambda: together(x.float() / 255)
        if fuse := found("fuse_augmentations"):
            fused = fuse.Compose([p for part in parts for p in (part if isinstance(part, nn.Sequential) else [part])])
            calls["fuse-augmentations"] = lambda: fused(x.float() / 255)
    if v2 := found("torchvision.transforms.v2"):
        hue = (0.4, 0.1) if channels == 3 else (0.0, 0.0)
        steps = [v2.RandomHorizontalFlip(), v2.RandomCrop(side, padding=4), v2.ColorJitter(0.4, 0.4, *hue)]
        steps += [v2.RandomAffine(15, scale=(0.8, 1.2), interpolation=v2.InterpolationMode.BILINEAR)]
        each = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True)])
        calls["torchvision v2, per image"] = lambda: torch.stack([each(image) for image in x])
        pictures = [v2.functional.to_pil_image(image) for image in x]
        pillow = v2.Compose([*steps, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
        calls["Pillow, per image"] = lambda: torch.stack([pillow(image) for image in pictures])
    if albumentations := found("albumentations"):
        calls["albumentationsx"] = albumented(albumentations, x)
    return calls


def albumented(a: Any, x: Tensor) -> Call:
    channels, side = x.shape[1], x.shape[2]
    color = ((0.6, 1.4), (0.6, 1.4), (0.6, 1.4) if channels == 3 else (1, 1), (-0.1, 0.1) if channels == 3 else (0, 0))
    pipeline = a.Compose(
        [
            a.HorizontalFlip(),
            a.PadIfNeeded(side + 8, side + 8),
            a.RandomCrop(side, side),
            a.ColorJitter(*color, p=1),
            a.Affine(rotate=(-15, 15), scale=(0.8, 1.2), p=1),
        ]
    )
    arrays = list(x.permute(0, 2, 3, 1).contiguous().numpy())

    def run() -> Tensor:
        done = np.stack([pipeline(image=array)["image"] for array in arrays])
        return torch.from_numpy(done).reshape(len(x), side, side, channels).permute(0, 3, 1, 2).float() / 255

    return run


def show(calls: dict[str, Call], count: int) -> None:
    seconds = timed(calls)
    reference = seconds.get("kornia") or seconds.get("torchvision v2, per image")
    for name, spent in sorted(seconds.items(), key=lambda pair: pair[1]):
        ratio = f"  {reference / spent:6.2f}" if reference else ""
        print(f"  {name:<32}{count / spent:>12,.0f}{ratio}")


def run_chain(sizes: list[str]) -> None:
    for name in sizes:
        shape = SIZES[name]
        x = images(*shape)
        print(f"\n{shape[0]} images of {shape[1]} x {shape[2]} x {shape[2]}: images per CPU-second, times kornia")
        show(chains(x), shape[0])
        own, ids = chain(shape[1]), np.arange(shape[0])
        parts = {
            "draw": lambda own=own, ids=ids, x=x: own.draw(ids, shape=tuple(x.shape[1:])),
            "all": lambda own=own, ids=ids, x=x: own(x, ids=ids),
        }
        seconds = timed(parts, 31)
        print(f"  drawing parameters: {seconds['draw'] / seconds['all']:.1%} of the time")


def run_policies(sizes: list[str]) -> None:
    v2 = found("torchvision.transforms.v2")
    for name in sizes:
        shape = SIZES[name]
        x, ids = images(*shape), np.arange(shape[0])
        print(f"\n{shape[0]} images of {shape[1]} x {shape[2]} x {shape[2]}: images per CPU-second, times torchvision")
        smooth = {"interpolation": v2.InterpolationMode.BILINEAR} if v2 else {}
        for label, own, other in (
            ("TrivialAugment", TrivialAugment(), v2 and v2.TrivialAugmentWide(**smooth)),
            ("RandAugment", RandAugment(), v2 and v2.RandAugment(**smooth)),
        ):
            print(f"  {label}")
            calls: dict[str, Call] = {"thalweg": lambda own=own, x=x, ids=ids: own(x, ids=ids)}
            if other:
                calls["torchvision v2, per image"] = lambda other=other, x=x: torch.stack([other(i).float() for i in x])
            show(calls, shape[0])


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(1024, 10),
    )  # fmt: skip


def run_training(_: list[str]) -> None:
    """A step of a small CNN on 128 x 3 x 32 x 32, and what each library's chain adds to it."""
    x, y = images(128, 3, 32), torch.randint(0, 10, (128,), generator=torch.Generator().manual_seed(0))
    network = small_cnn()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(x.float() / 255), y).backward()
        optimizer.step()

    calls = {name: call for name, call in chains(x).items() if "compile" not in name}
    seconds = timed({"step": step, **calls}, 15)
    print(f"\nA training step of a small CNN takes {1e3 * seconds['step']:.1f} ms; the chain costs beside it")
    for name in sorted(calls, key=lambda n: seconds[n]):
        print(f"  {name:<32}{seconds[name] / seconds['step']:>8.1%}")


def run_detail(_: list[str]) -> None:
    """Energy of high frequencies that is left after three warps one by one, and as one."""
    x = torch.rand(32, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    parts = [Affine(rotate=10), Affine(scale=(0.95, 1.05)), Affine(rotate=10)]
    once = Compose(*parts)
    draw = once.draw(range(32), shape=(1, 64, 64))
    single = once.replay(x, draw)
    several = x
    for i, part in enumerate(parts):
        own = Compose(part)
        alone = own.draw(range(32), shape=(1, 64, 64))
        replaced = type(alone)(alone.ids, alone.shape, alone.parts, (draw.drawn[i],))
        several = own.replay(several, replaced)

    def energy(images: Tensor) -> float:
        spectrum = torch.fft.fft2(images[..., 16:48, 16:48]).abs().square().mean((0, 1))
        frequency = torch.fft.fftfreq(32).abs()
        return float(spectrum[torch.maximum(frequency[:, None], frequency[None]) > 0.25].sum())

    print(f"\nhigh-frequency energy: three passes keep {energy(several) / energy(single):.0%} of one pass's")


RUNS = {"chain": run_chain, "policies": run_policies, "training": run_training, "detail": run_detail}


def main() -> None:
    asked = sys.argv[1:]
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread")
    for name in [a for a in asked if a in RUNS] or list(RUNS):
        RUNS[name]([a for a in asked if a in SIZES] or list(SIZES))


if __name__ == "__main__":
    main()
