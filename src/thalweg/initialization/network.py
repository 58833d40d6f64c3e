"""Draws the weights of a network: each tensor by its role, its fans and the activation that follows."""

from collections.abc import Iterator

from torch import nn
from torch.nn.parameter import is_lazy

from thalweg.data.rows import Inputs
from thalweg.errors import ModelError, UsageError
from thalweg.initialization.depth import through_depth
from thalweg.initialization.draw import draw
from thalweg.initialization.lsuv import unit_variance
from thalweg.initialization.residual import zero_branches
from thalweg.initialization.result import Initialization, Row
from thalweg.initialization.users import User, users_of
from thalweg.measure.following import Course, follow
from thalweg.measure.graph import explain_forward_error
from thalweg.parts.initializers import LSUV, ForgetBias, Initializer, ZeroResidual
from thalweg.parts.initializers.initializer import Wrapper


def initialize(network: nn.Module, inputs: Inputs, initializer: Initializer, *, seed: int = 0) -> Initialization:
    """Draws the weights of `network` anew, in place, by walking its graph (L08 to L11).

    One forward pass shows what follows each layer, modules and functions alike. The gain is that of the nearest
    activation, through normalization, dropout, additions and changes of shape: outputs of mean square 1 after it. It is
    1 before another layer, a softmax or the output, and inside recurrent layers and attention. A layer that only a
    normalization reads has no scale of its own, and the table says so. Where several activations follow, the nearest
    one counts and the table names the others.

    Queries, keys and values are three maps, gates of an LSTM or GRU one each; recurrent weights are orthogonal where
    the initializer scales with fans. Biases and shifts become 0 (torch draws biases from U(±1/√fan_in)), scales of
    normalizations 1, the padding row of an embedding 0. A weight that several layers share is drawn once, for the one
    that wants the smallest deviation: of an embedding tied to the output layer that is the output layer. Left as they
    are, with the reason in the table: frozen parameters, and those whose role cannot be told, such as a class token.

    The draw of a tensor depends on `seed` and its name only, not on the order, the device or the rest of the network.
    Modes, buffers and the global random generators stay as they are (but for the estimate of a spectral norm, which
    belongs to the weights).

    Args:
        network: any module; a parametrized tensor is set through its parametrization.
        inputs: some rows as they enter it, on its device: a tensor, a tuple or a dict of tensors. `LSUV` measures on
            them, so give it a batch.
        initializer: a part of `tw.initializers`.
        seed: a whole number.

    Returns:
        A table of what was done to each tensor (`rows`), and the signal through depth `before` and `after`.

    Raises:
        UsageError: for something else than an initializer.
        ModelError: for a lazy module that has no shape yet, and where the network does not take the inputs.

    >>> import torch
    >>> from thalweg.parts.initializers import He
    >>> network = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    >>> done = initialize(network, torch.randn(32, 64), He())
    >>> for row in done.rows[::2]:
    ...     print(row.name, row.follower, round(row.gain, 4), round(row.wanted, 4), round(row.drawn, 2))
    0.weight ReLU 1.4142 0.1768 0.18
    2.weight output 1.0 0.0625 0.06

    Source: the parts name theirs. torch draws each layer when it is built, by one rule, whatever follows.
    """
    course, users = traced(network, inputs, initializer)
    places = [p for p in course.order if any(user.place in (p, f"{p}.out_proj") for user in users)]
    before = through_depth(network, inputs, places)
    rows = drawn(network, inputs, initializer, course, users, seed)
    return Initialization(initializer, seed, tuple(rows), before, through_depth(network, inputs, places))


def draw_anew(network: nn.Module, inputs: Inputs, initializer: Initializer, *, seed: int) -> list[Row]:
    """What `initialize` does and raises, without the signal through depth, which costs as much as the draw."""
    course, users = traced(network, inputs, initializer)
    return drawn(network, inputs, initializer, course, users, seed)


def traced(network: nn.Module, inputs: Inputs, initializer: Initializer) -> tuple[Course, list[User]]:
    """What follows each layer, and which tensors are used where."""
    refuse(network, initializer)
    try:
        course = follow(network, inputs)
    except Exception as error:
        raise explain_forward_error(network, inputs, error) from error
    return course, list(users_of(network, course))


def drawn(
    network: nn.Module, inputs: Inputs, initializer: Initializer, course: Course, users: list[User], seed: int
) -> list[Row]:
    """The tensors drawn, then measured where the initializer says so."""
    chain = list(parts_of(initializer))
    forget = next((part.value for part in chain if isinstance(part, ForgetBias)), 0.0)
    rows = draw(network, users, course, initializer, seed, forget)
    if (lsuv := next((part for part in chain if isinstance(part, LSUV)), None)) is not None:
        rows = unit_variance(network, inputs, users, rows, lsuv)
    if any(isinstance(part, ZeroResidual) for part in chain):
        rows = zero_branches(network, course, rows)
    return rows


def refuse(network: nn.Module, initializer: object) -> None:
    """Raises what the user must change first."""
    if not isinstance(initializer, Initializer):
        raise UsageError(
            f"initialize got {initializer!r} for initializer; allowed: a part, such as tw.initializers.He()."
        )
    lazy = [name.rpartition(".")[0] for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if lazy:
        kind = type(network.get_submodule(lazy[0])).__name__
        raise ModelError(
            f"Layer {lazy[0]!r} ({kind}) is lazy: its weights have no shape yet. Call network(inputs) once, then "
            "initialize it."
        )


def parts_of(initializer: Initializer) -> Iterator[Initializer]:
    """The initializer and those that it wraps."""
    yield initializer
    if isinstance(initializer, Wrapper):
        yield from parts_of(initializer.then)
