"""From what the user gave as a model to a network of our own: built or copied, tried on two rows, on a device."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept, seed_everything
from thalweg.data.rows import Batch, Inputs, Rows, call, is_pair, tensors_of
from thalweg.data.task import Task
from thalweg.errors import ModelError, ThalwegError, UsageError
from thalweg.measure.graph import explain_forward_error
from thalweg.parts.activations import Activation
from thalweg.parts.metrics.forms import IGNORED, positions
from thalweg.train.clone import clone
from thalweg.train.evaluation import evaluating
from thalweg.train.kept import KeptModule
from thalweg.train.losses import LossFunction, require_scalar

ModelSource = nn.Module | KeptModule | Callable[..., nn.Module]


@dataclass(frozen=True)
class Spec:
    """What a builder may ask for by an argument named `spec`.

    Args:
        inputs: shape of one row of each input tensor, after preprocessing: `((1, 8, 8),)`.
        outputs: number of outputs the loss needs: classes, 1 for a binary loss on logits, targets of a regression.
        categories: of a table under `Table(categories="index")` the size of each category, for `nn.Embedding`; their
            columns are the last of the input, in this order. Empty where no column holds indices.
    """

    inputs: tuple[tuple[int, ...], ...]
    outputs: int
    categories: tuple[int, ...] = ()


def spec_of(inputs: Inputs, outputs: int, categories: tuple[int, ...] = ()) -> Spec:
    if isinstance(inputs, Batch) and is_pair(inputs.value):
        inputs = Batch(inputs.value[0], inputs.step)
    return Spec(tuple(tuple(value.shape[1:]) for value in tensors_of(inputs)), outputs, categories)


def build_network(
    model: ModelSource, spec: Spec, *, seed: int, device: torch.device, activation: Activation | None = None
) -> nn.Module:
    """A network of our own: a copy of the user's module, or what their builder returns under `seed`.

    Raises:
        UsageError: for something that is neither a module nor a function that returns one.
    """
    if isinstance(model, KeptModule):
        return model.copy().to(device)
    if isinstance(model, nn.Module):
        return clone(uncompiled(model)).to(device)
    if not callable(model):
        raise UsageError(f"model got {model!r}; pass an nn.Module or a function that builds one.")
    with global_rng_kept():
        seed_everything(seed)
        try:
            built = made_by(model, spec, activation)
        except ThalwegError:
            raise
        except Exception as error:
            raise ModelError(
                f"The model's builder {name_of(model)} raised {type(error).__name__}: {error}. It is called without "
                "arguments, or with spec=... where it has an argument of that name, and with activation=..., the "
                f"plan's part, whose module is activation.build()."
            ) from error
    if not isinstance(built, nn.Module):
        raise UsageError(f"The builder {name_of(model)} returned {type(built).__name__}; it must return an nn.Module.")
    return uncompiled(built).to(device)


def made_by(builder: Callable[..., Any], spec: Spec, activation: Activation | None) -> Any:
    """What a builder makes, given those of its arguments that it has."""
    given: dict[str, Any] = {"spec": spec} if takes(builder, "spec") else {}
    return builder(**given, **({"activation": activation} if activation and takes_activation(builder) else {}))


def uncompiled(network: nn.Module) -> nn.Module:
    """What `torch.compile(module)` wraps: hooks cannot see into a compiled one, and the plan says what is compiled."""
    inner = getattr(network, "_orig_mod", network)
    return inner if isinstance(inner, nn.Module) else network


def takes_activation(model: ModelSource) -> bool:
    """Whether it is a builder with an argument `activation`, which gets the plan's part."""
    return not isinstance(model, nn.Module | KeptModule) and takes(model, "activation")


def takes(builder: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(builder).parameters
    except (TypeError, ValueError):  # some callables have no signature
        return False


def name_of(model: object) -> str:
    """The name of a network as a person would say it."""
    return type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", type(model).__name__)


def try_forward(network: nn.Module, rows: Rows, *, seed: int) -> Any:
    """Runs a few rows through the network, which materializes lazy layers; returns the output.

    Raises:
        ModelError: where shapes or types do not fit, naming the layer, what it takes and what it received.
    """
    with global_rng_kept(), evaluating(network):
        seed_everything(seed)
        try:
            return call(network, rows.inputs)
        except ThalwegError:
            raise
        except Exception as error:
            raise explain_forward_error(network, rows.inputs, error) from error


def rebuilt(
    model: ModelSource, spec: Spec, rows: Rows, seed: int, *, device: torch.device, activation: Activation | None
) -> nn.Module:
    """The network that a builder makes from another seed, its lazy layers made."""
    network = build_network(model, spec, seed=seed, device=device, activation=activation)
    try_forward(network, rows, seed=seed)
    return network


def try_loss(loss: LossFunction, loss_name: str | None, output: Any, target: Tensor, task: Task) -> None:
    """Takes the loss of a few rows, so that a loss and a network that do not fit are named before the first step.

    Raises:
        ModelError: for too few outputs, or a loss that raises.
        TrainingError: for a loss that is no scalar.
    """
    shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
    wants_classes = loss_name in ("cross_entropy", "nll") and isinstance(output, Tensor) and output.dim() > 1
    if wants_classes and output.shape[1] < len(task.classes):
        raise ModelError(
            f"The network has {output.shape[1]} outputs and the labels are {len(task.classes)} classes; "
            f"{loss_name} needs one output per class. Give the last layer {len(task.classes)} outputs."
        )
    if task.kind == "per_position" and getattr(loss, "ignore_index", IGNORED) != IGNORED:
        ignored = loss.ignore_index  # type: ignore[attr-defined]
        raise UsageError(
            f"The loss ignores the label {ignored}, which measures and means would count. Mark ignored positions with "
            f"{IGNORED} in the target, y[y == {ignored}] = {IGNORED}, and leave ignore_index out."
        )
    if task.kind == "per_position" and loss_name is not None and isinstance(output, Tensor):
        num_outputs = positions(output, target)[0].shape[1]
        if num_outputs < task.num_outputs:
            raise ModelError(
                f"The network has {num_outputs} outputs per position and the labels go up to {task.num_outputs - 1}; "
                f"give the last layer one output per class, at least {task.num_outputs}."
            )
    try:
        value = loss(output, target)
    except ThalwegError:
        raise
    except Exception as error:
        raise ModelError(
            f"The loss failed on the network's outputs {shape} and the targets {list(target.shape)} of {target.dtype}: "
            f"{type(error).__name__}: {error}. Check that the last layer has the outputs that the loss takes."
        ) from error
    require_scalar(value)


def describe(network: nn.Module, name: str) -> str:
    """`"SmallCNN 28.9k params"`, and how many of them are trained where some are not."""
    total = sum(p.numel() for p in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return f"{name} {short(total)} params" + (f" ({short(trained)} trained)" if trained != total else "")


def short(count: int) -> str:
    """A count in three digits: 28900 -> 28.9k.

    >>> short(28_934), short(512), short(11_200_000)
    ('28.9k', '512', '11.2M')
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return str(count)
