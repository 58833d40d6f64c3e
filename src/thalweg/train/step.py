"""One optimizer step: forward, backward, clip, update.

The update goes through the optimizer's fused kernel on lists of tensors. With the gradients collected straight from
`backward` this is as fast as flat parameter buffers (both 2.3 times the tutorial loop on a small MLP): there are none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from thalweg.data.noise import seed_noise
from thalweg.data.rows import call
from thalweg.errors import ModelError
from thalweg.parts.optimizers import Optimizer
from thalweg.parts.regularizers import Regularizer
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.train.clipping import Clipping
from thalweg.train.groups import ForeignGroup, Gradients, Group, groups_of
from thalweg.train.losses import LossFunction, items_of
from thalweg.train.precision import LossScale, autocast
from thalweg.train.recompute import blocks_of, recomputing
from thalweg.train.smoothing import smoothed_loss

Window = Sequence[tuple[Any, ...]]  # the batches of one update: (inputs, target), or with the rows' weights as a third


@dataclass
class Regularized:
    """Parameters that a regularizer acts on, their gradients, and which are weights of transposed convolutions."""

    gradients: list[Tensor]
    parameters: list[Tensor]
    transposed: list[int]  # of each its groups, else 0; empty where none is


def undecayed(network: nn.Module) -> set[int]:
    """Ids of the parameters that weight decay leaves alone (L29): biases, norms' scales, embeddings."""
    ids = {id(p) for p in network.parameters() if p.dim() <= 1}
    embeddings = (m for m in network.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag))
    return ids | {id(m.weight) for m in embeddings}


class Step:
    """Trains `network` in place, one step per call.

    Args:
        network: the copy to train; its mode is the caller's.
        loss: `(output, target) -> scalar`.
        optimizer: hyper-parameters; the rate is given with each call.
        clipping: of the gradients, before the update.
        precision: of the forward pass: "float32", "bf16" or "fp16".
        gradient_checkpointing: whether activations inside repeated blocks are computed again instead of kept.
        regularizer: what is added to the gradients of the weights before they are clipped, or limits the weights.
        decay_all: whether weight decay and the regularizer also act on biases, norms and embeddings.
        seed: the noise of step t is f(seed, t).

    Raises:
        ModelError: when nothing is trainable.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: LossFunction,
        optimizer: Optimizer,
        *,
        clipping: Clipping = Clipping(),  # noqa: B008
        precision: str = "float32",
        gradient_checkpointing: bool = False,
        regularizer: Regularizer | None = None,
        decay_all: bool = False,
        seed: int = 0,
    ) -> None:
        self.network, self.loss, self.clipping, self.precision, self.seed = network, loss, clipping, precision, seed
        self.regularizer = regularizer
        self.blocks = blocks_of(network) if gradient_checkpointing else []
        trainable = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
        if not trainable:
            raise ModelError(
                f"{type(network).__name__} has no trainable parameter ({len(list(network.parameters()))} in all): "
                "set requires_grad on those to train, and keep layers as attributes or in nn.ModuleList, not in a list."
            )
        self.names = [name for name, _ in trainable]
        self.parameters = [p for _, p in trainable]
        for p in self.parameters:
            p.grad = None  # a copy of the user's module may bring gradients along
        self.device = self.parameters[0].device
        self.loss_scale = LossScale(self.device) if precision == "fp16" else None
        self.overflowed = False  # whether the gradients at hand are of no use, which only float16 knows
        self.plain = precision == "float32" and not self.blocks
        decays = optimizer.weight_decay or regularizer is not None
        spared = undecayed(network) if decays and not decay_all else set()
        self.groups = groups_of(optimizer, network, dict(trainable), spared)
        groups = {id(m.weight): m.groups for m in network.modules() if isinstance(m, _ConvTransposeNd)}
        self.transposed = {i: groups[id(p)] for i, p in enumerate(self.parameters) if id(p) in groups}

    def loss_and_gradients(self, window: Window, *, step: int) -> tuple[Tensor, Gradients]:
        """The detached loss of the window's batches, and the gradient per parameter, whose memory is the caller's.

        Of several batches it is the mean over all their items, whatever their sizes. The gradient is None for a
        parameter that the loss does not reach.
        """
        seed_noise(self.seed, step)
        if len(window) == 1:
            loss = self._backward(window[0])
        else:
            items = [items_of(batch) for batch in window]
            total = sum(items)
            if isinstance(total, Tensor):
                total = total.where(total > 0, 1)  # where nothing counts the losses are 0
            loss = torch.stack([self._backward(b, (n, total)) for b, n in zip(window, items, strict=True)]).sum()
        gradients: Gradients = [p.grad for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        if self.loss_scale is not None:
            self.overflowed = not self.loss_scale.divide([g for g in gradients if g is not None])
        return loss, gradients

    def _backward(self, batch: tuple[Any, ...], share: tuple[Any, Any] | None = None) -> Tensor:
        """Adds the gradient of the batch's loss, or of n / total of it, to `p.grad`; returns it, detached."""
        inputs, *target = batch
        if self.plain:
            loss = self.loss(call(self.network, inputs), *target)
        else:
            with autocast(self.precision, self.device), recomputing(self.blocks):
                loss = self.loss(call(self.network, inputs), *target)
        if share is not None:
            loss = loss * share[0] / share[1]  # in the loss's own precision, which a share by itself would not have
        scaled = loss if self.loss_scale is None else loss * self.loss_scale.scale
        scaled.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def apply(self, gradients: Gradients, *, rate: float, momentum: float | None = None) -> None:
        """Regularizes and clips the gradients and updates the parameters; one without gradient stays as it is."""
        if self.overflowed:
            return
        regularizer = self.regularizer or Regularizer()
        with torch.no_grad():
            regularized = self.regularized(gradients)
            for part in regularized:
                regularizer.add_(part.gradients, part.parameters)
            self.clipping(gradients, self.parameters)
            for part in regularized:
                regularizer.decay_(part.parameters, rate=rate)
            for group in self.groups:
                group.apply(gradients, rate=rate, momentum=momentum)
            for part in regularized:
                regularizer.constrain_(part.parameters, rate=rate, transposed=part.transposed)

    def regularized(self, gradients: Gradients) -> list[Regularized]:
        """What the regularizer acts on: the parameters that are not spared and have a gradient, group by group."""
        found: list[Regularized] = []
        if self.regularizer is None:
            return found
        for group in self.groups:
            present = [] if group.spared else [k for k, i in enumerate(group.positions) if gradients[i] is not None]
            if present:
                own = [gradients[group.positions[k]] for k in present]
                parameters = [group.parameters[k] for k in present]
                found.append(Regularized(own, parameters, self._transposed(group, present)))  # type: ignore[arg-type]
        return found

    def _transposed(self, group: Group, present: list[int]) -> list[int]:
        return [self.transposed.get(group.positions[k], 0) for k in present] if self.transposed else []

    def penalty(self, step: int) -> list[Reading]:
        """`regularizer.penalty` at the weights as they are; none without a regularizer."""
        if self.regularizer is None:
            return []
        values = [float(self.regularizer.penalty(g.parameters)) for g in self.groups if not g.spared]  # synchronizes
        return [Reading("regularizer.penalty", sum(values), step=step)]

    def __call__(self, window: Window, *, step: int, rate: float, momentum: float | None = None) -> Tensor:
        """One whole step; returns the loss before the update, detached. Does not synchronize, except under fp16.

        Args:
            window: the batches of the update.
            step: updates made before this one; decides the noise.
            rate: learning rate.
            momentum: where the schedule cycles it; None leaves the optimizer's own.
        """
        loss, gradients = self.loss_and_gradients(window, step=step)
        self.apply(gradients, rate=rate, momentum=momentum)
        return loss

    def state_dict(self) -> dict[str, Tensor]:
        """The optimizer's live state, a tensor per slot and parameter (`exp_avg.0.weight`); copy into it to restore."""
        scale = {} if self.loss_scale is None else self.loss_scale.state_dict()
        for group in self.groups:
            scale |= group.state_dict(self.names)
        return scale

    def load(self, entries: Mapping[str, Tensor]) -> None:
        """Makes room for a saved `state_dict`, whose entries an optimizer of torch's makes as it goes."""
        for group in self.groups:
            group.load(entries)

    def evaluation_weights(self) -> dict[str, Tensor]:
        """Copies of the weights that the optimizer is evaluated by, by name; empty where these are the network's."""
        found: dict[str, Tensor] = {}
        for group in self.groups:
            if isinstance(group, ForeignGroup) and group.is_last:
                found |= group.foreign.evaluation_weights()
        return found


def stepper_of(plan: Plan, network: nn.Module, loss: LossFunction) -> Step:
    """The step that a resolved plan asks for; `loss` is that of the labels as they are."""
    assert plan.optimizer != "auto"
    assert isinstance(plan.seed, int)
    return Step(
        network,
        smoothed_loss(loss, plan.label_smoothing),
        plan.optimizer,
        clipping=clipping_of(plan),
        precision=plan.precision,
        gradient_checkpointing=plan.gradient_checkpointing,
        regularizer=plan.regularizer,
        decay_all=plan.decay_all,
        seed=plan.seed,
    )


def clipping_of(plan: Plan) -> Clipping:
    """What a resolved plan clips."""
    assert plan.clip_norm != "auto"
    return Clipping(plan.clip_norm, plan.clip_value, plan.clip_adaptive)
