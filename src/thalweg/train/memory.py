"""Running out of memory, as an error that says what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from thalweg.errors import TrainingError
from thalweg.plan import Plan

# Of an accelerator torch raises a class of its own; of the host's allocator it has only a text.
HOST_TEXTS = ("can't allocate memory", "not enough memory", "std::bad_alloc")


@contextmanager
def out_of_memory_named(plan: Plan) -> Iterator[None]:
    """Names what to lower where torch runs out of memory. What was saved before is not touched."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        host = isinstance(error, MemoryError) or any(text in str(error) for text in HOST_TEXTS)
        if not host and not isinstance(error, torch.OutOfMemoryError):
            raise
        raise TrainingError(
            f"{describe(error)} Lower what it takes: {advice(plan)}. What was saved before is intact."
        ) from error


def describe(error: BaseException) -> str:
    first = str(error).strip().splitlines()
    return f"The training ran out of memory ({first[0].rstrip('.') if first else type(error).__name__})."


def advice(plan: Plan) -> str:
    """What to change, the mildest first: the same numbers in smaller pieces, then recomputation, then precision."""
    found = []
    if isinstance(plan.batch_size, int) and plan.batch_size > 1:
        parts = next((n for n in (2, 3, 5) if plan.batch_size % n == 0), 2)
        same = "the same" if plan.batch_size % parts == 0 else "nearly the same"
        found.append(
            f"batch_size={plan.batch_size // parts} with accumulate={parts * plan.accumulate} makes {same} updates in "
            "pieces"
        )
    if not plan.gradient_checkpointing:
        found.append("gradient_checkpointing=True keeps fewer activations")
    if plan.precision == "float32":
        found.append("precision='bf16' halves them")
    return "; ".join(found) or "take a smaller network or shorter inputs"
