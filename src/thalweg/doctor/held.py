"""What a network answers on rows that were not trained on, row by row."""

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call
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
    if not all(isinstance(output, Tensor) for output in outputs) or len({t.shape[1:] for t in targets}) > 1:
        return None
    if len({output.shape[1:] for output in outputs}) > 1:
        return None
    return score(join(outputs), torch.cat(targets), task=task, head=head)


def score_of_rows(network: nn.Module, inputs: Inputs, target: Tensor, *, task: Task, head: Head) -> Score | None:
    """The same of rows at hand."""
    with evaluating(network), global_rng_kept():
        return score(call(network, inputs), target, task=task, head=head)
