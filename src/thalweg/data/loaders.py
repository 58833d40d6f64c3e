"""Whole batches from a DataLoader of the user's own, iterated as it is, and repeated exactly where it can be."""

import copy
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from thalweg.data.batches import as_batch, describe, structure
from thalweg.data.datasets import SMALL_TARGET
from thalweg.data.generators import seed_generators, seed_item, unchanged_generators
from thalweg.data.items import Fed
from thalweg.data.rows import BatchRows, Part, StepFunction, is_pair, rows_in
from thalweg.data.seeds import ORDER, mix
from thalweg.data.streams import Pass, Thinned
from thalweg.data.targets import Target, to_target
from thalweg.data.task import Task
from thalweg.data.workers import deaths_named, interrupts_left_to_us, quiet
from thalweg.errors import DataError, ThalwegError

IGNORED = -100  # fills up class indices of different lengths; torch's losses leave it out
END = object()


def pass_over_loader(loader: Iterable[Any], part: Part, step: StepFunction | None) -> Pass:
    """Counts rows and batches, keeps some batches, and the targets where they are small.

    A loader that knows its length and whose batches have no target is read until the sample is full.

    Raises:
        DataError: for no batches, batches of another form than a training takes, or that differ in form.
    """
    thinned, sizes, targets = Thinned(), [], []
    length, started, paired = known_length(loader), time.monotonic(), True
    for number, value in enumerate(iterate(loader, part, seed=0, epoch=0)):
        if not number:
            as_batch(value, task=None, step=step, what=f"Batch 0 of the {part} {type(loader).__name__}")
        sizes.append(rows_in(value))
        thinned.offer(number, value, rows=sizes[-1])
        paired = paired and is_pair(value) and is_small_target(value[1])
        if paired:
            targets.append(to_target(value[1]))
        elif step is not None and length is not None and thinned.every > 1:
            break
    if not sizes:
        raise DataError(
            f"The {part} {type(loader).__name__} yields nothing. It needs at least one batch; drop_last=True on fewer "
            "rows than a batch leaves none."
        )
    seconds, whole = time.monotonic() - started, length is None or len(sizes) >= length
    if not whole:
        assert length is not None
        sizes += [sizes[0]] * (length - len(sizes))
    return Pass(tuple(sizes), together(targets) if paired else None, thinned.values, seconds, whole)


def known_length(loader: Iterable[Any]) -> int | None:
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:  # a DataLoader has one only where its Dataset has
        return None


def is_small_target(target: Any) -> bool:
    return not isinstance(target, Tensor) or (target.dim() > 0 and target[:1].numel() <= SMALL_TARGET)


def together(targets: list[Target]) -> Target | None:
    """The targets of batches as one; class indices of different lengths are filled up. None for other mixed shapes."""
    if not all(isinstance(target, Tensor) for target in targets):
        return to_target([label for target in targets for label in target])
    tensors = [target for target in targets if isinstance(target, Tensor)]
    shapes = [tensor.shape[1:] for tensor in tensors]
    if len(set(shapes)) > 1:
        if any(tensor.is_floating_point() or tensor.dim() != 2 for tensor in tensors):
            return None
        widest = max(shape[0] for shape in shapes)
        tensors = [torch.nn.functional.pad(t, (0, widest - t.shape[1]), value=IGNORED) for t in tensors]
    return torch.cat(tensors)


def batch_rows(
    loader: Iterable[Any],
    found: Pass,
    part: Part,
    *,
    target: Tensor | None,
    step: StepFunction | None,
    task: Task | None,
) -> BatchRows:
    """The rows of a loader after a pass over it; `target` is what the pass found, as the loss takes it."""
    target = torch.zeros(found.num_rows) if target is None else target
    return BatchRows(loader, found.sizes, target, part, step, task, tuple(found.kept.values()), why_inexact(loader))


def why_inexact(loader: Any) -> str:
    """Why an epoch of a loader cannot be repeated bit by bit, as far as can be told; empty where nothing says so."""
    batches = getattr(loader, "batch_sampler", None)
    for part in (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)):
        if getattr(part, "generator", None) is not None:
            return f"its {type(part).__name__} draws from a generator of its own, whose state is not ours to set"
    if getattr(loader, "num_workers", 0) and getattr(loader, "persistent_workers", False):
        return "persistent_workers=True carries the workers' random states from one epoch to the next"
    return ""


def read_loader(rows: BatchRows, *, seed: int, epoch: int, skip: int, nested: bool = False) -> Iterator[Fed]:
    """The batches of an epoch from number `skip` on; those before are read and dropped.

    Args:
        rows: of a loader.
        seed: of the run.
        epoch: with the seed it decides what the loader draws from the global generators.
        skip: batches to drop.
        nested: whether another iteration of the loader is under way, which persistent workers do not allow.

    Raises:
        DataError: naming the batch, where it cannot be read, differs in form, or there are more or fewer than before.
        TrainingError: where a worker died.
    """
    loader = copied(rows.batches) if nested else rows.batches
    expected, name = len(rows.sizes), f"{rows.part} {type(loader).__name__}"
    number = -1
    for number, value in enumerate(iterate(loader, rows.part, seed=seed, epoch=epoch)):
        if number == expected:
            number += 1
            break
        if number >= skip:
            yield as_batch(value, task=rows.task, step=rows.step, what=f"Batch {number} of the {name}")
    if number + 1 != expected:
        count = f"more than {expected:,}" if number + 1 > expected else f"{number + 1:,}"
        raise DataError(
            f"The {name} gave {count} batches in epoch {epoch + 1}, {expected:,} were expected from its length or "
            f"first pass: batch {min(number + 1, expected)} differs. A training counts its steps first; make every "
            "epoch as long (a sampler or batch sampler of fixed length, an IterableDataset that starts anew)."
        )


def copied(loader: Any) -> Any:
    """A loader that shares all but its processes."""
    if getattr(loader, "persistent_workers", False):
        loader = copy.copy(loader)
        loader._iterator = None
    return loader


def iterate(loader: Iterable[Any], part: Part, *, seed: int, epoch: int) -> Iterator[Any]:
    """The batches as the loader gives them, the global generators seeded for its start and for each batch.

    Samplers with `set_epoch`, as distributed ones, are told the epoch, without which they repeat one order.
    """
    samplers: tuple[Any, ...] = (getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    for sampler in samplers:
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
    name = f"{part} {type(loader).__name__}"
    form: Any = None
    number, receiving = 0, getattr(loader, "num_workers", 0) > 0
    try:
        with deaths_named(), quiet(), interrupts_left_to_us(), unchanged_generators():
            seed_generators(mix(ORDER, seed, epoch))
            iterator = iter(loader)
        while True:
            with deaths_named(receiving=receiving), unchanged_generators():
                seed_item(seed, epoch, number)
                value = next(iterator, END)
            if value is END:
                return
            own = structure(value)
            form = form or own
            if own != form:
                raise DataError(
                    f"Batch {number} of the {name} is {describe(value)} with {own}; the batches before have {form}. "
                    "Give all batches the same structure."
                )
            yield value
            number += 1
    except ThalwegError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()  # of a worker the whole traceback
        reason = lines[-1] if str(error).startswith("Caught") else f"{type(error).__name__}: {error}"
        raise DataError(
            f"Batch {number} of the {name} cannot be read: {reason}. Items that differ in shape need a collate_fn that "
            "pads them; one that raises must be mended or left out."
        ) from error
