"""Experiment: one model, its data with a sealed test set, its loss, and the verbs of the main job."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from thalweg.build import ModelSource, name_of
from thalweg.data.prepare import prepare
from thalweg.doctor.check import Check
from thalweg.errors import UsageError
from thalweg.evaluate.measures import measure
from thalweg.evaluate.result import Result
from thalweg.evaluate.threshold import Objective, choose_threshold
from thalweg.events import Listener
from thalweg.names import new_run_folder
from thalweg.parts.metrics import SHOWN, Kind, metric
from thalweg.plan import Plan
from thalweg.recipe import Decision, are_even
from thalweg.run import Run
from thalweg.saved import scores_of
from thalweg.session import Session, run_check
from thalweg.setup import Setup, choose_device, set_up
from thalweg.store import FILE, Store
from thalweg.train.clone import clone
from thalweg.train.losses import resolve_loss


class Experiment:
    """One model, its data with a sealed test set, its loss.

    Args:
        model: an `nn.Module`, which is copied and never trained in place; or a function that builds one, with an
            optional argument `spec` (`spec.inputs`: shapes of a row after preprocessing, `spec.outputs`).
        train: `(x, y)` of tensors or arrays; a DataFrame or the path of a CSV file, with `target`; a map-style Dataset.
        validation: rows to tune on: data like `train`, or a share of the rows; by default 15 % are split off.
        test: rows to measure on once: data like `train`, a share, or False for none; by default 20 % are split off.
            They are sealed at once: only `evaluate` opens them, and the openings are counted.
        loss: a name ("cross_entropy", "binary_cross_entropy" on logits, "nll", "mse", "mae", "huber"), one of torch's
            losses, or a function `(output, target) -> scalar`.
        metrics: names ("accuracy", "balanced_accuracy", "f1", "auc", "average_precision", "r2", "rmse", ...) or
            functions `(output, target) -> float` (more is better), shown for the validation rows each epoch.
        task: "binary", "multiclass" or "regression", where loss and target leave it open.
        target: name of the target column of a table; for a file without a line of names its place, -1 is the last.
        groups: name of a column, or one value per row: rows of a group stay together in a split.
        time: name of a column, or one value per row: validation and test are the latest rows.
        name: begins the names of the runs; by default two random words.
        directory: folder of the runs and the seal's log.
        seed: decides the split and, unless a plan has its own, initialization, order and noise.
        device: "auto" takes an accelerator where there is one.

    Raises:
        DataError, UsageError, ModelError: for data, arguments or a model that cannot be used; each says what to do.

    >>> import tempfile, torch
    >>> x, y = torch.randn(400, 4), torch.arange(400) % 2
    >>> experiment = Experiment(nn.Linear(4, 2), train=(x, y), loss="cross_entropy", directory=tempfile.mkdtemp())
    >>> experiment.task.kind, len(experiment.data.test)
    ('binary', 80)
    """

    def __init__(
        self,
        model: ModelSource,
        *,
        train: Any,
        validation: Any = None,
        test: Any = None,
        loss: str | Callable[[Any, Tensor], Tensor],
        metrics: Sequence[str | Callable[[Any, Tensor], float]] | None = None,
        task: str | None = None,
        target: str | int | None = None,
        groups: Any = None,
        time: Any = None,
        name: str | None = None,
        directory: str | Path = "runs",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.loss, self.loss_name = resolve_loss(loss)
        self.directory, self.seed, self.name = Path(directory), seed, name
        self.device = choose_device(device)
        self.data = prepare(
            train,
            validation=validation,
            test=test,
            loss_name=self.loss_name,
            task=task,
            target=target,
            groups=groups,
            time=time,
            seed=seed,
            directory=self.directory,
        )
        self.task = self.data.task
        self.metrics = default_metrics(self.task.kind) if metrics is None else tuple(metrics)
        # A module is copied now, so that what happens to the user's own afterwards changes no run.
        self.model: ModelSource = clone(model) if isinstance(model, nn.Module) else model
        self.source: dict[str, str] = {}  # file, name and hash, where the command line loaded the experiment

    def check(self, plan: Plan | None = None) -> Check:
        """Examines network, data, loss and start, on copies; returns the findings. Nothing of yours changes."""
        setup = self._set_up(plan or Plan())
        return run_check(setup, self.data, self.loss, self.loss_name)

    def train(self, plan: Plan | None = None, *, listeners: Sequence[Listener] | None = None) -> Run:
        """Trains by `plan` (by default the automatic recipe) and returns the run, also after Ctrl-C.

        Args:
            plan: what it leaves at `"auto"` is decided first, and each choice is shown with its reason.
            listeners: functions of one event (`thalweg.events`); by default the live terminal. `()` is silent.
        """
        setup = self._set_up(plan or Plan())
        folder = new_run_folder(self.directory, self.name)
        with default_terminal(listeners) as told:
            session = self._session(folder, setup, told)
            session.begin(self._facts())
            session.train()
        return Run(folder, experiment=self, setup=setup)

    def resume(self, run: Run | str, *, epochs: int | None = None, listeners: Sequence[Listener] | None = None) -> Run:
        """Goes on with a run from its last checkpoint, bit-identical; `epochs` extends it.

        Raises:
            UsageError: when the run is complete and `epochs` asks for no more, or belongs to other data.
        """
        folder = self.open(run).directory if isinstance(run, str) else run.directory
        store = Store(folder / FILE)
        plan = Plan.from_json(store.get("plan") or {})
        if epochs is not None:
            plan = plan.replace(epochs=epochs)
        if store.get("status") == "completed" and store.get("step", 0) >= store.get("num_steps", 0) and epochs is None:
            raise UsageError(f"The run {folder.name} is complete; resume(run, epochs=...) with more epochs extends it.")
        self._require_same_rows(store, folder.name)
        setup = self._set_up(plan)
        with default_terminal(listeners) as told:
            session = self._session(folder, setup, told)
            session.decisions = [Decision(**d) for d in store.get("decisions", [])]
            store.put({"plan": plan.to_json()})
            session.train(resumed=True)
        return Run(folder, experiment=self, setup=setup)

    def evaluate(self, run: Run) -> Result:
        """Opens the seal and measures the run on the test rows, with 95 % intervals; the opening is counted.

        Raises:
            UsageError: when the experiment has no test rows.
        """
        seal = self.data.test
        if seal is None:
            raise UsageError("This experiment has no test rows (test=False); run.metrics has the validation measures.")
        self._require_same_rows(run.store, run.name)
        run.attach(self)
        threshold = None
        if self.task.kind == "binary":
            output, target = run.outputs(self.data.validation)
            # The best F1 of a weak network on even classes is reached by calling every row positive.
            objective: Objective = "balanced_accuracy" if are_even(target) else "f1"
            scores = scores_of(self.loss_name, output)
            threshold = choose_threshold(output, target, objective=objective, scores=scores)
        rows = seal.open(run.name)
        output, target = run.outputs(rows)
        result = measure(
            output,
            target,
            kind=self.task.kind,
            scores=scores_of(self.loss_name, output),
            threshold=threshold,
            classes=tuple(map(str, self.task.classes)),
        )
        opened = {"digest": seal.digest, "openings": seal.count(), "rows": len(seal)}
        run.store.put({"result": result.to_json(), "seal": opened})
        return result

    def open(self, name: str) -> Run:
        """A run of this experiment's directory, with its weights at hand."""
        return Run.open(self.directory / name, experiment=self)

    # ------------------------------------------------------------------ parts

    def _set_up(self, plan: Plan) -> Setup:
        known = {*(metric(name, self.task.kind).name for name in self.metrics), "loss", "auto"}
        if plan.selection not in known:
            raise UsageError(
                f"Plan field 'selection' got {plan.selection!r}; this experiment measures {', '.join(sorted(known))}. "
                "Name the metric in Experiment(metrics=[...]) too."
            )
        return set_up(
            self.model,
            self.data,
            plan,
            loss=self.loss,
            loss_name=self.loss_name,
            metrics=self.metrics,
            device=self.device,
            seed=self.seed,
        )

    def _session(self, folder: Path, setup: Setup, listeners: Sequence[Listener]) -> Session:
        # A builder's function says more than "Sequential", and less than a class of one's own.
        name = name_of(self.model if isinstance(setup.network, nn.Sequential) else setup.network)
        return Session(folder, self.data, setup, self.loss, self.loss_name, name, listeners)

    def _require_same_rows(self, store: Store, name: str) -> None:
        if store.get("digest") != self._digest():
            raise UsageError(
                f"The run {name} was trained on other rows than this experiment holds; use it with the data, the split "
                "and the seed it was started with."
            )

    def _facts(self) -> dict[str, Any]:
        seal = self.data.test
        sealed = {} if seal is None else {"digest": seal.digest, "openings": seal.count(), "rows": len(seal)}
        return {"digest": self._digest(), "seal": sealed, "source": self.source}

    def _digest(self) -> str:
        """Tells one set of training and validation rows from another: their numbers and targets."""
        sha = hashlib.sha256()
        for rows in (self.data.train, self.data.validation):
            sha.update(rows.ids.numpy().tobytes())
            sha.update(rows.target.contiguous().numpy().tobytes())
        return sha.hexdigest()


def default_metrics(kind: Kind) -> tuple[str, ...]:
    """What the epoch table shows where the user named nothing; a binary task's ranking is measured beside it."""
    return (SHOWN[kind], "auc") if kind == "binary" else (SHOWN[kind],)


@contextmanager
def default_terminal(listeners: Sequence[Listener] | None) -> Iterator[Sequence[Listener]]:
    """The given listeners, or for None the live terminal, whose bar is gone afterwards whatever happens."""
    if listeners is not None:
        yield listeners
        return
    from thalweg.show.terminal import Terminal

    terminal = Terminal()
    try:
        yield (terminal,)
    finally:
        terminal.close()
