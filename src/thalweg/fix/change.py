"""A change of a training: of its plan, of its network before the first step, of its loss, of the weight of its classes.

What is tried is what is accepted: an experiment with changes carried out is an ordinary experiment, whose trainings
start from a network that was changed after it was built.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thalweg.build import ModelSource, Spec, made_by, name_of, takes_activation, uncompiled
from thalweg.data.noise import global_rng_kept
from thalweg.data.prepare import Prepared
from thalweg.data.rows import AnyRows, Inputs, Rows, call
from thalweg.data.weights import class_weight_values
from thalweg.parts.activations import Activation
from thalweg.plan import Plan
from thalweg.train.clone import clone
from thalweg.train.evaluation import evaluating
from thalweg.train.kept import KeptModule, keep
from thalweg.train.losses import find_loss, weighted_loss

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

ROWS = 64  # that show the network to a change
NetworkChange = Callable[[nn.Module, Inputs], nn.Module | None]


@dataclass(frozen=True)
class Change:
    """One remedy, ready to be carried out.

    Args:
        name: `"leaky_relu"`.
        text: what it does, in a line: "leaky ReLU between the layers".
        plan: fields and their new values: `{"optimizer.lr": 0.01}`.
        network: of a network before its first step and a few rows as they enter it; returns a changed clone, None where
            there is nothing to change.
        part: of the network that it changes: "activation", "norm", "layers" or "head"; two of one part do not join.
        loss: name of the loss that takes the place of the experiment's.
        balanced: whether classes weigh alike in the loss, however many rows they have.
        lines: the same by hand, as code; empty where the plan's fields say it all.
        causes: words of the vocabulary that it mends.
        suspicion: how much speaks for it: the order in which changes are tried.
    """

    name: str
    text: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    network: NetworkChange | None = None
    part: str = ""
    loss: str | None = None
    balanced: bool = False
    lines: str = ""
    causes: tuple[str, ...] = ()
    suspicion: float = 1.0

    def joins(self, other: "Change") -> bool:
        """Whether both can be made at once: of different parts of the network and different fields of the plan."""
        fields, others = set(self.plan), set(other.plan)
        # A field set as a whole leaves no room for one of its own: optimizer beside optimizer.lr.
        within = {name.partition(".")[0] for name in fields} & others | fields & {n.partition(".")[0] for n in others}
        return not (fields & others or within or (self.part and self.part == other.part))

    @property
    def beyond_plan(self) -> bool:
        """Whether it changes more than the plan: the experiment has to be changed, too."""
        return self.network is not None or self.loss is not None or self.balanced


def joined(first: Change, second: Change) -> Change:
    """Both as one, for faults that hide each other: neither remedy gains anything alone.

    >>> both = joined(Change("a", "this", {"epochs": 3}), Change("b", "that", {"batch_size": 8}))
    >>> both.name, both.text, both.plan
    ('a+b', 'this; that', {'epochs': 3, 'batch_size': 8})
    """
    changes = [each.network for each in (first, second) if each.network is not None]

    def network(given: nn.Module, sample: Inputs) -> nn.Module | None:
        found = None
        for change in changes:
            found = change(given if found is None else found, sample) or found
        return found

    return replace(
        first,
        name=f"{first.name}+{second.name}",
        text=f"{first.text}; {second.text}",
        plan={**first.plan, **second.plan},
        network=network if changes else None,
        part=first.part or second.part,
        loss=first.loss or second.loss,
        balanced=first.balanced or second.balanced,
        lines="; ".join(filter(None, (first.lines, second.lines))),
        causes=tuple(dict.fromkeys((*first.causes, *second.causes))),
    )


def carried_out(
    experiment: "Experiment", plan: Plan, changes: Sequence[Change], sample: Inputs
) -> "tuple[Experiment, Plan]":
    """The experiment and the plan with all the changes; the ones given stay as they are.

    Args:
        experiment: any.
        plan: of the training to come.
        changes: made in their order.
        sample: a few rows as they enter the network, which show it to changes of networks.
    """
    changed = copy.copy(experiment)
    changed.changes = (*experiment.changes, *(change.text for change in changes if change.beyond_plan))
    networks = [change.network for change in changes if change.network is not None]
    if networks:
        changed.model = changed_model(experiment.model, networks, sample)
    for change in changes:
        plan = plan.replace(**change.plan)
        if change.loss is not None:
            changed.loss, changed.loss_name = find_loss(change.loss, None, weighted=False)
        if change.balanced:
            changed.data = balanced_classes(changed.data)
    if changed.data.train.weights is not None and any(c.loss is not None or c.balanced for c in changes):
        changed.loss = weighted_loss(changed.loss, changed.loss_name, changed.data.label_weights)
    return changed, plan


def may_balance(experiment: "Experiment") -> bool:
    """Whether its classes can be weighed: one class per row in memory, and a loss by name, which takes weights."""
    data = experiment.data
    return (
        experiment.loss_name in ("cross_entropy", "nll", "binary_cross_entropy")
        and data.task.kind in ("binary", "multiclass")
        and all(isinstance(rows, Rows) and rows.weights is None for rows in (data.train, data.validation))
    )


def balanced_classes(data: Prepared) -> Prepared:
    """The data with rows that weigh N / (K n_k), as `class_weights="balanced"` makes them."""
    codes = data.train.target.reshape(-1).long()
    weights = class_weight_values("balanced", data.task, codes.bincount().tolist(), len(codes)).float()

    def weighed(rows: AnyRows) -> Rows:
        assert isinstance(rows, Rows)
        return replace(rows, weights=weights[rows.target.reshape(-1).long()])

    return replace(data, train=weighed(data.train), validation=weighed(data.validation))


def changed_model(source: ModelSource, changes: Sequence[NetworkChange], sample: Inputs) -> ModelSource:
    """A copy of the module with the changes, or a builder of networks that have them."""
    if isinstance(source, nn.Module | KeptModule):
        network = source.copy() if isinstance(source, KeptModule) else clone(uncompiled(source))
        return keep(changed_network(network, changes, sample))
    if takes_activation(source):

        def build_with_activation(spec: Spec, activation: Activation | None = None) -> nn.Module:
            return built(source, spec, activation, changes, sample)

        build: Callable[..., nn.Module] = build_with_activation
    else:

        def build_plainly(spec: Spec) -> nn.Module:
            return built(source, spec, None, changes, sample)

        build = build_plainly
    build.__name__ = build.__qualname__ = name_of(source)
    return build


def built(
    source: Callable[..., nn.Module],
    spec: Spec,
    activation: Activation | None,
    changes: Sequence[NetworkChange],
    sample: Inputs,
) -> nn.Module:
    """What the builder makes, changed. The caller has seeded the generators."""
    return changed_network(uncompiled(made_by(source, spec, activation)), changes, sample)


def changed_network(network: nn.Module, changes: Sequence[NetworkChange], sample: Inputs) -> nn.Module:
    """The network with the changes that apply; lazy layers are made first."""
    with evaluating(network), torch.no_grad():
        call(network, sample)
    for change in changes:
        with global_rng_kept():
            network = change(network, sample) or network
    return network


def applies(change: Change, network: nn.Module, sample: Inputs) -> bool:
    """Whether there is something to change in such a network."""
    if change.network is None:
        return True
    with global_rng_kept():
        return change.network(network, sample) is not None
