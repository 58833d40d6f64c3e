"""Handwritten digits: 1,797 images of 8 x 8 pixels that scikit-learn ships, and a small convolutional network.

thalweg train examples/digits.py
"""

from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw

digits = load_digits()
images = digits.images[:, None].astype("float32")  # [1797, 1, 8, 8], values 0 to 16


def block(channels: int, width: int) -> list[nn.Module]:
    """Convolution, then normalization before the activation."""
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def small_cnn() -> nn.Module:
    return nn.Sequential(
        *block(1, 32),
        *block(32, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(64 * 2 * 2, 10),
    )


experiment = tw.Experiment(small_cnn, train=(images, digits.target), loss="cross_entropy")
