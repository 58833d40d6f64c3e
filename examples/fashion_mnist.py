"""Ten kinds of clothing: 70,000 images of 28 x 28 pixels, the official 10,000 test images sealed, and a small CNN.

thalweg train examples/fashion_mnist.py
"""

import numpy as np
from _folder import data_file
from torch import nn

import thalweg as tw

SOURCE = "Fashion-MNIST (github.com/zalandoresearch/fashion-mnist): x_train, y_train, x_test, y_test as bytes"
images = np.load(data_file("fashion_mnist.npz", SOURCE))


def part(name: str) -> tuple[np.ndarray, np.ndarray]:
    return images[f"x_{name}"][:, None], images[f"y_{name}"]  # [N, 1, 28, 28], values 0 to 255


def block(channels: int, width: int, *, pool: bool = True) -> list[nn.Module]:
    """Pooling stands before the normalization, which then has a quarter of the values to go through."""
    pooling = [nn.MaxPool2d(2)] if pool else []
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), *pooling, nn.BatchNorm2d(width), nn.ReLU()]


def small_cnn() -> nn.Module:
    return nn.Sequential(
        *block(1, 16),
        *block(16, 64),
        *block(64, 64, pool=False),
        *block(64, 128),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(128 * 3 * 3, 10),
    )


experiment = tw.Experiment(small_cnn, train=part("train"), test=part("test"), loss="cross_entropy")
