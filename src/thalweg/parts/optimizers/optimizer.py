"""What every optimizer is: hyper-parameters as plain data, a pure update rule, and its fastest equal kernel."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from thalweg.errors import UsageError
from thalweg.parts.optimizers.kernels import whole
from thalweg.parts.part import Part

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Slots = dict[str, "Tensor"]  # what an optimizer keeps for one parameter, by torch's names: "exp_avg", "exp_avg_sq"
State = dict[str, "list[Tensor]"]  # slot -> one tensor per parameter, and their step counts under "step"
KIND = attrgetter("is_cpu", "dtype")  # half the time of torch's grouping, which looks at the device itself
SPARSE = (
    "A gradient is sparse, as an Embedding or EmbeddingBag with sparse=True makes it, and {} takes dense ones only. "
    "Build that layer with sparse=False, or keep your own loop with torch.optim.SparseAdam."
)
GAPS = (
    "A parameter of shape {} has gaps or overlaps in memory (strides {}), and {} updates memory in place. "
    "Make it whole: nn.Parameter(parameter.detach().contiguous())."
)


@dataclass(frozen=True, kw_only=True)
class Optimizer(Part, ABC):
    """Hyper-parameters of an update rule. Not torch's `Optimizer`: `build(params)` gives that one.

    One rule has three forms that agree: `update`, the pure definition; `apply_`, the fastest kernel that computes the
    same in place; `build`, the torch optimizer of the same name.

    Args:
        lr: learning rate, above 0; `"auto"` lets a race of constant rates decide.
        weight_decay: factor of the penalty on the weights, at least 0.

    >>> import torch
    >>> from thalweg.parts.optimizers import SGD
    >>> optimizer, weights = SGD(lr=0.1, momentum=0.9), [torch.ones(2)]
    >>> state = optimizer.init(weights)
    >>> optimizer.apply_(weights, [torch.tensor([1.0, 2.0])], state, lr=0.5)
    >>> weights
    [tensor([0.5000, 0.0000])]
    """

    lr: float | Literal["auto"] = "auto"
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check("lr", self.lr == "auto" or (in_range(self.lr, 0) and self.lr != 0), "'auto' or a number above 0")
        self._check("weight_decay", in_range(self.weight_decay, 0), "a number of at least 0")

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the tensors kept per parameter; `"step"` last, where steps are counted."""

    @abstractmethod
    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        """The rule itself, pure: what to add to the parameter, and its next slots.

        Nothing is changed in place and only tensor operators are used, so that it runs under `torch.func.vmap` and
        `torch.compile`, and for K members at once.

        Args:
            gradient: of the loss, shaped like the parameter.
            slots: as `start` or the previous step gave them.
            step: which step this is, from 1. As a tensor it is best float64: the corrections of Adam lose digits in
                float32.
            parameter: its value before the step.
            hyper: takes the place of the fields, by name: `{"lr": 0.1}`. A value may be a tensor that broadcasts
                against the parameter, of its dtype: `[K, 1]` for K members laid out as a `[K, P]` matrix. A momentum
                or decay of the number 0 is left out; in a tensor it is computed like any other.

        Returns:
            The update and the slots, as new tensors.
        """

    @abstractmethod
    def _kernel(
        self,
        parameters: "list[Tensor]",
        gradients: "list[Tensor]",
        slots: "list[list[Tensor]]",
        lr: float,
    ) -> None:
        """The rule in place, on tensors of one device and dtype; `slots` in the order of the names, steps counted."""

    def _fuses(self, parameter: "Tensor") -> bool:
        """Whether torch's fused kernel updates it rightly: real, on a CPU or CUDA device, without gaps in memory."""
        return has_no_gaps(parameter) and parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda")

    def route(
        self, network: "nn.Module", parameters: "Sequence[nn.Parameter]"
    ) -> "list[tuple[Optimizer, list[nn.Parameter]]]":
        """Which rule moves which of the network's trainable parameters; most optimizers move all by themselves."""
        return [(self, list(parameters))]

    @property
    def usual_rates(self) -> tuple[float, float]:
        """Where a race of rates looks first; beyond it only where the best rate is at an edge."""
        return 1e-4, 1e-1  # of those that divide by the gradient's size

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        """The field that holds the momentum, with this value: what a schedule that cycles it sets.

        Raises:
            UsageError: for an optimizer without momentum.
        """
        raise UsageError(
            f"{type(self).__name__} has no momentum that a schedule could cycle; leave the schedule's momentum out, or "
            "take SGD(momentum=0.9), Adam or AdamW."
        )

    def with_momentum(self, momentum: float) -> "Optimizer":
        return replace(self, **self.momentum_field(momentum))

    def _check_betas(self) -> None:
        """Of the Adam family: a pair, kept as floats, because torch refuses (0, 0.999)."""
        betas = self.betas  # type: ignore[attr-defined]
        pair = isinstance(betas, tuple) and len(betas) == 2 and all(in_range(beta, 0, 1) for beta in betas)
        self._check("betas", pair, "a tuple of two numbers, each from 0 to below 1")
        object.__setattr__(self, "betas", (float(betas[0]), float(betas[1])))

    def _values(self, hyper: Mapping[str, Any] | None) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in fields(self)} | dict(hyper or {})
        if isinstance(values["lr"], str):
            raise UsageError(
                f"{type(self).__name__} has lr='auto', which is decided by a race before a training; "
                f"here give a number: {type(self).__name__}(lr=0.01)."
            )
        return values

    def start(self, parameter: "Tensor") -> Slots:
        """The slots of one parameter before its first step; the step count is not among them."""
        import torch

        return {name: torch.zeros_like(parameter.detach()) for name in self.slots if name != "step"}

    def init(self, parameters: "Sequence[Tensor]") -> State:
        """The state before the first step. To restore a saved one, copy into these tensors: `slot.copy_(saved)`.

        Raises:
            UsageError: for a parameter with gaps or overlaps in memory.
        """
        starts = [self.start(parameter) for parameter in parameters]
        for parameter in parameters:
            if not has_no_gaps(parameter):
                raise UsageError(GAPS.format(tuple(parameter.shape), parameter.stride(), type(self).__name__))
        state = {name: [start[name] for start in starts] for name in self.slots if name != "step"}
        if "step" in self.slots:
            state["step"] = zero_steps(parameters)
        return state

    def apply_(self, parameters: "list[Tensor]", gradients: "list[Tensor]", state: State, *, lr: float) -> None:
        """One step in place, by the fastest kernel that equals the rule. Call it under `torch.no_grad()`.

        Args:
            parameters: those that have a gradient; steps are counted for each parameter by itself.
            gradients: one for each of them, of the same shape and dtype; finite ones are left as they are.
            state: the lists of `init`, or their items that belong to these parameters.
            lr: the rate of this step.

        Raises:
            UsageError: for a sparse gradient.
        """
        if not parameters:
            return
        gradients = in_layout_of(parameters, gradients, type(self).__name__)
        slots = [state[name] for name in self.slots]
        if "step" in state:
            advance_(state["step"])
        if parameters[0].is_cpu and len(set(map(KIND, parameters))) == 1:
            self._kernel(parameters, gradients, slots, lr)
            return
        for kind in by_device_and_dtype([parameters, gradients, *slots]):
            self._kernel(kind[0], kind[1], kind[2:], lr)

    def load_torch_state(self, state_dict: Mapping[str, Any], parameters: "Sequence[Tensor]") -> State:
        """The state that torch's optimizer of the same name had, for `apply_` to go on from.

        Args:
            state_dict: of the torch optimizer. The hyper-parameters of its groups are not read: they are this part's.
            parameters: the same as its groups held, in that order.

        Raises:
            UsageError: where the number of parameters, a shape or an option differs.

        >>> import torch
        >>> from thalweg.parts.optimizers import Adagrad
        >>> weight, optimizer = torch.nn.Parameter(torch.ones(2)), Adagrad(lr=0.1)
        >>> theirs = optimizer.build([weight])
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> theirs.step()
        >>> optimizer.load_torch_state(theirs.state_dict(), [weight])
        {'sum': [tensor([ 9., 16.])], 'step': [tensor(1.)]}
        """
        from thalweg.parts.optimizers.torch_state import from_torch

        return from_torch(self, state_dict, parameters)

    def to_torch_state(self, state: State, parameters: "Sequence[Tensor]") -> dict[str, Any]:
        """A `state_dict` for torch's optimizer of the same name to go on from: `built.load_state_dict(...)`.

        Args:
            state: as `init` gave and `apply_` moved it; its tensors are handed on, not copied.
            parameters: those that it is of.
        """
        from thalweg.parts.optimizers.torch_state import to_torch

        return to_torch(self, state, parameters)

    def build(self, params: Iterable[Any]) -> "torch.optim.Optimizer":
        """The torch optimizer of the same name, in its fused form where the parameters allow it, else multi-tensor.

        Args:
            params: parameters, named parameters or parameter groups, as torch takes them.

        Raises:
            UsageError: when `lr` is `"auto"`.
        """
        import torch

        params = list(params)
        kind = getattr(torch.optim, type(self).__name__)
        form = "fused" if all(map(self._fuses, tensors_of(params))) else "foreach"
        built: torch.optim.Optimizer = kind(params, **self._values(None), **{form: True})
        return built


def in_range(value: Any, low: float, below: float = float("inf")) -> bool:
    """Whether it is a number with `low <= value < below`; NaN, an infinity, a boolean and a text are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value < below


def is_off(value: "float | Tensor") -> bool:
    """Whether a hyper-parameter is the plain number 0, so that its term can be left out; a tensor never is."""
    return isinstance(value, int | float) and value == 0


def decayed(gradient: "Tensor", parameter: "Tensor", weight_decay: "float | Tensor") -> "Tensor":
    """The gradient of the loss plus weight_decay/2 ‖θ‖²."""
    return gradient if is_off(weight_decay) else gradient + weight_decay * parameter


def shrinkage(parameter: "Tensor", lr: "float | Tensor", weight_decay: "float | Tensor") -> "Tensor | float":
    """What decoupled decay adds to the parameter: −ηλθ.

    torch multiplies by 1 − ηλ, whose rounding in float32 adds up over 1,000 steps; in this order both round alike.
    """
    return 0.0 if is_off(weight_decay) else parameter * (1 - lr * weight_decay) - parameter


def has_no_gaps(parameter: "Tensor") -> bool:
    """Whether it fills its memory without gaps or overlaps: only then does a copy that preserves strides keep them."""
    import torch

    return torch.empty_like(parameter).stride() == parameter.stride()


def zero_steps(parameters: "Sequence[Tensor]", *, on_cpu: bool = False) -> "list[Tensor]":
    """A step count of 0 for each parameter: views of one tensor per device, so that one addition counts them all.

    They lie where the fused kernels read them, beside the parameters, or all on the CPU.
    """
    import torch

    devices = [torch.device("cpu") if on_cpu else parameter.device for parameter in parameters]
    views = {device: iter(torch.zeros(devices.count(device), device=device).unbind()) for device in set(devices)}
    return [next(views[device]) for device in devices]


def advance_(steps: "list[Tensor]") -> None:
    """Adds 1 to every step count, in one operation where they are all the views of one tensor.

    One by one, counting 60 parameters takes .4 of the time of the Adam kernel that follows.
    """
    import torch

    base = whole(steps)
    if base is not None:
        base.add_(1)
    elif steps[0].is_cpu:
        torch._foreach_add_(steps, torch.tensor(1.0), alpha=1.0)  # 3x faster here than with the number 1
    else:
        torch._foreach_add_(steps, 1)


def in_layout_of(parameters: "list[Tensor]", gradients: "list[Tensor]", name: str) -> "list[Tensor]":
    """The gradients, each laid out in memory like its parameter.

    The fused kernels of the CPU walk memory without looking at strides: a transposed gradient, which `backward` never
    leaves but `torch.autograd.grad` may return, would silently update the wrong entries.
    """
    import torch

    contiguous = torch.Tensor.is_contiguous
    try:
        if all(map(contiguous, gradients)) and all(map(contiguous, parameters)):
            return gradients
        pairs = list(zip(parameters, gradients, strict=True))
        return [g if g.stride() == p.stride() else torch.empty_like(p).copy_(g) for p, g in pairs]
    except RuntimeError as error:
        if any(gradient.layout != torch.strided for gradient in gradients):
            raise UsageError(SPARSE.format(name)) from error
        raise


def by_device_and_dtype(lists: "list[list[Tensor]]") -> "Iterator[list[list[Tensor]]]":
    """The lists split as the kernels of an accelerator need them: one device and one dtype at a time."""
    from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype

    for kind, _ in _group_tensors_by_device_and_dtype(lists).values():  # type: ignore[arg-type]
        yield kind  # type: ignore[misc]


def tensors_of(params: Iterable[Any]) -> "Iterator[Tensor]":
    """The tensors among parameters, named parameters and parameter groups."""
    for item in params:
        if isinstance(item, dict):
            inner = item["params"]
            yield from tensors_of([inner] if hasattr(inner, "shape") else inner)
        else:
            yield item[1] if isinstance(item, tuple) else item
