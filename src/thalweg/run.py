"""Run: one training, stored in a folder; readable without torch, usable for prediction with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.evaluate.result import Result
from thalweg.findings import Findings
from thalweg.plan import Plan
from thalweg.store import FILE, Store

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.data.rows import AnyRows
    from thalweg.doctor.diagnosis import Diagnosis
    from thalweg.experiment import Experiment
    from thalweg.parts.regularizers.mc_dropout import Uncertainty
    from thalweg.setup import Setup

EPOCH_READINGS = ("rate", "epoch.seconds", "rows_per_second", "train.loss", "regularizer.penalty")


class Run:
    """One training: what was decided, what happened, what was found, and the trained network.

    A run comes from `experiment.train`, from `experiment.open(name)`, or from `Run.open(folder)`, which needs no
    experiment to read what is stored, and takes `network=` to predict with.
    """

    def __init__(
        self,
        directory: Path,
        *,
        experiment: "Experiment | None" = None,
        setup: "Setup | None" = None,
        network: "nn.Module | None" = None,
    ) -> None:
        self.directory = directory
        self.store = Store(directory / FILE)
        self._experiment, self._setup, self._network = experiment, setup, network
        self._model: nn.Module | None = None

    @classmethod
    def open(
        cls, path: str | Path, *, experiment: "Experiment | None" = None, network: "nn.Module | None" = None
    ) -> "Run":
        """A saved run, also one copied from elsewhere.

        Args:
            path: the run's folder.
            experiment: gives the network its code; without it history, findings and measures can still be read.
            network: a module of the same architecture, into which the weights are loaded; instead of an experiment.

        Raises:
            StoreError: when there is no run, or its store is damaged.
        """
        return cls(Path(path), experiment=experiment, network=network)

    # ------------------------------------------------------------------ what is stored

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def status(self) -> str:
        """ "running", "completed", "interrupted" (also where the process died) or "failed"."""
        return str(self.store.get("status", "interrupted"))

    @property
    def verdict(self) -> str:
        """One sentence: how the training went."""
        return str(self.store.get("verdict", ""))

    @property
    def plan(self) -> Plan:
        """The plan with every automatic choice resolved."""
        return Plan.from_json(self.store.get("plan", {}))

    @property
    def decisions(self) -> list[dict[str, str]]:
        """The automatic choices: field, value, reason."""
        return list(self.store.get("decisions", []))

    @property
    def findings(self) -> Findings:
        return Findings(self.store.findings())

    @property
    def diagnosis(self) -> "Diagnosis":
        """Causes in order, what was excluded and by which test, what stays unknown, what could not be judged."""
        from thalweg.doctor.diagnose import from_findings
        from thalweg.doctor.diagnosis import Diagnosis

        stored = self.store.get("diagnosis")
        if stored is None:  # it is still going on, or was stored before diagnoses were
            return from_findings(self.findings, self.verdict or "Not judged: the training has not ended.")
        return Diagnosis.from_json(stored)

    @property
    def history(self) -> dict[str, list[float]]:
        """One list per curve, an entry per epoch: "step", "train.loss", "validation.loss", metrics, "rate", seconds,
        and "regularizer.penalty" where the plan has one.

        `pandas.DataFrame(run.history)` is a table of it.
        """
        readings = self.store.readings(*EPOCH_READINGS, "validation.")
        names = [r.name for r in readings if r.name in EPOCH_READINGS or r.name.startswith("validation.")]
        curves = {name: [r.value for r in readings.of(name)] for name in dict.fromkeys(names)}
        return {"step": [float(r.step or 0) for r in readings.of("train.loss")], **curves}

    @property
    def metrics(self) -> dict[str, float]:
        """The measures on the validation rows at the weights that were kept."""
        prefix = "fit.validation_"
        return {r.name.removeprefix(prefix): r.value for r in self.store.readings(prefix)}

    @property
    def result(self) -> Result | None:
        """The measures on the sealed test rows; None until `experiment.evaluate(run)`."""
        stored = self.store.get("result")
        return None if stored is None else Result.from_json(stored)

    # ------------------------------------------------------------------ the trained network

    @property
    def network(self) -> "nn.Module":
        """The trained network; it takes what the preprocessing makes."""
        return self.model.network  # type: ignore[return-value]

    @property
    def model(self) -> "nn.Module":
        """Preprocessing and network as one module: raw inputs in; regression outputs in the target's unit."""
        if self._model is None:
            from thalweg.saved import load_model

            self._model = load_model(self, self._experiment, self._setup, self._network)
        return self._model

    def outputs(self, rows: "AnyRows") -> "tuple[Tensor, Tensor]":
        """The model's outputs and the targets of rows of an experiment's data, in evaluation mode."""
        from thalweg.saved import outputs_of

        return outputs_of(self.model, rows)

    def predict(
        self,
        x: Any,
        *,
        threshold: "float | Sequence[float] | None" = None,
        views: int = 1,
        augmentation: Any = None,
    ) -> Any:
        """Predictions for raw inputs, as an array.

        | task | array |
        |---|---|
        | binary, multiclass | `[N]` labels |
        | multilabel | `[N, T]` True where the row has the label; columns in the order of `run.classes` |
        | per_position | `[N, ...]` class indices |
        | regression | `[N]` or `[N, T]` values in the target's unit |

        Args:
            x: inputs in the form the experiment was given: tensor, array, DataFrame with the same columns.
            threshold: probability above which the positive class of a binary task, or a label, is called; of labels
                also one for each. By default the one that `evaluate` chose on the validation rows, or 0.5 before that.
            views: of each row that the answers are averaged over, itself among them (test-time augmentation).
            augmentation: parts of `tw.augmentations` that make the views; by default what the run was trained under.

        Raises:
            UsageError: for inputs of another form, or views that nothing makes.
        """
        from thalweg.predictions import predict

        return predict(self, x, threshold, self._viewed(x, views, augmentation))

    def predict_probabilities(self, x: Any, *, views: int = 1, augmentation: Any = None) -> "Tensor":
        """Probabilities for raw inputs: `[N, classes]` in the order of `run.classes`; `[N, T]` of labels, whose sum
        need not be 1; `[N, ..., classes]` per position. Views are those of `predict`.
        """
        from thalweg.predictions import probabilities

        return probabilities(self, x, self._viewed(x, views, augmentation))

    def _viewed(self, x: Any, views: int, parts: Any) -> "nn.Module | None":
        from thalweg.data.sample import head
        from thalweg.predictions import rows_of
        from thalweg.setup import few
        from thalweg.views import viewed

        return None if views == 1 else viewed(self, few(head(rows_of(self, x), 2), None)[0], views, parts)

    def predict_uncertainty(self, x: Any, *, samples: int = 50, seed: int = 0) -> "Uncertainty":
        """Predictions for raw inputs averaged over draws of the network's dropout, and how much these disagree (L31).

        `mean` and `std` are of the probabilities, shaped as `predict_probabilities` gives them, or of a regression's
        values in the target's unit. Of classes there are `entropy`, `expected_entropy` and `mutual_information` in nats
        too: the last is high on rows that are unlike the training's.

        Args:
            x: inputs in the form the experiment was given.
            samples: networks that are drawn, at least 2.
            seed: decides the draws.

        Raises:
            UsageError: for a network without dropout.
        """
        from thalweg.uncertainty import predict_uncertainty

        return predict_uncertainty(self, x, samples=samples, seed=seed)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels, in the order of the outputs; empty for a regression."""
        return tuple(self.store.get("task", {}).get("classes", ()))

    def export(self, path: str | Path) -> Path:
        """Writes the model, preprocessing included, as a torch.export program (`.pt2`) that runs without thalweg.

        Raises:
            ModelError: for a model that torch.export cannot trace.
        """
        from thalweg.saved import export

        return export(self, Path(path))

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the report, one HTML file that needs nothing else; by default into the run's folder."""
        from thalweg.show.report import write_report

        target = self.directory / "report.html" if path is None else Path(path)
        write_report(self.directory, target)
        return target

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {self.status}: {self.verdict or 'no verdict yet'})"

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import run_html

        return run_html(self.directory)

    def attach(self, experiment: "Experiment") -> None:
        """Gives a run that was opened without code the experiment it belongs to."""
        if self._experiment is None:
            self._experiment = experiment
