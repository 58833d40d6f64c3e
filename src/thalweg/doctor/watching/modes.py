"""What a network answers in training mode and in evaluation mode, on the same rows."""

from typing import Protocol

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.data.rows import Inputs, call, num_rows, take
from thalweg.data.task import Task
from thalweg.doctor.watching.again import answers, compared
from thalweg.doctor.watching.steps import StepWatch
from thalweg.measure.head import Head
from thalweg.measure.score import score
from thalweg.readings import Reading
from thalweg.train.clone import clone


class Rows(Protocol):
    """Rows and how answers to them are scored."""

    @property
    def inputs(self) -> Inputs: ...
    @property
    def target(self) -> Tensor: ...
    @property
    def task(self) -> Task: ...
    @property
    def head(self) -> Head: ...


def mode_gap(last: nn.Module, rows: Rows, watch: StepWatch) -> list[Reading]:
    """`twin.evaluation_mode.*`: scores in the mode of the loop's passes without gradient, and in evaluation mode.

    In batches of the size that those passes had; nothing where they ran in evaluation mode.
    """
    if not any(m.norms or (m.network and m.dropouts) for m in watch.idle.modes):
        return []
    size = max(watch.idle.sizes, default=1)
    copy, found = clone(last).train(), []
    with torch.no_grad(), global_rng_kept():
        seed_noise(0, 0)
        for part in torch.arange(num_rows(rows.inputs)).split(size):  # type: ignore[no-untyped-call]
            if len(part) < 2 and len(part) < size:
                part = torch.cat([part, part])[: max(2, len(part))]
            output = call(copy, take(rows.inputs, part))
            if not isinstance(output, Tensor):
                return []
            found.append(output)
    count = num_rows(rows.inputs)
    evaluated = answers(last, rows.inputs)
    if evaluated is None:
        return []
    plain = score(torch.cat(found)[:count], rows.target, task=rows.task, head=rows.head)
    changed = score(evaluated, rows.target, task=rows.task, head=rows.head)
    return [] if plain is None or changed is None else compared("evaluation_mode", plain, changed, 1.0)
