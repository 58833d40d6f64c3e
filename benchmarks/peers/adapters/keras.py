"""Keras 3 on torch: its own layers, and a torch module wrapped; by default with its bar, stripped without."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from torch import nn
from work import Work


class Wrapped(keras.Model):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = keras.layers.TorchModuleWrapper(model)

    def call(self, x):
        return self.inner(x)


def fit(model: keras.Model, work: Work, verbose: str | int) -> None:
    sgd = keras.optimizers.SGD(work.rate, momentum=work.momentum)
    model.compile(
        optimizer=keras.optimizers.Adam(work.rate) if work.adam else sgd,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    if work.tuned:
        model.fit(work.loader(), epochs=work.epochs, verbose=verbose)
    else:
        model.fit(work.x, work.y, batch_size=work.batch_size, epochs=work.epochs, verbose=verbose)


def native(model: nn.Module, shape: tuple[int, ...]) -> keras.Model:
    """The same network of Keras's layers, with the same weights; images in torch's order of dimensions."""
    images = {"data_format": "channels_first"}
    layers: list[keras.Layer] = [keras.Input(shape)]
    for layer in model:
        if isinstance(layer, nn.Linear):
            layers.append(keras.layers.Dense(layer.out_features))
        elif isinstance(layer, nn.Conv2d):
            layers.append(keras.layers.Conv2D(layer.out_channels, layer.kernel_size, padding="same", **images))
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(keras.layers.MaxPooling2D(layer.kernel_size, **images))
        else:
            layers.append(keras.layers.ReLU() if isinstance(layer, nn.ReLU) else keras.layers.Flatten(**images))
    copy = keras.Sequential(layers)
    weights = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            weights += [layer.weight.detach().T.numpy(), layer.bias.detach().numpy()]
        elif isinstance(layer, nn.Conv2d):
            weights += [layer.weight.detach().permute(2, 3, 1, 0).numpy(), layer.bias.detach().numpy()]
    copy.set_weights(weights)
    return copy


def default(work: Work) -> nn.Module:
    model = native(work.model, tuple(work.x.shape[1:]))
    fit(model, work, "auto")
    return model


def stripped(work: Work) -> nn.Module:
    fit(Wrapped(work.model), work, 0)
    return work.model


DEFAULT, STRIPPED = default, stripped
