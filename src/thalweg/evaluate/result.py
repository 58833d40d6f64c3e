"""What an evaluation found, as plain data without torch: the report and the terminal read it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from thalweg.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure on the test rows, with its 95 % interval.

    Args:
        name: `"accuracy"`, `"auc"`, `"rmse"`.
        value: NaN where it is undefined; `note` says why.
        low: lower end of the 95 % interval; None where there is none.
        high: upper end.
        method: how the interval was found.
        count: rows that carry the measure.
        note: what to know about it.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""
    count: int = 0
    note: str = ""

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f"  [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.name}  {self.value:.4g}{interval}" + (f"  ({self.note})" if self.note else "")


@dataclass(frozen=True, slots=True)
class Curve:
    """Points to draw, thinned so that no corner is lost.

    Args:
        name: `"roc"`, `"precision_recall"`, `"reliability"` or `"predicted"`.
        x: abscissae.
        y: ordinates, as many.
        x_label: what x is.
        y_label: what y is.
        label: the class or target it belongs to; empty where there is one.
        low: lower ends of the points' 95 % intervals, or empty.
        high: upper ends.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_label: str
    y_label: str
    label: str = ""
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassRow:
    """The measures of one class against the rest, or of one label. `support` counts its test rows.

    Average precision and AUC are measured of labels only.
    """

    name: str
    support: int
    precision: Measure
    recall: Measure
    f1: Measure
    average_precision: Measure | None = None
    auc: Measure | None = None


@dataclass(frozen=True, slots=True)
class TargetRow:
    """The measures of one target of a regression with several, in its own unit."""

    name: str
    r2: Measure
    rmse: Measure
    mae: Measure


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a binary task's scores are cut: a row is called positive where its score exceeds `value`.

    Args:
        value: the cut, in the unit of the scores; minus infinity calls every row positive.
        scores: `"logits"` or `"probabilities"`.
        chosen_on: `"validation"`, `"default"` (probability 1/2) or `"given"`.
        objective: what was maximized, where it was chosen.
        reached: the objective on the rows it was chosen on; optimistic there, as every chosen maximum.
        count: how many rows it was chosen on.
        note: what to know about it.

    >>> Threshold(0.0, "logits", "default").probability
    0.5
    """

    value: float
    scores: str
    chosen_on: str
    objective: str = ""
    reached: float = math.nan
    count: int = 0
    note: str = ""

    @property
    def probability(self) -> float:
        """The cut as a probability of class 1."""
        if self.scores == "probabilities":
            return max(self.value, 0.0)
        return 1 / (1 + math.exp(-self.value)) if self.value > -700 else 0.0


@dataclass(frozen=True, slots=True)
class Gain:
    """What averaging over views of each row brings (test-time augmentation).

    Args:
        views: how many there are of a row, itself among them.
        augmentation: what makes them, as text.
        measures: with the views less without, paired over the rows.
    """

    views: int
    augmentation: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The measures, curves and counts of one evaluation.

    Args:
        kind: `"binary"`, `"multiclass"`, `"multilabel"`, `"per_position"` or `"regression"`.
        count: test rows.
        measures: in the order to show them.
        curves: to draw.
        classes: names of the classes, in the order of the confusion matrix; or of the labels.
        confusion: `confusion[true][predicted]` rows.
        per_class: one row for each class or label.
        threshold: of a binary task, or one for all labels.
        per_target: one row for each target of a regression with several.
        gain: of views of each row, where the answers were averaged over such.

    >>> result = Result("regression", 2, (Measure("rmse", 0.5, 0.4, 0.7, count=2),))
    >>> print(result["rmse"])
    rmse  0.5  [0.4, 0.7]
    >>> Result.from_json(result.to_json()) == result
    True
    """

    kind: str
    count: int
    measures: tuple[Measure, ...]
    curves: tuple[Curve, ...] = ()
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    per_class: tuple[ClassRow, ...] = ()
    threshold: Threshold | None = None
    per_target: tuple[TargetRow, ...] = ()
    gain: Gain | None = None

    def __getitem__(self, name: str) -> Measure:
        """The measure of that name. Raises `UsageError` with the names there are."""
        for found in self.measures:
            if found.name == name:
                return found
        names = [m.name for m in self.measures]
        raise UsageError(f"There is no measure {name!r}.{did_you_mean(name, names)} There are: {', '.join(names)}.")

    def __contains__(self, name: object) -> bool:
        return any(found.name == name for found in self.measures)

    def __repr__(self) -> str:  # the fields with all points of the curves would be pages
        return "\n".join(map(str, self.measures))

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import result_html

        return result_html(self)

    def to_json(self) -> dict[str, Any]:
        """JSON values; numbers that JSON lacks become `"nan"`, `"inf"`, `"-inf"`."""
        encoded: dict[str, Any] = encode(self)
        return encoded

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Result":
        """The result of `to_json`, exactly."""
        threshold = data["threshold"]
        return cls(
            kind=data["kind"],
            count=data["count"],
            measures=tuple(decode(Measure, m) for m in data["measures"]),
            curves=tuple(decode(Curve, c) for c in data["curves"]),
            classes=tuple(data["classes"]),
            confusion=tuple(tuple(row) for row in data["confusion"]),
            per_class=tuple(decode_row(ClassRow, row) for row in data["per_class"]),
            threshold=None if threshold is None else decode(Threshold, threshold),
            per_target=tuple(decode_row(TargetRow, row) for row in data.get("per_target", ())),
            gain=decode_gain(data.get("gain")),
        )


def decode_gain(data: Mapping[str, Any] | None) -> Gain | None:
    if data is None:
        return None
    return Gain(data["views"], data["augmentation"], tuple(decode(Measure, m) for m in data["measures"]))


TEXT = {"name", "method", "note", "label", "x_label", "y_label", "scores", "chosen_on", "objective"}


def encode(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def decode(kind: Any, data: Mapping[str, Any]) -> Any:
    """A dataclass whose fields are texts and numbers; a number may stand as `"nan"`."""

    def number(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(number(item) for item in value)
        return float(value) if isinstance(value, str) else value

    return kind(**{name: value if name in TEXT else number(value) for name, value in data.items()})


def decode_row(kind: Any, data: Mapping[str, Any]) -> Any:
    """A row of a table, some of whose fields are measures."""
    return kind(**{name: decode(Measure, v) if isinstance(v, Mapping) else v for name, v in data.items()})
