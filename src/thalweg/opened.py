"""The seal opened: a run's kept weights measured on the test rows, its scores cut where the validation rows say."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from thalweg.data.sample import head
from thalweg.errors import UsageError
from thalweg.evaluate.result import Result, Threshold
from thalweg.evaluate.threshold import choose_common_threshold, choose_threshold
from thalweg.lock import locked
from thalweg.predictions import CUT, check_threshold
from thalweg.recipe import are_even
from thalweg.resume import require_same_rows
from thalweg.run import Run
from thalweg.saved import measure_model, outputs_of, scores_of
from thalweg.setup import few
from thalweg.views import Parts, Viewed, gain_of, viewed

if TYPE_CHECKING:
    from thalweg.experiment import Experiment


def evaluate(experiment: "Experiment", run: Run, threshold: str | float, views: int, parts: Parts) -> Result:
    """Measures and counts; the arguments and what is raised are those of `Experiment.evaluate`."""
    seal = experiment.data.test
    if seal is None:
        raise UsageError("This experiment has no test rows (test=False); run.metrics has the validation measures.")
    own = experiment._with_rows_of(run.store)  # a comparison may have drawn other validation rows, test rows never
    require_same_rows(run.store, own.data.digest(), run.name)
    run.attach(experiment)
    with locked(run.directory):
        model = run.model if views == 1 else viewed(run, few(head(own.data.train, 2), None)[0], views, parts)
        cut = cut_of(own, model, threshold)
        rows = seal.open(run.name)
        averaged = outputs_of(model, rows) if isinstance(model, Viewed) else None
        asked = experiment.task, experiment.loss_name, cut, experiment.metrics
        result = measure_model(model, rows, *asked, outputs=averaged)
        if isinstance(model, Viewed) and averaged is not None:
            result = replace(result, gain=gain_of(run, model, rows, averaged))
        run.store.put({"result": result.to_json(), "seal": seal.facts()})
        return result


def cut_of(experiment: "Experiment", model: nn.Module, threshold: str | float) -> Threshold | None:
    """Where the scores are cut, chosen on the validation rows; None where the task has no cut."""
    kind = experiment.task.kind
    if kind not in CUT:
        if threshold != "auto":
            raise UsageError(f"threshold={threshold!r} is for a binary or multi-label task; this one is {kind}.")
        return None
    output, target = outputs_of(model, experiment.data.validation)
    scores = scores_of(experiment.loss_name, output, labels=kind == "multilabel")
    if not isinstance(threshold, str):
        if not isinstance(threshold, int | float):
            raise UsageError(f"threshold={threshold!r}: give a name such as 'f1', or one probability.")
        check_threshold(threshold, experiment.task)
        value = threshold if scores == "probabilities" else math.log(threshold / (1 - threshold))
        return Threshold(value, scores, "given")
    if kind == "multilabel":
        if threshold != "auto":
            raise UsageError(f"threshold={threshold!r}: of labels it is 'auto' (micro F1) or a probability.")
        return choose_common_threshold(output, target, scores=scores)
    if threshold == "auto":
        # The best F1 of a weak network on even classes is reached by calling every row positive.
        threshold = "balanced_accuracy" if are_even(target) else "f1"
    return choose_threshold(output, target, objective=threshold, scores=scores)
