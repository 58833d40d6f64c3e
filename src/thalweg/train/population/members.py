"""Members of a population: which trainings can be one program, and what each keeps for itself."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from thalweg.errors import ModelError, UsageError
from thalweg.parts.optimizers import Optimizer
from thalweg.parts.optimizers.foreign import Foreign
from thalweg.parts.regularizers import L1, L2, DecoupledDecay, ElasticNet, MaxNorm, Regularizer, Several
from thalweg.plan import Plan

REGULARIZERS = (L1, L2, DecoupledDecay, ElasticNet, MaxNorm)
RATES_OF_DROPOUT = ("p", "dropout", "drop_prob", "dropout_p", "drop")  # attributes in which members may differ
FIXED = ("ns_coefficients",)  # numbers of an optimizer that its rule needs as such


@dataclass(frozen=True, eq=False)
class Member:
    """One training of a population.

    Args:
        network: the start; it is copied.
        plan: resolved. Members may differ in the numbers of the optimizer, of the regularizer and of clipping, and in
            `label_smoothing`; the rest decides which of them can be one program.
        seed: of the noise.
        rows: `[N]` booleans over the training rows, True for those that it trains on, as in a fold of
            cross-validation; the others weigh 0 in its loss. None for all.
        step: updates made before.
        state: of the optimizer after them, as `Step.state_dict` names it; empty at the start.
    """

    network: nn.Module
    plan: Plan
    seed: int
    rows: Tensor | None = None
    step: int = 0
    state: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def seeded(self) -> Plan:
        """The plan with the member's seed."""
        return self.plan.replace(seed=self.seed)

    @property
    def optimizer(self) -> Optimizer:
        if self.plan.optimizer == "auto":
            raise UsageError("A member's plan has optimizer='auto'; resolve the plan first, or name an optimizer.")
        return self.plan.optimizer


def bucket_of(member: Member) -> Hashable:
    """What members must share to be one program: architecture, kind of optimizer and regularizer, form of the step.

    >>> from thalweg.parts.optimizers import SGD
    >>> plan = Plan(optimizer=SGD(lr=0.1), batch_size=8)
    >>> a = Member(nn.Linear(3, 2), plan, seed=0)
    >>> b = Member(nn.Linear(3, 2), plan.replace(**{"optimizer.lr": 0.2}), seed=1)
    >>> c = Member(nn.Linear(3, 3), plan, seed=0)
    >>> bucket_of(a) == bucket_of(b), bucket_of(a) == bucket_of(c)
    (True, False)
    """
    plan = member.plan
    regularizers = tuple((type(part), options(part)) for part in parts_of(plan.regularizer))
    form = (plan.batch_size, plan.accumulate, plan.precision, plan.gradient_checkpointing, plan.decay_all)
    kind = type(member.optimizer), options(member.optimizer)
    return architecture(member.network), kind, regularizers, form


def buckets(members: Sequence[Member]) -> list[list[int]]:
    """The positions of the members that can be one program, in order of their first.

    >>> from thalweg.parts.optimizers import SGD
    >>> plan, networks = Plan(optimizer=SGD(lr=0.1), batch_size=8), [nn.Linear(3, n) for n in (2, 5, 2)]
    >>> buckets([Member(network, plan, seed=0) for network in networks])
    [[0, 2], [1]]
    """
    found: dict[Hashable, list[int]] = {}
    for position, member in enumerate(members):
        found.setdefault(bucket_of(member), []).append(position)
    return list(found.values())


def refused(member: Member) -> str:
    """Why a training can only be taken by itself; empty where nothing speaks against one program."""
    plan = member.plan
    if isinstance(member.optimizer, Foreign):
        return f"{type(member.optimizer).__name__} runs as the torch optimizer that it is, one network at a time"
    if plan.precision != "float32" or plan.gradient_checkpointing or plan.accumulate != 1:
        return "half precision, gradient checkpointing and accumulation are taken one network at a time"
    unknown = [part for part in parts_of(plan.regularizer) if type(part) not in REGULARIZERS]
    return f"the regularizer {type(unknown[0]).__name__} has no form for several networks" if unknown else ""


def require_rows_apart(member: Member) -> None:
    """Raises `ModelError` where left-out rows would enter by the statistics of a batch."""
    for name, module in member.network.named_modules():
        own = isinstance(module, _NormBase) and not isinstance(module, _InstanceNorm)
        if member.rows is not None and own:
            raise ModelError(
                f"{name or 'The network'} is {type(module).__name__}, which takes its mean over the whole batch: rows "
                "that a fold leaves out would enter by it. Give such members batches of their own (own=True), or "
                "replace it: normalization=tw.normalizations.GroupNorm() or LayerNorm()."
            )


def parts_of(regularizer: Regularizer | None) -> tuple[Regularizer, ...]:
    """The single regularizers, in the order in which they act."""
    if isinstance(regularizer, Several):
        return tuple(part for inner in regularizer.parts for part in parts_of(inner))
    return () if regularizer is None else (regularizer,)


def numbers_of(part: Any) -> dict[str, float | tuple[float, ...]]:
    """The fields of an optimizer or regularizer in which members may differ."""
    found: dict[str, float | tuple[float, ...]] = {}
    for each in fields(part):
        value = getattr(part, each.name)
        is_number = isinstance(each.default, float) or each.name == "lr"
        is_tuple = isinstance(each.default, tuple) and each.default and isinstance(each.default[0], float)
        if (is_number or is_tuple) and each.name not in FIXED and value != "auto":
            found[each.name] = tuple(map(float, value)) if is_tuple else float(value)
    return found


def options(part: Any) -> tuple[tuple[str, Any], ...]:
    """The fields in which they may not."""
    numbers = numbers_of(part)
    return tuple((each.name, getattr(part, each.name)) for each in fields(part) if each.name not in (*numbers, "lr"))


def architecture(network: nn.Module) -> Hashable:
    """What two networks must share for the program of one to be the other's.

    Types and names of modules, their plain settings, names, shapes and dtypes of parameters and buffers, which of them
    are tied or frozen.
    """
    modules = tuple((name, type(module), settings(module)) for name, module in network.named_modules())
    first: dict[int, str] = {}
    parameters = tuple(
        (name, first.setdefault(id(p), name), p.shape, p.dtype, p.requires_grad)
        for name, p in network.named_parameters(remove_duplicate=False)
    )
    buffers = tuple((name, b.shape, b.dtype) for name, b in network.named_buffers())
    return modules, parameters, buffers


def settings(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    """The plain attributes of a module, but for rates of dropout."""
    plain = (bool, int, float, str, type(None), tuple)
    found: list[tuple[str, Any]] = []
    for name, value in sorted(vars(module).items()):
        if name.startswith("_"):
            continue
        if name in RATES_OF_DROPOUT and isinstance(value, float | int):
            # Attention and recurrent layers draw only where they drop, so that this decides the number of draws.
            found += [] if name == "p" else [(name, value > 0)]
        elif isinstance(value, plain) and name != "training":
            found.append((name, repr(value)))
        elif callable(value) and not isinstance(value, nn.Module):
            found.append((name, str(getattr(value, "__qualname__", type(value).__qualname__))))
    return tuple(found)
