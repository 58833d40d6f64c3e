"""The whole step, forward, backward and update, as one compiled graph.

An eager step of a small network spends most of its time between the kernels. One graph has few kernels and nothing in
between: 3.4 to 3.8 times the tutorial loop on a small MLP, where the eager step reaches 2.1. Compiling the model alone,
the usual advice, is slower than the loop.
"""

import time
from collections.abc import Callable
from itertools import count
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn.modules.conv import _ConvNd

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.data.rows import Batch, Inputs, call, tensors_of
from thalweg.errors import ModelError
from thalweg.measure.untouched import untouched
from thalweg.parts.optimizers.optimizer import advance_
from thalweg.parts.regularizers import Regularizer
from thalweg.train.clone import clone, tensors
from thalweg.train.groups import ForeignGroup, Group
from thalweg.train.step import Step, Window

NUMBERS = count(1)
ROUNDS = 5
WORTH = 1.1  # times as quick, to be compiled
WORTH_SECONDS = 150.0  # of an eager training: compiling takes 15 to 80 s and saves a third to a half of the rest
OPTIONS: dict[str, Any] = {"cpp_wrapper": True}  # without it Python calls each kernel: 3.0 instead of 3.6 times


class CompiledStep:
    """A `Step` as one compiled graph.

    Batches of another shape than the first, such as an epoch's last, go the eager way. The noise of dropout is
    f(seed, step) here too, but not the same as eagerly; sums are taken in another order.

    Args:
        stepper: the step; its network, optimizer state and clipping are used as they are, in place.
        window: the first batch, which decides the shape.

    Raises:
        ModelError: for a step that is not one graph: of several batches, in half precision, with a forward pass that
            changes plain attributes; or where a parameter gets no gradient: a graph would move it by its momentum and
            decay. Also at the first call, where the compiler fails.
    """

    def __init__(self, stepper: Step, window: Window) -> None:
        if why := not_one_graph(stepper, window):
            raise ModelError(f"The step cannot be one graph: {why}. Set compile='never' or 'auto'.")
        self.stepper, self.shape = stepper, shape_of(window)
        with untouched(stepper.network, training=True):
            _, gradients = stepper.loss_and_gradients(window, step=0)
        if lacking := [name for name, g in zip(stepper.names, gradients, strict=True) if g is None]:
            raise ModelError(
                f"The loss does not reach {', '.join(lacking[:3])}, so that the step cannot be one graph. Set "
                "requires_grad_(False) on what is not trained, or compile='never'."
            )
        self.buffers = dict(stepper.network.named_buffers())
        self.cycled: bool | None = None  # whether the graph takes a momentum, which the first call decides
        # What a graph was made for is checked here, by shape; the compiler's own checks would take half of the gain.
        options = {**OPTIONS, "guard_filter_fn": lambda checks: [False] * len(checks)}
        self.whole = torch.compile(own_code(whole_step), fullgraph=True, dynamic=False, options=options)

    def __call__(self, window: Window, *, step: int, rate: float, momentum: float | None = None) -> Tensor:
        """One whole step; returns the loss before the update, detached."""
        if self.cycled is None:
            self.cycled = momentum is not None
        if shape_of(window) != self.shape or self.cycled != (momentum is not None):
            return self.stepper(window, step=step, rate=rate, momentum=momentum)
        stepper = self.stepper
        seed_noise(stepper.seed, step)
        for group in stepper.groups:
            if "step" in group.state:
                advance_(group.state["step"])
        try:
            with torch.no_grad():
                number = torch.tensor(rate, dtype=torch.float64)
                cycled = None if momentum is None else torch.tensor(momentum, dtype=torch.float64)
                loss: Tensor = self.whole(stepper, self.buffers, *window[0], number, cycled)
        except torch._dynamo.exc.TorchDynamoException as error:  # at the first call
            raise ModelError(
                f"The step cannot be compiled ({in_short(error)}). Set compile='never' or 'auto'; the numbers are the "
                "same but for rounding and the noise of dropout."
            ) from error
        return loss


def whole_step(
    stepper: Step, buffers: dict[str, Tensor], inputs: Inputs, target: Tensor, rate: Tensor, momentum: Tensor | None
) -> Tensor:
    """Forward, backward, clipping and update, in terms that the compiler sees through. Steps are counted outside."""

    def loss_of(values: list[Tensor], kept: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        named = dict(zip(stepper.names, values, strict=True)) | kept
        args, kwargs = arguments(inputs)
        loss: Tensor = stepper.loss(functional_call(stepper.network, named, args, kwargs), target)
        return loss, kept

    placed = {i: p for group in stepper.groups for i, p in zip(group.positions, group.parameters, strict=True)}
    parameters = [placed[i] for i in range(len(placed))]
    moved = {name: value.clone() for name, value in buffers.items()}  # batch norm's estimates move in place
    gradients, (loss, moved) = grad_and_value(loss_of, has_aux=True)(parameters, moved)
    for name, value in buffers.items():
        value.copy_(moved[name])
    regularizer, regularized = stepper.regularizer or Regularizer(), stepper.regularized(gradients)
    for part in regularized:
        regularizer.add_(part.gradients, part.parameters)
    stepper.clipping(gradients, parameters)
    for part in regularized:
        regularizer.decay_(part.parameters, rate=rate)
    for group in stepper.groups:
        update(group, [gradients[i] for i in group.positions], rate, momentum)
    for part in regularized:
        regularizer.constrain_(part.parameters, rate=rate, transposed=part.transposed)
    return loss.detach()  # type: ignore[no-any-return]


def update(group: Group, gradients: list[Tensor], rate: Tensor, momentum: Tensor | None) -> None:
    """The optimizer's rule on each parameter of a group, in place."""
    names = [name for name in group.optimizer.slots if name != "step"]
    steps = group.state.get("step")
    hyper = {"lr": rate} if momentum is None else {"lr": rate, **group.optimizer.momentum_field(momentum)}
    for k, (parameter, gradient) in enumerate(zip(group.parameters, gradients, strict=True)):
        slots = {name: group.state[name][k] for name in names}
        number = steps[0].double() if steps is not None else 1
        change, new = group.optimizer.update(gradient, slots, number, parameter, hyper)
        parameter.copy_(parameter + change)
        for name in names:
            slots[name].copy_(new[name])


def arguments(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments of a model's call."""
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs), {}  # type: ignore[arg-type]


def shape_of(window: Window) -> tuple[Any, ...]:
    """What a graph is made for: shapes, strides and dtypes of the one batch of a window."""
    return tuple(
        (value.shape, value.stride(), value.dtype) for batch in window for v in batch for value in tensors_of(v)
    )


def own_code(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function with a code object of its own: torch.compile keeps its graphs by code object, eight at most."""
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(NUMBERS)}")
    return FunctionType(code, function.__globals__, function.__name__)


def choose_compiled(
    stepper: Step, window: Window, *, num_steps: int, momentum: float | None = None
) -> tuple[CompiledStep | None, str]:
    """A compiled form of the step where the training is long enough to gain by it, and the reason.

    Both forms are timed on the first batch; afterwards weights, buffers and optimizer state are as they were. The
    network is in training mode.
    """
    if why := unsuited(stepper):
        return None, why
    state = {**tensors(stepper.network), **{f"optimizer.{k}": v for k, v in stepper.state_dict().items()}}
    kept = {name: value.clone() for name, value in state.items()}
    try:
        with global_rng_kept():
            if why := not_one_graph(stepper, window):
                return None, why
            # The first step is the slowest, and often enough to know.
            eager = seconds_of(stepper, window, momentum, rounds=1)
            if eager * num_steps >= WORTH_SECONDS:
                eager = seconds_of(stepper, window, momentum)
            if eager * num_steps < WORTH_SECONDS:
                return None, f"the training takes about {eager * num_steps:.0f} s, compiling about 30"
            started = time.perf_counter()
            compiled = CompiledStep(stepper, window)
            seconds_of(compiled, window, momentum, rounds=1)  # compiles
            quick = seconds_of(compiled, window, momentum)
            spent = time.perf_counter() - started
    except Exception as error:  # a compiler fails in many ways: an operation it lacks, a disk without room
        return None, f"the step cannot be compiled: {in_short(error)}"
    finally:
        with torch.no_grad():
            for name, value in state.items():
                value.copy_(kept[name])
    ratio = eager / quick
    if ratio < WORTH:
        return None, f"a compiled step would be {ratio:.2f} times as quick, measured"
    return (
        compiled,
        f"one graph of the whole step is {ratio:.2f} times as quick, measured; compiling took {spent:.0f} s",
    )


def unsuited(stepper: Step) -> str:
    """Why nothing would be gained by one graph, known without trying; empty where nothing speaks against it."""
    if stepper.device.type != "cpu":
        return "compiled steps are measured on CPUs only"
    if any(isinstance(m, _ConvNd | nn.RNNBase) for m in stepper.network.modules()):
        return "convolutions and recurrent layers gain nothing by it on a CPU"
    return foreign(stepper)


def foreign(stepper: Step) -> str:
    """That an optimizer runs as it is, which no graph of ours sees through."""
    own = next((g.optimizer for g in stepper.groups if isinstance(g, ForeignGroup)), None)
    return "" if own is None else f"{type(own).__name__} runs as the torch optimizer that it is, eagerly"


def not_one_graph(stepper: Step, window: Window) -> str:
    """Why the step cannot be one graph, known without compiling; empty where nothing speaks against it."""
    if not stepper.plain or len(window) > 1 or len(window[0]) > 2 or isinstance(window[0][0], Batch):
        return (
            "accumulation, half precision, gradient checkpointing, weights of rows and steps of one's own are taken "
            "eagerly"
        )
    if why := foreign(stepper):
        return why
    if changed := changed_by_forward(stepper.network, window[0][0]):
        return f"the network's forward pass changes {', '.join(changed[:3])}, which a graph would not"
    return ""


def changed_by_forward(network: nn.Module, inputs: Inputs) -> list[str]:
    """Names of plain attributes that a forward pass changes, and of buffers that it puts others in the place of."""
    trial = clone(network)
    before = outside_of_graphs(trial)
    with global_rng_kept(), torch.no_grad():
        call(trial, inputs)
    return [name for name, value in outside_of_graphs(trial).items() if before.get(name) != value]


def outside_of_graphs(network: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, module in network.named_modules():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str)}
        buffers = {key: id(value) for key, value in module._buffers.items()}
        found |= {f"{name}.{key}".lstrip("."): value for key, value in (plain | buffers).items()}
    return found


def seconds_of(
    form: Step | CompiledStep, window: Window, momentum: float | None = None, *, rounds: int = ROUNDS
) -> float:
    """The time of one step: the quickest of some."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        float(form(window, step=0, rate=0.0, momentum=momentum))  # synchronizes
        taken.append(time.perf_counter() - started)
    return min(taken)


def in_short(error: BaseException) -> str:
    """The first paragraph of an error: compilers add pages."""
    paragraph, _, _ = str(error).strip().partition("\n\n")
    return f"{type(error).__name__}: {' '.join(paragraph.split())}"
