"""Experiment: one model, its data with a sealed test set, its loss, and the verbs of the main job."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from thalweg.build import ModelSource, name_of, takes_activation, uncompiled
from thalweg.data.prepare import prepare
from thalweg.data.resplit import DRAWN, resplit, why_not
from thalweg.data.rows import Collate, StepFunction
from thalweg.data.tables import TargetName
from thalweg.data.weights import ClassWeights
from thalweg.doctor.check import Check
from thalweg.doctor.diagnosis import Diagnosis
from thalweg.doctor.ignore import Wishes, Words, wishes
from thalweg.evaluate.comparison import Comparison
from thalweg.evaluate.result import Result
from thalweg.events import Listener
from thalweg.examination import run_check
from thalweg.lock import locked
from thalweg.names import new_run_folder
from thalweg.parts.metrics import SHOWN
from thalweg.plan import Plan
from thalweg.resume import plan_to_resume, require_same_changes, require_same_rows
from thalweg.run import Run
from thalweg.session import Session
from thalweg.setup import Setup, choose_device, set_up, task_of_step
from thalweg.show.live import default_terminal
from thalweg.store import FILE, Store
from thalweg.train.kept import keep
from thalweg.train.losses import ColumnLoss, find_loss, weighted_loss

if TYPE_CHECKING:
    from thalweg.fix.result import Fix
    from thalweg.preview import Preview


class Experiment:
    """One model, its data with a sealed test set, its loss.

    Args:
        model: an `nn.Module`, which is copied and never trained in place; or a function that builds one, with an
            optional argument `spec` (`spec.inputs`: shapes of a row after preprocessing, `spec.outputs`).
        train: `(x, y)` of tensors or arrays; a DataFrame (pandas, polars) or the path of a CSV or Parquet file, with
            `target`; the path of an `.npz`, of a folder of images with a subfolder per class, of MNIST's files;
            `("x.npy", "y.npy")`, which stay on disk where they are large, as a `numpy.memmap` does; a map-style
            Dataset; a DataLoader, iterated as it is, or an IterableDataset: then give `validation` and `test` too.
        validation: rows to tune on: data like `train`, or a share of the rows; by default 15 % are split off.
        test: rows to measure on once: data like `train`, a share, or False for none; by default 20 % are split off.
            They are sealed at once: only `evaluate` opens them, and the openings are counted.
        loss: a name ("cross_entropy", "binary_cross_entropy" on logits, "nll", "mse", "mae", "huber"), one of torch's
            losses, or a function `(output, target) -> scalar`.
        step: `(model, batch) -> loss` or `(loss, output, target)`, for models that compute their own loss, several
            losses, batches of any form; instead of `loss`. `batch` is what the data give: `(inputs, target)` for
            arrays, tables and pairs, else the collated items or the DataLoader's batch, on the device. With output and
            target the usual metrics are measured.
        collate: a list of a Dataset's items -> `(inputs, target)`, where items differ in length; each tensor has a row
            per item in dimension 0. With a `step` a batch of any form.
        metrics: names ("accuracy", "balanced_accuracy", "f1", "auc", "micro_f1", "perplexity", "r2", "rmse", ...) or
            functions `(output, target) -> float` (more is better), shown for the validation rows each epoch.
        task: "binary", "multiclass", "multilabel", "per_position" or "regression", where loss and target leave it open.
        target: name of the target column of a table, or a list of several; for a file without a line of names its
            place, -1 is the last.
        groups: name of a column, or one value per row: rows of a group stay together in a split.
        time: name of a column, or one value per row: validation and test are the latest rows.
        split: "auto" spreads each class over the parts in proportion, where there are classes; "random" does not.
        class_weights: how much each class counts in the loss: "balanced" (N / (K n_k), as scikit-learn), one number per
            class, or label -> number; of a multi-label task how much each label's positive entries count. Measures are
            never weighted.
        sample_weights: how much each row counts in the loss: name of a column, or one number from 0 per row.
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
        loss: str | Callable[[Any, Tensor], Tensor] | None = None,
        step: StepFunction | None = None,
        collate: Collate | None = None,
        metrics: Sequence[str | Callable[[Any, Tensor], float]] | None = None,
        task: str | None = None,
        target: TargetName = None,
        groups: Any = None,
        time: Any = None,
        split: str = "auto",
        class_weights: ClassWeights | None = None,
        sample_weights: Any = None,
        name: str | None = None,
        directory: str | Path = "runs",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.loss, self.loss_name = find_loss(
            loss, step, weighted=class_weights is not None or sample_weights is not None
        )
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
            split=split,
            class_weights=class_weights,
            sample_weights=sample_weights,
            seed=seed,
            directory=self.directory,
            collate=collate,
            step=step,
        )
        if step is not None:
            own = task_of_step(model, self.data, task=task, device=self.device, seed=seed)
            self.data = replace(self.data, task=own)
        self.task = self.data.task
        if self.data.label_weights is not None or self.data.train.weights is not None:
            self.loss = weighted_loss(self.loss, self.loss_name, self.data.label_weights)
        if self.task.column and self.task.encoding != "index" and not isinstance(loss, str):
            self.loss = ColumnLoss(self.loss)
        self.metrics = SHOWN[self.task.kind] if metrics is None else tuple(metrics)
        # A module is copied now, so that what happens to the user's own afterwards changes no run.
        self.model: ModelSource = keep(uncompiled(model)) if isinstance(model, nn.Module) else model
        self.changes: tuple[str, ...] = ()  # of network and loss, that a fix has made
        self.source: dict[str, str] = {}  # file, name and hash, where the command line loaded the experiment

    def check(self, plan: Plan | None = None, *, select: Words = (), ignore: Words = ()) -> Check:
        """Examines network, data, loss and start, on copies; returns the findings. Nothing of yours changes.

        Args:
            plan: of the training to come.
            select: codes of rules, or the letters of families: `"ACT,LR01"` or a list; all others are not judged.
            ignore: findings to leave out, with the reason: `"ACT03@block*: wide on purpose"`, or a list of such.
        """
        asked = wishes(select, ignore)
        setup = self._set_up(plan or Plan())
        return run_check(setup, self.data, self.loss, self.loss_name).wished(asked)

    def train(
        self,
        plan: Plan | None = None,
        *,
        listeners: Sequence[Listener] | None = None,
        select: Words = (),
        ignore: Words = (),
    ) -> Run:
        """Trains by `plan` (by default the automatic recipe) and returns the run, also after Ctrl-C.

        Args:
            plan: what it leaves at `"auto"` is decided first, and each choice is shown with its reason.
            listeners: functions of one event (`thalweg.events`); by default the live terminal, in a notebook
                its live output. `()` is silent.
            select: as for `check`.
            ignore: as for `check`; the run remembers both.
        """
        asked, wished = plan or Plan(), wishes(select, ignore)
        setup = self._set_up(asked)
        folder = new_run_folder(self.directory, self.name)
        with locked(folder), default_terminal(listeners) as told:
            session = self._session(folder, setup, told, wished)
            session.start(self._facts() | {"user_plan": asked.to_json(), "wishes": wished.to_json()})
        return Run(folder, experiment=self, setup=setup)

    def compare(
        self,
        *plans: Plan | Run | Mapping[str, Sequence[Any]],
        plan: Plan | None = None,
        seeds: int | Sequence[int] | str = 5,
        splits: str | bool = "auto",
        tuned: bool = False,
        budget: float | str | None = None,
        measure: str | None = None,
        listeners: Sequence[Listener] | None = None,
        **values: Sequence[Any],
    ) -> Comparison:
        """Trains under several plans, equally long and on the same seeds, and says which differences are real (L07).

        `compare(activation=["relu", "gelu", None])` varies a field of the plan, `compare({"optimizer.lr": [.01, .1]})`
        one of a part, `compare(plan_a, plan_b)` takes whole plans, and of runs theirs. Each training is a run, all in
        one folder. Ctrl-C ends with what is there. Test rows are not touched.

        Args:
            plans: whole plans, runs, or one field's dotted name with its values.
            plan: what the arms share; by default the automatic recipe. What it leaves open is decided once: the
                epochs for all arms, everything else in the first training of each arm, its rate included.
            seeds: how many, from the plan's own or the experiment's on; or which; or "auto": up to 20, until every
                difference to the best is decided or cannot be, by a test that holds at each look.
            splits: "auto" draws the validation rows anew under each seed but the experiment's own, alike for all arms,
                where they were split off from `train`, not by time; False never. Test rows stay as they are.
            tuned: tunes each arm's rate before, by as many trainings for each, under a seed that is not compared.
            budget: seconds, or "10min": no seed is begun that would not fit. By default it takes what it takes.
            measure: on the validation rows; by default the plans' `selection`.
            listeners: as for `train`; by default a line per training is printed.
            values: one field's name with its values.

        Raises:
            UsageError: for fewer than two arms, several fields, values that a plan refuses, plans or runs that cannot
                be paired, and a budget too short for one seed; finished trainings are kept.
            TrainingError: where the measure is undefined for all.
        """
        from thalweg.compare.arms import arms_of
        from thalweg.compare.pairing import require_same_data
        from thalweg.compare.verb import Terms, compare

        require_same_data(self, [run for run in plans if isinstance(run, Run)])
        arms = arms_of(plans, plan, values, tuned=tuned)
        return compare(self, arms, Terms(seeds, splits, tuned, budget, measure), listeners=listeners)

    def resume(self, run: Run | str, *, epochs: int | None = None, listeners: Sequence[Listener] | None = None) -> Run:
        """Goes on with a run from its last checkpoint, bit-identical; one killed before its first begins again.

        Args:
            run: the run, its name, or the path of its folder, which may have been copied from elsewhere.
            epochs: extends the run to so many epochs, also one that is complete or has stopped early; the schedule is
                then that of the longer run.
            listeners: as for `train`.

        Raises:
            UsageError: when the run is complete and `epochs` asks for no more, or belongs to other data.
            StoreError: when another process trains the run, or what was saved is damaged.
        """
        folder = self.directory / run if isinstance(run, str) else run.directory
        store = Store(folder / FILE)
        with locked(folder), default_terminal(listeners) as told:
            plan = plan_to_resume(store, folder.name, epochs)
            own = self._with_rows_of(store)
            require_same_rows(store, own.data.digest(), folder.name)
            setup = own._set_up(plan)
            session = own._session(folder, setup, told, wishes(**store.get("wishes", {})))
            if store.get("plan") is None:  # stopped during the check or the race
                session.start(own._facts() | {"user_plan": plan.to_json()})
            else:
                session.resume(epochs)
        return Run(folder, experiment=self, setup=setup)

    def diagnose(
        self,
        run: Run | str,
        *,
        seconds: float | None = None,
        select: Words | None = None,
        ignore: Words | None = None,
    ) -> Diagnosis:
        """Examines a run again, on clones of what it stored: one that had no probes, was interrupted, or needs more.

        What is missing of check and race is made up for, the experiments after the training are repeated; readings,
        findings and diagnosis are stored. The run's weights stay as they are.

        Args:
            run: the run, its name, or the path of its folder.
            seconds: what the experiments after the training may take; by default what the training allows them.
            select: as for `check`; by default as the run was trained with.
            ignore: likewise.

        Raises:
            UsageError: when the run was trained on other data, or has no weights yet.
            StoreError: when another process trains it, or what was saved is damaged.
        """
        from thalweg.rediagnosis import rediagnose

        folder = self.directory / run if isinstance(run, str) else run.directory
        own = self._with_rows_of(Store(folder / FILE))
        return rediagnose(own, folder, seconds=seconds, select=select, ignore=ignore)

    def fix(
        self,
        run: Run | str,
        code: str | Sequence[str] = (),
        *,
        seconds: float | None = None,
        listeners: Callable[[str], None] | None = None,
    ) -> "Fix":
        """Tries the remedies of a run on paired trainings and says which beat the training without them.

        Each change is scanned on the run's own seed and tried on at least four fresh ones: same start, batches and
        noise with and without it; then the next one on top of it. Of the run only the findings change: those whose
        remedy was accepted carry `verified`. `fix.train()` trains by what was accepted.

        Args:
            run: the run, its name, or the path of its folder. One without probes is diagnosed first.
            code: of the finding to mend, or several; by default all.
            seconds: what the trials may take; by default three times what the training took, at least 30 s.
            listeners: is told each decision as a line of text.

        Raises:
            UsageError: for a run that is not trained, was trained on other data, or has no finding of this code.
        """
        from thalweg.fix.mend import mend

        folder = self.directory / run if isinstance(run, str) else run.directory
        codes = (code,) if isinstance(code, str) else tuple(code)
        own = self._with_rows_of(Store(folder / FILE))
        return mend(own, folder, codes=codes, seconds=seconds, tell=listeners or (lambda _line: None))

    def evaluate(
        self, run: Run, *, threshold: str | float = "auto", views: int = 1, augmentation: Any = None
    ) -> Result:
        """Opens the seal and measures the run on the test rows, with 95 % intervals; the opening is counted.

        Metrics of the experiment that are not among the task's measures are measured too, but for those of a class per
        position. Rows that were split by `groups` are resampled by groups, and so are test rows of a table given with
        that column.

        Args:
            run: the run whose kept weights are measured.
            threshold: how a binary task's cut is chosen on the validation rows: "f1", "f2", "balanced_accuracy", "mcc",
                "cost_10", "recall_at_precision_0.9", ... (`thalweg.evaluate.threshold`), or a probability. "auto" takes
                F1, of even classes balanced accuracy; of labels one cut for all by micro F1.
            views: of each row that the answers are averaged over, itself among them; `result.gain` has what it brings.
            augmentation: what makes the views; by default what the run was trained under.

        Raises:
            UsageError: when the experiment has no test rows, or for a threshold that does not fit the task.
            StoreError: when the run is being trained, or cannot be written; the seal then stays closed.
        """
        from thalweg.opened import evaluate

        return evaluate(self, run, threshold, views, augmentation)

    def preview(self, plan: Plan, *, images: int = 8, epoch: int = 0) -> "Preview":
        """A picture of training images under the plan's augmentation, part by part and together: `.save("a.html")`.

        Args:
            plan: with the augmentation to show.
            images: how many.
            epoch: whose draws are shown.
        """
        from thalweg.preview import preview

        setup = self._set_up(plan)
        return preview(self.data, setup.augment, images=images, epoch=epoch, seed=int(setup.plan.seed))

    def open(self, name: str) -> Run:
        """A run of this experiment's directory, with its weights at hand."""
        return Run.open(self.directory / name, experiment=self)

    # ------------------------------------------------------------------ parts

    def _set_up(self, plan: Plan) -> Setup:
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

    def _session(self, folder: Path, setup: Setup, listeners: Sequence[Listener], wished: Wishes) -> Session:
        # A builder's function says more than "Sequential", and less than a class of one's own.
        name = name_of(self.model if isinstance(setup.network, nn.Sequential) else setup.network)
        return Session(folder, self.data, setup, self.loss, self.loss_name, name, listeners, wished, self._set_up)

    def _drawn(self, seed: int) -> "Experiment":
        """The same experiment with other training and validation rows; the test rows stay sealed, and the same."""
        other = copy.copy(self)
        other.data = resplit(self.data, seed=seed)
        return other

    def _with_rows_of(self, store: Store) -> "Experiment":
        """The experiment with the rows that a run was trained on, where a comparison drew them anew for it."""
        require_same_changes(store, self.changes)
        seed = (store.get("split") or {}).get(DRAWN)
        return self if seed is None or why_not(self.data) else self._drawn(int(seed))

    def _facts(self) -> dict[str, Any]:
        return {
            "digest": self.data.digest(),
            "seal": {} if self.data.test is None else self.data.test.facts(),
            "source": self.source,
            "builder_takes_activation": takes_activation(self.model),
            "changes": list(self.changes),
        }
