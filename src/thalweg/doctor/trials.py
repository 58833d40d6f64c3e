"""Remedies tried on paired probes: which are worth a trial, and how a training looks with them."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.data.rows import Inputs, call
from thalweg.doctor.bench import Bench
from thalweg.measure.answers import constant_starts, lowest, sheet_of, starts_of
from thalweg.measure.head import FREE, Head
from thalweg.measure.inputs import standardized
from thalweg.measure.score import Score, score
from thalweg.measure.stacks import WEIGHTED
from thalweg.measure.targets import scaled
from thalweg.measure.untouched import untouched
from thalweg.probes.paired import Measure, Variant, compare
from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch01_linear_stack import is_affine, pairs
from thalweg.rules.data.data01_input_scale import STANDARDIZE, odd_scales
from thalweg.rules.data.data02_target_scale import odd_target
from thalweg.rules.fit.fit01_overfit import FITTED, FLAT, vanishes
from thalweg.rules.loss.loss01_initial_loss import far_above
from thalweg.rules.trial import trial
from thalweg.train.clone import clone

HELD = 0.25  # of the rows
RESCALE = "rescale_weights"


def plain_variant(bench: Bench, head: Head) -> Variant | None:
    """The training as it is; None where its loss leaves nothing to learn or cannot be examined."""
    with untouched(bench.network), torch.no_grad():
        output = call(bench.network, bench.inputs)
    if not isinstance(output, Tensor):
        return None
    return with_bounds(bench, Variant(bench.network, bench.inputs, bench.target, 0.0, 0.0), output, head)


def with_bounds(bench: Bench, variant: Variant, output: Tensor, head: Head) -> Variant | None:
    """The variant with the loss of the best constant answer and the lowest one on its targets."""
    sheet = sheet_of(bench.loss, output, variant.target, head, bench.num_classes)
    if sheet is None:
        return None
    constant = lowest(sheet, head, constant_starts(sheet, head))
    floor = lowest(sheet, head, starts_of(sheet, head))
    if not (torch.isfinite(torch.tensor(constant - floor)) and constant - floor > 1e-6 * abs(constant)):
        return None
    return replace(variant, constant=constant, floor=floor)


def rescaled(network: nn.Module, inputs: Inputs) -> nn.Module:
    """A clone whose weight layers each give outputs of deviation 1 (Mishkin and Matas 2016), in the order they run."""
    changed = clone(network)

    def scale(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        spread = float(output.detach().double().std())
        if spread > 0:
            module.get_parameter("weight").div_(spread)
        return type(module).forward(module, *given)  # type: ignore[no-any-return]

    handles = [m.register_forward_hook(scale) for m in changed.modules() if isinstance(m, WEIGHTED)]
    with untouched(changed, training=True), torch.no_grad():
        call(changed, inputs)
    for handle in handles:
        handle.remove()
    return changed


def with_relu(network: nn.Module, places: list[str]) -> nn.Module:
    """A clone with ReLU after the first layer of each pair `"first → last"`."""
    changed = clone(network)
    for place in {pair.split(" → ")[0] for pair in places}:
        changed.get_submodule(place).register_forward_hook(lambda _module, _given, output: F.relu(output))
    return changed


def try_remedies(bench: Bench, readings: Readings) -> list[Reading]:
    """Probes the remedies that the readings call for; most healthy trainings call for none."""
    head = bench.head
    if readings.value("loss.bottomless") == 1.0:
        return []
    wanted: dict[str, bool] = {
        RESCALE: far_above(readings) or stuck(readings),
        STANDARDIZE: bool(odd_scales(readings)),
        "scale_target": odd_target(readings) and head == FREE,
        "insert_relu": is_affine(readings),
    }
    asked = [name for name, is_asked in wanted.items() if is_asked]
    if any(reading.name == "input.rms" for reading in odd_scales(readings)):  # they alone make a start large
        asked.sort(key=lambda name: name != STANDARDIZE)
    if not asked or (plain := plain_variant(bench, head)) is None:
        return []
    found: list[Reading] = []
    for left, name in zip(range(len(asked), 0, -1), asked, strict=True):
        inputs, weights = trial(Readings(found), STANDARDIZE), trial(Readings(found), RESCALE)
        if name == RESCALE and inputs is not None and inputs.suggests:
            continue  # smaller weights make up for larger inputs: the inputs are the cause
        if name == STANDARDIZE and weights is not None and weights.decisive:
            continue  # inputs that are not large do not make a start large; other inputs may make up for it
        seconds = bench.budget.part(1 / left).seconds
        new = tried(name, plain, bench, readings, seconds=seconds)
        shown = trial(Readings(new), name)
        if name == RESCALE and shown is not None and not shown.learned:
            # A rate for large weights is none for small ones: both at their best rate.
            seconds = bench.budget.part(1 / left).seconds
            new = tried(name, plain, replace(bench, optimizer=None), readings, seconds=seconds)
        found += new
    if bench.gentle:  # what a short training loses at the full rate, the one to come may not
        found = [reading for reading in found if not reading.name.endswith(".lost")]
    return found


def tried(name: str, plain: Variant, bench: Bench, readings: Readings, *, seconds: float) -> list[Reading]:
    """The probe of one remedy."""
    changed = changed_variant(name, bench, plain, readings, bench.head)
    if changed is None:
        return []
    return compare(
        name,
        plain,
        changed,
        bench.loss,
        optimizer=bench.optimizer,
        # Large weights and more freedom fit the rows trained on anyway; another target is about steps, not freedom.
        held=0.0 if name == "scale_target" else HELD,
        seconds=seconds,
        seed=bench.seed,
        measure=measure_of(bench) if name == STANDARDIZE else None,
        num_steps=bench.num_steps,
    )


def measure_of(bench: Bench) -> Measure | None:
    """How outputs are scored; None where they cannot be."""
    with untouched(bench.network), torch.no_grad():
        output = call(bench.network, bench.inputs)

    def measure(output: object, target: Tensor) -> Score | None:
        return score(output, target, task=bench.task, head=bench.head)

    return None if measure(output, bench.target) is None else measure


def stuck(readings: Readings) -> bool:
    """Whether a few rows were not learned yet, and hardly any difference between rows reaches the last layer."""
    share, trend = readings.value("overfit.share"), readings.value("overfit.trend")
    return share is not None and trend is not None and share < FITTED and trend > FLAT and vanishes(readings)


def changed_variant(name: str, bench: Bench, plain: Variant, readings: Readings, head: Head) -> Variant | None:
    """The training with one remedy."""
    if name == STANDARDIZE:
        return replace(plain, inputs=standardized(plain.inputs, plain.inputs))
    if name == RESCALE:
        return replace(plain, network=rescaled(plain.network, plain.inputs))
    if name == "insert_relu":
        return replace(plain, network=with_relu(plain.network, pairs(readings)))
    with untouched(bench.network), torch.no_grad():
        output = call(bench.network, bench.inputs)
    assert isinstance(output, Tensor)
    return with_bounds(bench, replace(plain, target=scaled(plain.target)), output, head)
