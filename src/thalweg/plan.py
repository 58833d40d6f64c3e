"""The plan: every decision about a training, as frozen, typed, plain data. No torch here."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

from thalweg.errors import UsageError, did_you_mean
from thalweg.parts import (
    activations,
    augmentations,
    averaging,
    initializers,
    normalization,
    optimizers,
    preprocessing,
    regularizers,
    schedules,
)
from thalweg.parts.activations import Activation
from thalweg.parts.augmentations import Augmentation, Compose
from thalweg.parts.averaging import Averaging
from thalweg.parts.initializers import Initializer
from thalweg.parts.normalization import Normalization
from thalweg.parts.optimizers import Optimizer
from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing import Preparation
from thalweg.parts.regularizers import Regularizer
from thalweg.parts.schedules import Schedule

Auto = Literal["auto"]
WORDS: dict[str, tuple[str, ...]] = {  # fields that take one of a few words
    "memory_format": ("auto", "contiguous", "channels_last"),
    "precision": ("auto", "float32", "bf16", "fp16"),
    "compile": ("auto", "always", "never"),
    "keep": ("best", "last"),
}
FAMILIES: dict[str, Any] = {
    "optimizer": optimizers,
    "schedule": schedules,
    "averaging": averaging,
    "activation": activations,
    "normalization": normalization,
    "initialization": initializers,
    "regularizer": regularizers,
    "augmentation": augmentations,
    "preprocessing": preprocessing,
    "target_scaling": preprocessing,
}
PARTS: tuple[tuple[str, type, tuple[str | None, ...]], ...] = (  # fields that are parts, and what they may be besides
    ("optimizer", Optimizer, ("auto",)),
    ("schedule", Schedule, ("auto",)),
    ("averaging", Averaging, (None,)),
    ("activation", Activation, (None,)),
    ("normalization", Normalization, (None,)),
    ("initialization", Initializer, (None,)),
    ("regularizer", Regularizer, (None,)),
    ("augmentation", Augmentation, (None, "auto", "trivial", "rand")),
    ("preprocessing", Preparation, ("auto", "standardize", "none")),
    ("target_scaling", Preparation, ("auto", "standardize", "none")),
)
AUTOMATIC: dict[str, Any] = {"optimizer": optimizers.AdamW(weight_decay=0.01), "schedule": schedules.WarmupCosine()}
# Fields that count something: what they take besides integers, and the least.
COUNTS: tuple[tuple[str, tuple[str | None, ...], int], ...] = (
    ("epochs", ("auto",), 1),
    ("batch_size", ("auto",), 1),
    ("accumulate", (), 1),
    ("patience", (None,), 1),
    ("workers", ("auto",), 0),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every decision about a training. A field left at `"auto"` is decided before the training, with its reason.

    Args:
        optimizer: a part of `tw.optimizers`; its `lr` may be `"auto"`, which a race of constant rates decides. Or any
            class of `torch.optim.Optimizer`, or a `functools.partial` of it, which becomes `tw.optimizers.Torch`.
        schedule: a part of `tw.schedules`: the rate as a function of the step (L27).
        epochs: passes over the training rows.
        batch_size: rows per batch: of one forward and backward pass.
        accumulate: batches per update. Their gradients are averaged by the number of items in each, so that a short
            last batch, or a short last window of an epoch, counts as much as its rows.
        preprocessing: `"standardize"` subtracts the mean and divides by the standard deviation of the training rows
            (L12), inside the model; a part of `tw.preprocessing` does what it says, several in a list are a `Chain`;
            `"none"` feeds the inputs as they are, of a table with codes for text and missing values filled.
        target_scaling: the same for a regression target (parts: Standardize, MinMax, Robust, Log, Power, or several of
            these); predictions come back in the target's unit.
        activation: a part of `tw.activations` in the place of the network's own between its layers; None keeps those.
        normalization: a part of `tw.normalization` in the place of the network's own; None keeps those.
        dropout: probability of every dropout layer of the network; None keeps their own.
        initialization: a part of `tw.initializers` that the weights are drawn by, anew; None keeps them as they are.
        regularizer: a part of `tw.regularizers`: a penalty on the weights, or a limit (L29); None has none. Decay of
            the weights beside it is the optimizer's `weight_decay`.
        augmentation: parts of `tw.augmentations`, one or several in a tuple, by which the training rows are changed
            anew in each epoch (L32); `"trivial"` and `"rand"` are TrivialAugment and RandAugment, `"auto"` takes those
            that bring training images nearer to others of their class; None changes nothing.
        label_smoothing: share of a training label that is spread over all classes, from 0 to below 1; measures and
            the validation loss are of the labels as they are.
        memory_format: layout of images in memory, as torch names it; `"auto"` times both.
        precision: `"bf16"` or `"fp16"` computes the forward pass under autocast, the latter with a loss scale; weights
            and updates stay float32. `"auto"` takes bf16 where a GPU has it, else float32.
        compile: whether forward, backward and update become one compiled graph: `"auto"` where the training is long
            enough to gain by it, which is measured.
        gradient_checkpointing: trades time for memory: the activations inside repeated blocks are computed again in
            the backward pass instead of being kept.
        clip_norm: largest norm of the whole gradient; None does not clip.
        clip_value: largest absolute value of a gradient's entry; None does not clip.
        clip_adaptive: largest ratio of a unit's gradient norm to its weights' norm (0.01 is usual); None does not clip.
        decay_all: whether weight decay also acts on biases, norms and embeddings; by default it does not (L29).
        selection: the measure on the validation rows that chooses the best epoch: `"loss"` or a metric's name.
        keep: which weights the run ends with: of the `"best"` epoch or of the `"last"`.
        averaging: a part of `tw.averaging`: the weights that are validated and kept are an average of those trained,
            with batch norm's estimates measured anew (L16); None keeps them as trained.
        patience: epochs without a better `selection` after which the training stops early; None trains all epochs.
        workers: processes that read a Dataset's items; the batches do not depend on their number. `"auto"` takes some
            where reading is slower than training.
        probes: whether short experiments on clones come before the training.
        fix: whether safe remedies are applied as findings arise: those of the check before the first step; where the
            loss is lost, a tenth of the rate and clipping from the last good state on. Each is recorded in the run.
        monitoring: share of the training time that monitors may spend; 0 switches them off.
        seed: decides initialization, order and noise; `"auto"` takes the experiment's.

    Raises:
        UsageError: for a value that is not allowed; the message names the field, the value and what is allowed.

    >>> plan = Plan(optimizer=optimizers.SGD(lr=0.1, momentum=0.9), epochs=20)
    >>> Plan.from_json(plan.to_json()) == plan
    True
    """

    optimizer: Optimizer | Auto = "auto"
    schedule: Schedule | Auto = "auto"
    epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    accumulate: int = 1
    preprocessing: Preparation | str = "auto"
    target_scaling: Preparation | str = "auto"
    activation: Activation | None = None
    normalization: Normalization | None = None
    dropout: float | None = None
    initialization: Initializer | None = None
    regularizer: Regularizer | None = None
    augmentation: Augmentation | str | None = None
    label_smoothing: float = 0.0
    memory_format: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    gradient_checkpointing: bool = False
    clip_norm: float | None | Auto = "auto"
    clip_value: float | None = None
    clip_adaptive: float | None = None
    decay_all: bool = False
    selection: str = "auto"
    keep: str = "best"
    averaging: Averaging | None = None
    patience: int | None = None
    workers: int | Auto = "auto"
    probes: bool = True
    fix: bool = False
    monitoring: float = 0.01
    seed: int | Auto = "auto"

    def __post_init__(self) -> None:
        given: Any = self.optimizer
        if isinstance(given, type | partial):
            object.__setattr__(self, "optimizer", optimizers.Torch.of(given))
        for name in ("preprocessing", "target_scaling"):
            if isinstance(several := getattr(self, name), list | tuple):
                object.__setattr__(self, name, preprocessing.Chain(*several))
        chosen: Any = self.augmentation
        if isinstance(chosen, list | tuple):
            object.__setattr__(self, "augmentation", Compose(*chosen))
        for name, kind, besides in PARTS:
            value = getattr(self, name)
            if not isinstance(value, kind) and value not in besides:
                known = ", ".join(f"{n}(...)" for n in names_of(FAMILIES[name]))
                raise self._wrong(name, value, f"{', '.join(map(repr, besides))} or one of {known}")
        for name, words in WORDS.items():
            if (value := getattr(self, name)) not in words:
                raise self._wrong(name, value, " or ".join(map(repr, words)) + "." + did_you_mean(str(value), words))
        for name, besides, least in COUNTS:
            value = getattr(self, name)
            if value not in besides and not (is_integer(value) and value >= least):
                allowed = [*map(repr, besides), f"an integer of at least {least}"]
                raise self._wrong(name, value, " or ".join(allowed))
        if self.seed != "auto" and not (is_integer(self.seed) and 0 <= self.seed < 2**63):
            raise self._wrong("seed", self.seed, "'auto' or an integer from 0 to 2**63 - 1")
        for name in ("clip_norm", "clip_value", "clip_adaptive"):
            value = getattr(self, name)
            open_or_off = (None, "auto") if name == "clip_norm" else (None,)
            if value not in open_or_off and not (in_range(value, 0) and value):
                automatic = "'auto', " if name == "clip_norm" else ""
                raise self._wrong(name, value, f"{automatic}None (no clipping) or a number above 0")
        if self.dropout is not None and not in_range(self.dropout, 0, 1):
            raise self._wrong("dropout", self.dropout, "None (the network's own) or a probability from 0 to below 1")
        if not in_range(self.label_smoothing, 0, 1):
            raise self._wrong("label_smoothing", self.label_smoothing, "a share from 0 to below 1; 0.1 is usual")
        if not (in_range(self.monitoring, 0) and self.monitoring <= 1):
            raise self._wrong("monitoring", self.monitoring, "a share of the training time from 0 to 1")
        for name in ("decay_all", "probes", "fix", "gradient_checkpointing"):
            if not isinstance(getattr(self, name), bool):
                raise self._wrong(name, getattr(self, name), "True or False")
        if not isinstance(self.selection, str) or not self.selection:
            raise self._wrong("selection", self.selection, "'auto', 'loss' or the name of a metric")

    @staticmethod
    def _wrong(name: str, value: object, allowed: str) -> UsageError:
        return UsageError(f"Plan field {name!r} got {value!r}; allowed: {allowed.rstrip('.')}.".replace("?.", "?"))

    @classmethod
    def plain(cls, *, optimizer: Optimizer, epochs: int, batch_size: int, **changes: Any) -> "Plan":
        """Exactly the bare loop: constant rate, nothing scaled, clipped, probed or chosen; the last weights are kept.

        >>> Plan.plain(optimizer=optimizers.SGD(lr=0.1), epochs=2, batch_size=64).schedule
        Constant()
        """
        bare: dict[str, Any] = {
            "schedule": schedules.Constant(),
            "preprocessing": "none",
            "target_scaling": "none",
            "memory_format": "contiguous",
            "precision": "float32",
            "compile": "never",
            "clip_norm": None,
            "decay_all": True,
            "selection": "loss",
            "keep": "last",
            "probes": False,
        }
        return cls(optimizer=optimizer, epochs=epochs, batch_size=batch_size).replace(**{**bare, **changes})

    def replace(self, **changes: Any) -> "Plan":
        """The same plan with some fields changed; a dotted name changes a part: `{"optimizer.lr": 0.1}`.

        Of a part that is "auto" it changes the one that "auto" stands for.

        >>> Plan(optimizer=optimizers.SGD(lr=0.1)).replace(**{"optimizer.lr": 0.2}).optimizer.lr
        0.2
        """
        whole: dict[str, Any] = {}
        for name, value in changes.items():
            head, _, rest = name.partition(".")
            if head not in FIELDS:
                raise UsageError(
                    f"A plan has no field {head!r}.{did_you_mean(head, FIELDS)} Its fields are: {', '.join(FIELDS)}."
                )
            if not rest:
                whole[head] = decode(head, value)
                continue
            part = whole.get(head, getattr(self, head))
            part = AUTOMATIC.get(head, part) if part == "auto" else part
            whole[head] = changed(head, part, rest, value)
        return dataclasses.replace(self, **whole)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values; a part becomes `{"name": "SGD", "lr": 0.1, ...}`."""
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str) -> "Plan":
        """The plan of `to_json`. Raises `UsageError` for an unknown field, with the nearest name."""
        values = json.loads(data) if isinstance(data, str) else data
        return cls().replace(**values)

    def __str__(self) -> str:
        lines = [f"  {f.name} = {getattr(self, f.name)!r}" for f in fields(self)]
        return "Plan(\n" + "\n".join(lines) + "\n)"

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import plan_html

        return plan_html(self)


FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Plan))


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def names_of(family: Any) -> tuple[str, ...]:
    """The names of a family's parts: `("SGD", "Adagrad", ...)`."""
    return tuple(family.__all__)


def besides_of(name: str) -> tuple[str | None, ...]:
    """What a field takes besides parts."""
    return next(besides for field, _, besides in PARTS if field == name)


def encode(value: Any) -> Any:
    """A part as `{"name": ..., fields}`; anything else as it is."""
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return {"name": type(value).__name__, **{f.name: encode(getattr(value, f.name)) for f in fields(value)}}


def decode(name: str, value: Any) -> Any:
    """A field's value from JSON: a part from its name or from `{"name": ..., fields}`.

    A part's fields may be parts of its own family, `{"name": "Warmup", "then": {"name": "Cosine"}}`.
    """
    family = FAMILIES.get(name)
    if family is None or dataclasses.is_dataclass(value) or value in besides_of(name):
        return value
    if isinstance(value, type | partial):  # of torch's optimizers, which the plan makes a part of
        return value
    if isinstance(value, list | tuple):  # a chain of preparations
        return tuple(decode(name, {"name": item} if isinstance(item, str) else item) for item in value)
    options = dict(value) if isinstance(value, Mapping) else {"name": value}
    kind = str(options.pop("name", ""))
    if name == "optimizer" and "." in kind and kind.replace(".", "").isidentifier():
        kind, options = "Torch", {"kind": kind, **options}
    known = names_of(family)
    by_lower = {n.lower(): n for n in known}
    if kind.lower() not in by_lower:
        raise UsageError(
            f"Plan field {name!r} got {kind!r}; allowed: {', '.join((*map(repr, besides_of(name)), *known))}."
            f"{did_you_mean(kind, [*known, *map(str, besides_of(name))])}"
        )
    part = getattr(family, by_lower[kind.lower()])
    own = [f.name for f in fields(part)]
    for option in options:
        if option not in own:
            raise UsageError(f"{part.__name__} has no {option!r}.{did_you_mean(option, own)} It has: {', '.join(own)}.")
    return part(**{option: decode_option(name, v) for option, v in options.items()})


def decode_option(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(decode_option(name, item) for item in value)
    # A part's name as it is written: "linear" is a form of some schedules, "Linear" a schedule. An option of a torch
    # optimizer may be any text.
    part = isinstance(value, str) and name != "optimizer" and value in names_of(FAMILIES[name])
    return decode(name, value) if part or (isinstance(value, Mapping) and "name" in value) else value


def changed(field: str, part: Any, name: str, value: Any) -> Any:
    """A part with one of its fields changed; a dotted name changes a part in it: `"then.final"`."""
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        raise UsageError(f"Plan field {field!r} is {part!r}, which has no {name!r}; choose the part first.")
    own = [f.name for f in fields(part)]
    head, _, rest = name.partition(".")
    if head not in own:
        raise UsageError(f"{type(part).__name__} has no {head!r}.{did_you_mean(head, own)} It has: {', '.join(own)}.")
    new = changed(f"{field}.{head}", getattr(part, head), rest, value) if rest else value
    return dataclasses.replace(part, **{head: decode_option(field.partition(".")[0], new)})
