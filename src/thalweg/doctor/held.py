"""What a network answers on rows that were not trained on, row by row."""

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import call
from thalweg.data.task import Task
from thalweg.measure.head import Head
from thalweg.measure.score import Score, score
from thalweg.train.evaluation import evaluating, join, pieces


def fed_score(network: nn.Module, feeder: Feeder, *, task: Task, head: Head) -> Score | None:
    """The score of each of a feeder's rows, in its order; None where outputs or targets have another form."""
    outputs, targets = [], []
    with evaluating(network), global_rng_kept():
        for inputs, target, *_ in pieces(feeder):
            outputs.append(call(network, inputs))
            targets.append(target)
    shapes = {output.shape[1:] if isinstance(output, Tensor) else None for output in outputs}
    if None in shapes or len(shapes) > 1 or len({target.shape[1:] for target in targets}) > 1:
        return None
    return score(join(outputs), torch.cat(targets), task=task, head=head)
