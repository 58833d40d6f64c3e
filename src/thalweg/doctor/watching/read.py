"""The loss of one watched step, with the batch it was computed of; or the reason why it is not known."""

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs
from thalweg.doctor.watching.own_loss import OwnLoss, computes_loss, own_loss
from thalweg.doctor.watching.rows import inputs_of
from thalweg.doctor.watching.sample import Pass
from thalweg.measure.tape import Link, Noted, Reader, TapedLoss, UnreadableLossError, loss_in


class Loss:
    """A loss that was read.

    Args:
        inputs: of the network.
        target: of the batch.
        function: `(output, target) -> scalar`.
        alternative: what the loop might report, where it descends another sign of the loss.
    """

    def __init__(
        self, inputs: Inputs, target: Tensor, function: TapedLoss | OwnLoss, alternative: TapedLoss | None = None
    ) -> None:
        self.inputs, self.target, self.function, self.alternative = inputs, target, function, alternative


def read_loss(
    network: nn.Module,
    seen: Pass,
    notes: list[Noted],
    links: list[Link],
    *,
    autocast: tuple[str, torch.dtype] | None,
    repeat: bool,
) -> Loss | str:
    """The loss behind what `backward` is called on.

    Args:
        network: that was called.
        seen: the call.
        notes: of the tape since then.
        links: from what `backward` is called on down to the loss.
        autocast: of the tape.
        repeat: whether to compute it again and compare.
    """
    if computes_loss(seen.output) and any(link.tensor is seen.output["loss"] for link in links):
        found = own_loss(network, seen.args, seen.kwargs, seen.output)
        return found if isinstance(found, str) else Loss(found.inputs, found.target, found.loss)
    inputs = inputs_of(network, seen.args, seen.kwargs)
    if inputs is None:
        return "the network is called with arguments that are no tensors of rows"
    if not isinstance(seen.output, Tensor) or not seen.output.dim():
        return f"the network returns {type(seen.output).__name__}, not one tensor"
    core, reader = loss_in(links), Reader(notes, seen.output, len(seen.output))
    try:
        loss, target = reader.read(core.tensor, autocast)
        if repeat and not loss.repeats(seen.output, target, core.tensor):
            return "called again, the loss gives another value: it keeps a state or draws random numbers"
    except UnreadableLossError as error:
        return f"{error}"
    except Exception as error:  # whatever the loss calls; the loop itself is not concerned
        return f"the calls of the loss cannot be repeated ({type(error).__name__})"
    turned = next((link for link in links if link.factor < 0), None)
    climbs = core.factor > 0 and links[-1].factor < 0 and turned is not None
    return Loss(inputs, target, loss, or_none(reader, turned) if climbs and turned is not None else None)


def or_none(reader: Reader, link: Link) -> TapedLoss | None:
    try:
        return reader.read(link.tensor)[0]
    except UnreadableLossError:
        return None
