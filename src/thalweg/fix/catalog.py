"""Which changes may mend a training, by the causes that were found and by what its readings show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.augmenting import choose
from thalweg.data.rows import Batch, call
from thalweg.doctor.case import Case
from thalweg.doctor.remedies.candidates import candidates
from thalweg.doctor.remedies.signs import Signs, signs_of
from thalweg.doctor.restarts import leaky_relu
from thalweg.findings import Finding
from thalweg.fix.change import ROWS, Change, applies, joined
from thalweg.fix.networks import (
    OwnLayers,
    OwnNorms,
    WithActivation,
    WithLast,
    WithOutputs,
    WithReLU,
    flat,
    registered,
    unfrozen,
    with_batch_norm,
    without_last,
)
from thalweg.measure.untouched import untouched
from thalweg.parts.initializers import LSUV, He
from thalweg.parts.normalization import GroupNorm
from thalweg.parts.optimizers import AdamW
from thalweg.readings import Readings
from thalweg.rules.arch.arch01_linear_stack import pairs
from thalweg.rules.data.data01_input_scale import odd_scales
from thalweg.rules.loss.loss02_head_mismatch import broadcast
from thalweg.rules.norm.norm03_shared_norm import APART

ALARM, DOUBT = 10.0, 4.0  # suspicion of a cause that was found, and of one that is only suspected
LATER = 0.8  # of it for each cause behind the first
LEAST = 0.3  # suspicion below which a change is not worth a training
FIRSTS, MOST_HELPERS = 3, 6  # changes that are joined
HELPERS = ("standardize", "scale_target", "higher_rate", "lsuv", "he", "adam", "batch_norm", "lower_rate")
FLAT = frozenset({"sigmoid", "tanh", "hardsigmoid", "softsign"})
SOFT = frozenset({"softmax", "log_softmax"})
DYING = frozenset({"relu", "relu6"})


@dataclass(frozen=True)
class Situation:
    """What changes are chosen by.

    Args:
        case: the training that is over.
        readings: all that was read of it.
        weights: suspicion of each cause.
        signs: of rate, decay, dropout, clipping and length.
        poor: whether the result is worse than plain learners', or than half of all there is.
        may_balance: whether classes can be weighed in the loss.
    """

    case: Case
    readings: Readings
    weights: Mapping[str, float]
    signs: Signs
    poor: bool
    may_balance: bool = False

    def suspicion(self, factors: Mapping[str, float], general: float) -> float:
        """The largest of the causes' suspicions, each times how well the change mends it."""
        mended = [factor * self.weights.get(cause, 0.0) for cause, factor in factors.items()]
        return max([general * self.poor, *mended])

    def change(
        self, text: str, *, name: str, mends: Mapping[str, float], general: float = 0.0, times: float = 1.0, **how: Any
    ) -> Change:
        """A change that mends some causes, each so well; `general` is its suspicion where the result is poor."""
        found = times * self.suspicion(mends, general)
        return Change(name, text, causes=tuple(mends), suspicion=found, **how)


def situation_of(
    case: Case, readings: Readings, findings: tuple[Finding, ...], *, poor: bool, may_balance: bool
) -> Situation:
    """Causes in the order of the diagnosis, suspicions behind alarms."""
    weights: dict[str, float] = {}
    scale = 1.0
    for finding in findings:
        if finding.severity == "note" or finding.cause in weights:
            continue
        weights[finding.cause] = scale * (ALARM if finding.counts else DOUBT)
        scale *= LATER
    return Situation(case, readings, weights, signs_of(case, readings), poor, may_balance)


def changes_for(situation: Situation) -> list[Change]:
    """The changes that are worth a training, most suspected first."""
    case = situation.case
    sample = case.bench.first(ROWS)[0]
    made = [change for maker in MAKERS for change in maker(situation) if change.suspicion >= LEAST]
    return sorted((c for c in made if applies(c, case.start, sample)), key=lambda change: -change.suspicion)


def combinations(changes: Sequence[Change]) -> list[Change]:
    """Two or three changes at once, of training with several faults: each remedy alone gains nothing then.

    What mends the first cause, joined with what mends most else; the order is that of suspicion.
    """
    if not changes:
        return []
    firsts = [change for change in changes if set(change.causes) & set(changes[0].causes[:1])][:FIRSTS]
    helpers = [change for name in HELPERS for change in changes if change.name == name][:MOST_HELPERS]
    pairs = [joined(a, b) for b in helpers for a in firsts if a is not b and a.joins(b)]
    scaled = [pair for pair in pairs if pair.name.endswith("+standardize")]
    rest = [change for change in helpers if change.name != "standardize"]
    triples = [joined(a, b) for b in rest for a in scaled if b.name not in a.name.split("+") and a.joins(b)]
    return [*pairs, *triples]


# ---------------------------------------------------------------------- data


def of_inputs(s: Situation) -> Iterator[Change]:
    inputs = s.case.bench.inputs
    if s.case.plan.preprocessing != "none" or not isinstance(inputs, torch.Tensor) or is_standard(inputs):
        return
    mends = {
        "input_scale": 1.0, "lr_too_high": 0.5, "exploding": 0.6, "non_finite": 0.6, "unstable_start": 0.6,
        "saturation": 0.6, "underfitting": 0.5, "dead_units": 0.4, "vanishing": 0.3, "lr_too_low": 0.3,
    }  # fmt: skip
    general = 0.95 * ALARM if odd_scales(s.readings) else 0.9  # a scale that is far off is a fact, if a harmless one
    changes = {"preprocessing": "standardize"}
    yield s.change("standardized inputs", name="standardize", plan=changes, mends=mends, general=general)


def of_classes(s: Situation) -> Iterator[Change]:
    if s.may_balance:
        yield s.change(
            "classes that weigh alike in the loss", name="balanced", balanced=True, mends={"class_imbalance": 1.0},
            lines='Experiment(..., class_weights="balanced")',
        )  # fmt: skip


def is_standard(values: torch.Tensor) -> bool:
    """Whether numbers have a mean near 0 and a deviation near 1 already; codes cannot have."""
    if not values.is_floating_point():
        return True
    mean, deviation = float(values.double().mean()), float(values.double().std())
    return abs(mean) < 0.3 and 0.5 < deviation < 2


def of_target(s: Situation) -> Iterator[Change]:
    bench = s.case.bench
    if bench.task.kind != "regression" or s.case.plan.target_scaling != "none" or is_standard(bench.target):
        return
    mends = {
        "target_scale": 1.0, "loss_head_mismatch": 0.6, "exploding": 0.6, "non_finite": 0.6, "lr_too_high": 0.6,
        "dead_units": 0.5, "underfitting": 0.6, "lr_too_low": 0.6,
    }  # fmt: skip
    changes = {"target_scaling": "standardize"}
    yield s.change("a standardized target", name="scale_target", plan=changes, mends=mends, general=1.2)


# ---------------------------------------------------------------------- the start and what lies between layers


def of_start(s: Situation) -> Iterator[Change]:
    mends = {
        "init_scale": 1.0, "init_constant": 0.9, "unstable_start": 0.9, "exploding": 0.7, "vanishing": 0.7,
        "non_finite": 0.4, "saturation": 0.6, "dead_units": 0.5,
    }  # fmt: skip
    text = "orthogonal weights, each layer's outputs measured to deviation 1 (LSUV)"
    yield s.change(text, name="lsuv", plan={"initialization": LSUV()}, mends=mends, general=0.6)
    mends = {"init_constant": 1.0, "init_scale": 0.8, "exploding": 0.5, "vanishing": 0.5}
    yield s.change("weights drawn by He", name="he", plan={"initialization": He()}, mends=mends, general=0.3)


def of_activations(s: Situation) -> Iterator[Change]:
    start = {"initialization": LSUV()}
    yield s.change(
        "ReLU instead of sigmoid or tanh between the layers, weights by LSUV", name="let_through", plan=start,
        network=WithActivation(torch.relu, FLAT), part="activation",
        lines="nn.ReLU() in the place of nn.Sigmoid() or nn.Tanh() between layers",
        mends={"vanishing": 0.9, "saturation": 1.0, "underfitting": 0.4}, general=0.5,
    )  # fmt: skip
    yield s.change(
        "ELU instead of softmax between the layers", name="hidden_softmax", part="activation",
        network=WithActivation(F.elu, SOFT), lines="nn.ELU() in the place of nn.Softmax() between layers",
        mends={"vanishing": 1.0, "saturation": 0.9, "underfitting": 0.5}, general=0.8,
    )  # fmt: skip
    yield s.change(
        "leaky ReLU of slope 0.3 between the layers", name="leaky_relu", part="activation",
        network=WithActivation(leaky_relu, DYING),
        lines="nn.LeakyReLU(0.3) in the place of nn.ReLU() between layers",
        mends={"dead_units": 1.0, "vanishing": 0.5, "lr_too_high": 0.3}, general=0.5,
    )  # fmt: skip
    yield s.change(
        "ELU between the layers, weights by LSUV", name="elu", plan=start, part="activation",
        network=WithActivation(F.elu), lines="nn.ELU() as every activation between layers",
        mends={"dead_units": 0.9, "vanishing": 0.8, "exploding": 1.0, "non_finite": 0.9}, general=0.4,
    )  # fmt: skip


def of_norms(s: Situation) -> Iterator[Change]:
    yield s.change(
        "batch norm after each layer but the last", name="batch_norm", part="norm", network=with_batch_norm,
        lines="nn.BatchNorm1d(features) or nn.BatchNorm2d(channels) after each layer but the last",
        mends={"vanishing": 0.8, "exploding": 0.8, "dead_units": 0.8, "saturation": 0.5, "init_scale": 0.5,
               "unstable_start": 0.4}, general=0.5,
    )  # fmt: skip
    few = {"batchnorm_small_batch": 1.0}
    yield s.change("batches of 32 rows", name="larger_batch", plan={"batch_size": 32}, mends=few)
    text = "group norm for batch norm"
    yield s.change(text, name="group_norm", plan={"normalization": GroupNorm()}, mends=few, times=0.9)
    calls = tuple((r.place, r.count or 0) for r in s.readings.of("norm.apart") if r.value > APART)
    yield s.change(
        "a norm of its own for each place", name="own_norms", part="norm", network=OwnNorms(calls),
        lines="a norm made anew for each place", mends={"train_eval_mode": 1.0}, general=ALARM,
    )  # fmt: skip


def of_layers(s: Situation) -> Iterator[Change]:
    yield s.change(
        "a layer of its own for each place", name="own_layers", part="layers", network=OwnLayers(
            tuple(s.readings.places("layer.repeated"))), lines="[make() for _ in range(n)] instead of [make()] * n",
        mends={"underfitting": 1.0}, general=DOUBT,
    )  # fmt: skip
    yield s.change(
        "ReLU between layers that had nothing between them", name="insert_relu", part="layers",
        network=WithReLU(tuple(pairs(s.readings))), lines="nn.ReLU() between the layers",
        mends={"no_nonlinearity": 1.0, "underfitting": 0.8}, general=0.8,
    )  # fmt: skip
    mends = {"parameters_not_trained": 1.0, "underfitting": 0.5}
    yield s.change(
        "weights that were drawn at random and frozen learn, too", name="unfrozen", part="layers", network=unfrozen,
        lines="requires_grad=True in these layers", mends=mends, general=0.5,
    )  # fmt: skip
    yield s.change(
        "layers in a Python list become the network's own", name="registered", part="layers", network=registered,
        lines="nn.ModuleList([...]) instead of [...]", mends=mends, general=DOUBT, times=2.0,
    )  # fmt: skip


# ---------------------------------------------------------------------- the last operation and the loss

HEAD = {
    "loss_head_mismatch": 1.0, "rows_mixed": 1.0, "underfitting": 0.6, "vanishing": 0.3, "saturation": 0.3,
    "lr_too_low": 0.4, "label_corruption": 0.4, "dead_units": 0.3, "exploding": 0.4, "non_finite": 0.4,
}  # fmt: skip


def of_head(s: Situation) -> Iterator[Change]:
    bench = s.case.bench
    known: dict[str, Any] = {"mends": HEAD, "general": 0.8, "part": "head"}
    yield s.change(
        "no operation on the last layer's outputs", name="no_last_operation", network=without_last,
        lines="the last layer gives its numbers as they are", **known,
    )  # fmt: skip
    if broadcast(s.readings) is not None:
        yield s.change(
            "outputs [N] as the targets are, instead of [N, 1]", name="flat", network=flat, times=1.5,
            lines="output.squeeze(1)", **known,
        )  # fmt: skip
    classes, outputs = classes_and_outputs(s.case)
    if not classes or not outputs:
        return
    if outputs < classes and (outputs > 1 or classes > 2):
        yield s.change(
            f"a last layer of {classes} outputs, and loss='cross_entropy'", name="outputs", loss="cross_entropy",
            network=WithOutputs(classes), lines=f'nn.Linear(..., {classes}) last, and loss="cross_entropy"', times=1.5,
            **known,
        )  # fmt: skip
        return
    name, word, last = ("cross_entropy", "softmax", softmax)
    if outputs == 1:
        name, word, last = ("binary_cross_entropy", "sigmoid", nn.Sigmoid)
    if bench.head.kind != word:
        yield s.change(
            f"{word} as the last operation", name=f"last_{word}", network=WithLast(last), times=0.95,
            lines=f"nn.{'Softmax(dim=1)' if word == 'softmax' else 'Sigmoid()'} as the last operation", **known,
        )  # fmt: skip
    yield s.change(
        f"loss={name!r} on the numbers before the last operation", name="likelihood", network=free_numbers, loss=name,
        lines=f'no last operation, and loss="{name}"', times=0.9, **known,
    )  # fmt: skip


def classes_and_outputs(case: Case) -> tuple[int, int]:
    """How many classes one label per row has, and outputs the network per row; 0 where there is no such thing."""
    bench = case.bench
    if bench.task.kind not in ("binary", "multiclass") or isinstance(bench.inputs, Batch):
        return 0, 0
    with untouched(bench.network), torch.no_grad():
        output = call(bench.network, bench.first(2)[0])
    if not isinstance(output, torch.Tensor) or output.dim() > 2:
        return 0, 0
    return len(bench.task.classes), output[0].numel()


def softmax() -> nn.Module:
    return nn.Softmax(dim=1)


def free_numbers(network: nn.Module, sample: Any) -> nn.Module:
    """Without the last operation, where there is one."""
    return without_last(network, sample) or network


# ---------------------------------------------------------------------- rate, noise, decay, length

FAMILIES: dict[str, tuple[tuple[str, ...], str]] = {  # of the doctor's candidates: causes they mend, and words
    "lower_rate": (("lr_too_high", "exploding", "non_finite", "dead_units", "unstable_start"), "learning rate {:.3g}"),
    "higher_rate": (("lr_too_low", "too_few_epochs", "underfitting"), "learning rate {:.3g}"),
    "no_dropout": (("dropout_excess", "underfitting"), "no dropout"),
    "no_decay": (("underfitting",), "no weight decay"),
    "epsilon": (("optimizer_unsuitable", "lr_too_high", "lr_too_low"), "eps {:.0e}"),
    "momentum": (("optimizer_unsuitable", "lr_too_high"), "momentum {:g}"),
    "adam": (("optimizer_unsuitable", "lr_too_low", "vanishing", "exploding", "lr_too_high"), "Adam with rate {:g}"),
    "no_clipping": (("optimizer_unsuitable", "lr_too_low"), "no clipping"),
    "no_schedule": (("lr_too_low", "too_few_epochs"), "a constant rate"),
    "longer": (("too_few_epochs", "underfitting"), "three times the epochs"),
}
SHARES = {"adam": 0.6, "longer": 0.7}  # of the cause's suspicion
LATER_CAUSE, LATER_PLACE = 0.9, 0.85  # for each cause behind a family's first, and for each rate behind its first


def of_course(s: Situation) -> Iterator[Change]:
    """What the doctor's tournament tries: as suspected as its signs say, or as the causes that they mend."""
    places: dict[str, int] = {}
    for candidate in candidates(s.case, s.signs, poor=True):
        causes, words = FAMILIES[candidate.name]
        place = places[candidate.name] = places.get(candidate.name, -1) + 1
        share = SHARES.get(candidate.name, 1.0) * LATER_PLACE**place
        mends = {cause: share * LATER_CAUSE**k for k, cause in enumerate(causes)}
        yield s.change(
            words.format(candidate.setting),
            name=candidate.name,
            plan=candidate.plan,
            mends=mends,
            general=candidate.suspicion,
        )
    if s.case.plan.clip_norm is None:
        mends = {"exploding": 0.6, "non_finite": 0.7, "unstable_start": 0.6, "dead_units": 0.4, "lr_too_high": 0.4}
        yield s.change("the gradient's norm clipped at 1", name="clip_norm", plan={"clip_norm": 1.0}, mends=mends)


def of_generalization(s: Situation) -> Iterator[Change]:
    plan, mends = s.case.plan, {"overfitting": 1.0}
    few = {**mends, "few_rows": 1.0}
    if plan.augmentation is None and s.suspicion(few, 0.0) >= LEAST:
        chosen, _ = choose(s.case.train.rows, seed=s.case.bench.seed)
        if chosen is not None:
            text = f"augmentation: {chosen}"
            yield s.change(text, name="augmentation", plan={"augmentation": chosen}, mends=few)
    assert plan.optimizer != "auto"
    if plan.optimizer.weight_decay:
        return
    decayed = replace(plan.optimizer, weight_decay=1e-3)
    if type(plan.optimizer).__name__ == "Adam":
        decayed = AdamW(lr=plan.optimizer.lr, weight_decay=0.1)
    yield s.change("weight decay", name="decay", plan={"optimizer": decayed}, mends=mends)


MAKERS: tuple[Callable[[Situation], Iterator[Change]], ...] = (
    of_inputs,
    of_classes,
    of_target,
    of_head,
    of_start,
    of_activations,
    of_norms,
    of_layers,
    of_course,
    of_generalization,
)
