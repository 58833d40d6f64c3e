"""The seal opened: a run's kept weights measured on the test rows, its scores cut where the validation rows say."""

import math
from typing import TYPE_CHECKING

from thalweg.errors import UsageError
from thalweg.evaluate.result import Result, Threshold
from thalweg.evaluate.threshold import choose_common_threshold, choose_threshold
from thalweg.lock import locked
from thalweg.recipe import are_even
from thalweg.run import Run
from thalweg.saved import CUT, check_threshold, measure_model, scores_of

if TYPE_CHECKING:
    from thalweg.experiment import Experiment


def evaluate(experiment: "Experiment", run: Run, threshold: str | float) -> Result:
    """Measures and counts; the arguments and what is raised are those of `Experiment.evaluate`."""
    seal = experiment.data.test
    if seal is None:
        raise UsageError("This experiment has no test rows (test=False); run.metrics has the validation measures.")
    own = experiment._with_rows_of(run.store)  # a comparison may have drawn other validation rows, test rows never
    own._require_same_rows(run.store, run.name)
    run.attach(experiment)
    with locked(run.directory):
        cut = cut_of(own, run, threshold)
        rows = seal.open(run.name)
        result = measure_model(run.model, rows, experiment.task, experiment.loss_name, cut, experiment.metrics)
        opened = {"digest": seal.digest, "openings": seal.count(), "rows": len(seal)}
        run.store.put({"result": result.to_json(), "seal": opened})
        return result


def cut_of(experiment: "Experiment", run: Run, threshold: str | float) -> Threshold | None:
    """Where the scores are cut, chosen on the validation rows; None where the task has no cut."""
    kind = experiment.task.kind
    if kind not in CUT:
        if threshold != "auto":
            raise UsageError(f"threshold={threshold!r} is for a binary or multi-label task; this one is {kind}.")
        return None
    output, target = run.outputs(experiment.data.validation)
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
