"""One training from its plan to its verdict: decide, check, probe, train, diagnose; everything stored as it happens."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import thalweg
from thalweg.build import describe
from thalweg.data.prepare import Prepared
from thalweg.data.sample import head, spread
from thalweg.data.workers import deaths_named
from thalweg.doctor.after import kept_weights, rise
from thalweg.doctor.along import Along
from thalweg.doctor.check import Check
from thalweg.doctor.diagnose import diagnose, judge_rate
from thalweg.doctor.ignore import Wishes
from thalweg.errors import StoreError, TrainingError
from thalweg.events import Decided, Event, FindingRaised, Listener, RunEnded, RunStarted, StageEnded, guarded
from thalweg.examination import case_of, examine_training, num_steps_of, plan_readings, run_check
from thalweg.findings import Finding
from thalweg.measure.graph import layers
from thalweg.mending import mend_start, taken_up
from thalweg.parts.optimizers import Optimizer
from thalweg.plan import Plan
from thalweg.preview import shown
from thalweg.probes.budget import budget_of
from thalweg.probes.rate_race import Race, race
from thalweg.readings import Reading
from thalweg.recipe import Decision
from thalweg.resume import decisions_of, differences, require_more
from thalweg.saved import CHECKPOINTS, save_preparation
from thalweg.setup import Setup
from thalweg.store import FILE, Store, Writer
from thalweg.train.checkpoint import read_manifest
from thalweg.train.clone import clone, set_tensors, tensors
from thalweg.train.loop import Job, Training
from thalweg.train.losses import LossFunction
from thalweg.train.memory import out_of_memory_named
from thalweg.train.smoothing import smoothed_loss
from thalweg.train.step import clipping_of

FIT_ROWS = (1024, 2000)  # training rows to measure the kept weights on; a unit is called dead on a thousand at least
FIT_SHARE = 0.05  # of all rows trained on, between these limits: about 2 % of the training's time
UNTRAINED = "Not trained: it was interrupted before the first step; resumed, it begins again."


@dataclass
class Session:
    """One training under way."""

    folder: Path
    prepared: Prepared
    setup: Setup
    loss: LossFunction
    loss_name: str | None
    model_name: str
    listeners: Sequence[Listener]
    wishes: Wishes = field(default_factory=Wishes)
    set_up: Callable[[Plan], Setup] | None = None  # for remedies that need the training set up anew

    def __post_init__(self) -> None:
        self.listeners = [guarded(listener) for listener in self.listeners]
        self.store = Store(self.folder / FILE, create=True)
        self.plan, self.decisions = self.setup.plan, list(self.setup.decisions)
        self.started = time.monotonic()
        self.check: Check | None = None
        # What experiments after the training start from.
        self.untrained: nn.Module | None = clone(self.setup.network) if self.plan.probes else None
        self.probed = 0.0  # seconds of this thread that check and race took: a busy machine changes no verdict
        self.along: Along | None = None

    # ------------------------------------------------------------------ verbs

    def start(self, facts: dict[str, Any]) -> str:
        """A new training from its check to its end, or to Ctrl-C, which may come before the first step."""
        try:
            self.begin(facts)
        except KeyboardInterrupt:
            self.store.put({"verdict": UNTRAINED})
            self.store.close()
            seconds = time.monotonic() - self.started
            self._emit(RunEnded(self.folder.name, "interrupted", UNTRAINED, None, seconds))
            return "interrupted"
        return self.train()

    def begin(self, facts: dict[str, Any]) -> None:
        """Writes what is known before the first step, checks, and finds the rate."""
        with self._status_kept(), out_of_memory_named(self.plan):
            self._begin(facts)

    def _begin(self, facts: dict[str, Any]) -> None:
        # First of all what a run that is killed in the next moment needs to begin again: the user's plan.
        created = self.store.get("created", datetime.now(UTC).isoformat(timespec="seconds"))
        self.store.put(facts | {"name": self.folder.name, "created": created, "status": "running"})
        self.store.forget_after(0)
        self.store.put(self._facts())
        save_preparation(self.folder, self.setup.preprocessing, self.setup.target_scaling)
        self._announce()
        for decision in self.decisions:
            self._emit(Decided(decision.field, decision.value, decision.reason))
        if self.plan.probes:
            position = self.store.last_reading()
            self._check()
            if self.plan.fix:
                mend_start(self, position)
        assert self.plan.optimizer != "auto"
        if self.plan.optimizer.lr == "auto" or self.plan.probes:
            self._race()
        decisions = [asdict(d) for d in self.decisions]
        self.store.put({"plan": self.plan.to_json(), "decisions": decisions, "begun": self.store.last_reading()})

    def train(self) -> str:
        """Trains to the end or to Ctrl-C; returns the status."""
        return self._train(self._training())

    def resume(self, epochs: int | None = None) -> str:
        """Goes on from the last checkpoint, or from the first step where there is none; then as `train`."""
        self._announce()
        started = time.monotonic()
        training = self._training()
        saved = self.folder / CHECKPOINTS / "last.json"
        step, per_epoch = int(read_manifest(saved)["facts"]["step"]) if saved.is_file() else 0, training.steps_per_epoch
        require_more(
            self.folder.name, step=step, num_steps=training.num_steps, steps_per_epoch=per_epoch, epochs=epochs
        )
        if saved.is_file():
            training.restore()
        else:
            training.job.writer.rewind(self.store.get("begun", 0))
        differing = differences(self.store.get("environment", {}), self._environment())
        facts = [f"from step {step:,} of {training.num_steps:,}, epoch {step // per_epoch + 1}"]
        if differing:
            facts.append("not bit-identical to an unbroken run: " + ", ".join(differing))
        decisions = decisions_of(self.store, self.plan)
        resumes = [*self.store.get("resumes", []), {"step": step, "differences": differing}]
        self.store.put({"plan": self.plan.to_json(), "decisions": decisions, "resumes": resumes})
        self._emit(StageEnded("resume", 0, tuple(facts), (), time.monotonic() - started))
        return self._train(training)

    def _train(self, training: Training) -> str:
        self.store.put({"status": "running", "num_steps": training.num_steps, "num_epochs": training.num_epochs})
        with self._status_kept(), deaths_named(), closing(training.job.train), closing(training.job.validation):
            if chosen := training.compile():
                self._decide("compile", *chosen)
            status = training.run()
            while status == "failed" and (again := taken_up(self, training)) is not None:
                training, status = again, again.run()
            last = clone(training.held_network()) if self.untrained is not None else None
            self._keep(training)
            if self.untrained is not None and last is not None and status != "interrupted":
                started = time.monotonic()
                case = case_of(
                    self.untrained,
                    last,
                    training,
                    self.setup,
                    self.prepared,
                    plan=self.plan,
                    seconds=max(budget_of(training.seconds) - self.probed, 0.0),
                )
                self.store.add_readings(examine_training(case, self.store.readings()))
                self.store.put({"diagnosis_seconds": time.monotonic() - started})
        self._end(status, training.best.epoch or None, stopped_early=training.stopped_early)
        return status

    # ------------------------------------------------------------------ parts

    def _announce(self) -> None:
        self._emit(
            RunStarted(
                self.folder.name,
                describe(self.setup.network, self.model_name),
                self.prepared.description,
                str(self.setup.device),
                str(self.folder),
            )
        )

    @contextmanager
    def _status_kept(self) -> Iterator[None]:
        """A run that ends by an exception does not stay "running".

        A disk that refuses a checkpoint or the store ends the training too: one that goes on for hours without saving
        would lose them. Everything up to the last checkpoint is kept, and the run can be resumed.
        """
        try:
            yield
        except BaseException as error:
            resumable = isinstance(error, KeyboardInterrupt | StoreError)
            with suppress(StoreError):  # where the disk takes no status either, the free lock tells
                self.store.put({"status": "interrupted" if resumable else "failed"})
            if isinstance(error, StoreError):
                error.add_note(f"The run {self.folder.name} is interrupted; `thalweg resume {self.folder}` goes on.")
            raise

    def _emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def _facts(self) -> dict[str, Any]:
        network = self.setup.network
        sample = head(self.prepared.train, 2)
        inputs = next(iter(self.setup.held_out(sample, 2).epoch(0)))[0]
        return {
            "model": {
                "name": self.model_name,
                "num_parameters": sum(p.numel() for p in network.parameters()),
                "num_trainable": sum(p.numel() for p in network.parameters() if p.requires_grad),
            },
            "layers": [layer.to_json() for layer in layers(network, inputs)],
            "data": {"description": self.prepared.description, "columns": list(self.prepared.columns)},
            "split": self.prepared.split,
            "inputs": self.prepared.spec.to_json(),
            "task": self.prepared.task.to_json(),
            "class_dim": self.setup.class_dim,
            "loss": self.loss_name,
            "augmentation": shown(self.prepared, self.setup.augment, seed=int(self.plan.seed)),
            "environment": self._environment(),
        }

    def _environment(self) -> dict[str, Any]:
        device = self.setup.device
        processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        return {
            "thalweg": thalweg.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": str(device),
            "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
        }

    def _check(self) -> None:
        began = time.thread_time()
        found = run_check(self.setup, self.prepared, self.loss, self.loss_name).wished(self.wishes)
        self.check = found
        self.probed += time.thread_time() - began
        self._stage("check", len(found.passed), found.facts, found.findings, found.seconds, list(found.readings))
        self.store.put({"check": stage_facts(found.passed, found.not_judged, found.facts, found.seconds)})

    def _race(self) -> None:
        """Races constant rates: to choose the rate, or to judge the plan's own."""
        plan = self.plan
        assert plan.optimizer != "auto"
        started, began = time.monotonic(), time.thread_time()
        try:
            raced = self._raced(plan.optimizer)
        except TrainingError as error:
            if plan.optimizer.lr == "auto":
                raise
            fact, seconds = f"no race: {error}", time.monotonic() - started
            self.probed += time.thread_time() - began
            self._stage("probe", 0, (fact,), (), seconds, plan_readings(self.plan, len(self.prepared.train)))
            self.store.put({"probe": stage_facts((), (), (fact,), seconds)})
            return
        if plan.optimizer.lr == "auto":
            reason = f"the best of a race of constant rates; {raced.low:.2g} to {raced.high:.2g} do as well"
            decision = Decision("optimizer.lr", f"{raced.rate:.3g}", reason)
            self.plan = plan.replace(**{"optimizer.lr": raced.rate})
            self.decisions.append(decision)
            self._emit(Decided(decision.field, decision.value, decision.reason))
        readings = [*raced.readings, *plan_readings(self.plan, len(self.prepared.train))]
        if self.plan == plan:  # the rate was given: the race is a probe of it
            self.probed += time.thread_time() - began
        findings, passed = judge_rate([*(self.check.readings if self.check else []), *readings], self.wishes)
        self._stage("probe", len(passed), (raced.text,), findings, raced.seconds, readings)
        self.store.put({"probe": stage_facts(passed, (), (raced.text,), raced.seconds)})

    def _raced(self, optimizer: Optimizer) -> Race:
        plan, setup = self.plan, self.setup
        assert isinstance(plan.batch_size, int)
        assert isinstance(plan.seed, int)
        return race(
            setup.network,
            self.loss,
            optimizer,
            self.prepared.train,
            batch_size=plan.batch_size,
            accumulate=plan.accumulate,
            clipping=clipping_of(plan),
            regularizer=plan.regularizer,
            decay_all=plan.decay_all,
            trained_loss=smoothed_loss(self.loss, plan.label_smoothing),
            seed=plan.seed,
            device=setup.device,
            transform=setup.transform,
            target_transform=setup.target_scaling,
            augment=setup.augment,
            training_steps=None if optimizer.lr == "auto" else num_steps_of(plan, len(self.prepared.train)),
        )

    def _decide(self, field: str, value: str, reason: str) -> None:
        """An automatic choice that was made after the others: into the plan, on record, told."""
        self.plan = self.plan.replace(**{field: value})
        self.decisions.append(Decision(field, value, reason))
        self.store.put({"plan": self.plan.to_json(), "decisions": [asdict(d) for d in self.decisions]})
        self._emit(Decided(field, value, reason))

    def _stage(
        self,
        stage: str,
        passed: int,
        facts: Sequence[str],
        findings: Sequence[Finding],
        seconds: float,
        readings: list[Reading],
    ) -> None:
        self.store.add_readings(readings)
        self._emit(StageEnded(stage, passed, tuple(facts), tuple(findings), seconds))

    def _training(self) -> Training:
        plan, setup = self.plan, self.setup
        assert isinstance(plan.batch_size, int)
        assert isinstance(plan.seed, int)
        assert isinstance(plan.workers, int)
        writer = Writer(self.store)
        self.along = Along(self.store, writer, self.wishes, self.listeners)
        return Training(
            Job(
                network=setup.network,
                loss=self.loss,
                plan=plan,
                train=setup.feeder(
                    self.prepared.train, batch_size=plan.batch_size, seed=plan.seed, workers=plan.workers
                ),
                validation=setup.held_out(self.prepared.validation, plan.batch_size, plan.workers),
                metrics=setup.metrics,
                folder=self.folder / CHECKPOINTS,
                writer=writer,
                listeners=[*self.listeners, self.along],
            )
        )

    def _keep(self, training: Training) -> None:
        """Chooses the weights that the run ends with, and measures them."""
        best, network, step = training.best, self.setup.network, training.step
        chosen = {"epoch": best.epoch, "step": best.step, "value": best.value, "selection": self.plan.selection}
        self.store.put({"best": chosen, "step": step})
        if not best.epoch:
            return
        assert isinstance(self.plan.batch_size, int)
        held_out = training.job.validation
        readings = [Reading("best.epoch", best.epoch, step=step, note=self.plan.selection)]
        last = training.held_network()
        if self.plan.selection == "loss" and best.step < step:
            chosen_network = clone(network)
            best.put_into(chosen_network)
            readings += rise(chosen_network, last, self.loss, held_out, best_step=best.step, step=step)
        if self.plan.keep == "best":
            best.put_into(network)
        elif last is not network:
            set_tensors(network, tensors(last))
        seen = self.setup.held_out(spread(self.prepared.train, fit_rows(training)), self.plan.batch_size)
        readings += kept_weights(network, self.loss, self.setup.metrics, train=seen, validation=held_out, step=step)
        self.store.add_readings(readings)

    def _end(self, status: str, best_epoch: int | None, *, stopped_early: bool) -> None:
        diagnosis = diagnose(self.store.readings(), self.wishes)
        seconds = time.monotonic() - self.started
        told = {(f.code, f.place) for f in self.check.findings} if self.check else set()
        told |= self.along.told if self.along else set()
        for finding in diagnosis.findings:
            if (finding.code, finding.place) not in told:
                self._emit(FindingRaised(finding))
        self.store.put_diagnosis(diagnosis.findings, diagnosis.to_json())
        self.store.put({"status": status, "seconds": seconds, "stopped_early": stopped_early})
        self.store.close()
        self._emit(RunEnded(self.folder.name, status, diagnosis.verdict, best_epoch, seconds, stopped_early, diagnosis))


def fit_rows(training: Training) -> int:
    """Training rows to measure the kept weights on."""
    trained = training.num_epochs * len(training.job.train.rows)
    return min(max(round(FIT_SHARE * trained), FIT_ROWS[0]), FIT_ROWS[1])


def stage_facts(
    passed: Sequence[str], not_judged: Sequence[str], facts: Sequence[str], seconds: float
) -> dict[str, Any]:
    return {"passed": list(passed), "not_judged": list(not_judged), "facts": list(facts), "seconds": seconds}
