"""Rows that a trained model is asked about, in the form of the training data."""

from typing import Any

import torch
from torch import Tensor

from thalweg.data.batches import is_plain, plain_inputs
from thalweg.data.inputs import InputSpec
from thalweg.data.loaders import batch_rows, pass_over_loader
from thalweg.data.rows import AnyRows, DatasetRows, Rows, StreamRows, num_rows
from thalweg.errors import UsageError


def asked_rows(x: Any, spec: InputSpec, train: AnyRows | None, *, any_length: bool = False) -> AnyRows:
    """New inputs as rows, with a target of no meaning.

    Args:
        x: as the training data's x. Where items are collated: a list or a Dataset of items as in training (the target
            in them is not looked at), or inputs of a batch as the collate function makes them. Of a DataLoader's
            experiment: a DataLoader or a list of batches, or the inputs of one.
        spec: the form of the training data.
        train: the training rows, which know the collate function and the step; None where the code is not at hand.
        any_length: whether rows may be longer or shorter than in training, as sequences may.

    Raises:
        UsageError: for another form, or where the collate function is not at hand.
    """
    if spec.form not in ("items", "batches"):
        inputs = spec.encode(x, any_length=any_length)
        return resident(inputs)
    step = None if train is None else train.step
    if step is None and is_plain(x) and not isinstance(x, list):
        return resident(plain_inputs(x, "The inputs"))
    if spec.form == "batches":
        batches = [x] if isinstance(x, dict) or is_plain(x) else x
        return batch_rows(batches, pass_over_loader(batches, "test", step), "test", target=None, step=step, task=None)
    known = train.sample if isinstance(train, StreamRows) else train
    if not isinstance(known, DatasetRows):
        raise UsageError(
            "This run's inputs are put together by the experiment's collate function, which is not stored. Open the "
            "run with experiment.open(name), or pass the inputs of a batch as that function makes them."
        )
    if not hasattr(x, "__getitem__") or not hasattr(x, "__len__") or isinstance(x, Tensor | dict | str) or not len(x):
        raise UsageError(
            f"predict got a {type(x).__name__}; pass a list or a Dataset of items as in training, at least one (the "
            "target in them is not looked at)."
        )
    ids = torch.arange(len(x))
    return DatasetRows(x, torch.zeros(len(x)), ids, "test", collate=known.collate, step=known.step)


def resident(inputs: Any) -> Rows:
    count = num_rows(inputs)
    return Rows(inputs, torch.zeros(count), torch.arange(count), "test")
