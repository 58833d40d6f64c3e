"""What a network does in evaluation mode: whether its answers are repeated, and are those of each row alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from thalweg.data.noise import seed_noise
from thalweg.data.rows import Batch, Inputs, call, num_rows, take
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading

DROPOUTS = frozenset(
    (
        *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout),
        *(torch.dropout, torch.alpha_dropout, torch.feature_dropout, torch.feature_alpha_dropout),
    )
)
TINY = 1e-12


class Quiet(TorchFunctionMode):
    """Within it every dropout passes on what it gets, whatever it was told about training."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function in DROPOUTS:
            return args[0] if args else (kwargs or {})["input"]
        return function(*args, **(kwargs or {}))


def differ(ones: object, others: object) -> float:
    """The root mean square difference of two outputs relative to the deviation between the rows of the first."""
    found = 0.0
    for one, other in zip(tensors_in(ones), tensors_in(others), strict=True):
        if not one.is_floating_point() or not one.numel() or one.shape != other.shape:
            continue
        one, other = one.double(), other.double()
        spread = float((one - one.mean(0)).square().mean().sqrt())
        gap = float((one - other).square().mean().sqrt())
        size = max(spread, 1e-3 * float(one.abs().max()), TINY)
        found = max(found, gap / size)
    return found


def evaluation_noise(network: nn.Module, inputs: Inputs, *, seed: int = 0) -> Reading:
    """`mode.noise`: how far two passes in evaluation mode differ under other noise, relative to the rows' deviation.

    Its place is the first layer whose own output differs, where one does; its note is `"dropout"` where the difference
    is gone once every dropout is left out.

    Args:
        network: any module; nothing of it changes.
        inputs: a few rows.
        seed: of the noise.

    >>> evaluation_noise(nn.Dropout(0.5), torch.ones(4, 3)).value
    0.0
    >>> class Wrong(nn.Module):
    ...     def forward(self, x):
    ...         return F.dropout(x, 0.5)  # without training=self.training
    >>> evaluation_noise(Wrong(), torch.ones(64, 3)).note
    'dropout'
    """
    passes: list[list[tuple[str, list[Tensor]]]] = []

    def run(step: int) -> object:
        seen: list[tuple[str, list[Tensor]]] = []
        handles = [
            module.register_forward_hook(
                lambda _module, _given, output, place=place: seen.append(
                    (place, [t.clone() for t in tensors_in(output)])
                )
            )
            for place, module in network.named_modules()
            if place and not any(True for _ in module.children())
        ]
        try:
            seed_noise(seed, step)
            return call(network, inputs)
        finally:
            passes.append(seen)
            for handle in handles:
                handle.remove()

    with untouched(network), torch.no_grad():
        noise = differ(run(0), run(1))
        place, note = "", ""
        if noise > 0:
            pairs = zip(*passes, strict=False)
            place = next((a[0] for a, b in pairs if a[0] == b[0] and differ(a[1], b[1]) > 0), "")
            with Quiet():
                note = "dropout" if differ(run(0), run(1)) < noise / 2 else ""
    return Reading("mode.noise", noise, place, note=note, count=num_rows(inputs))


def mixing(network: nn.Module, inputs: Inputs, *, seed: int = 0) -> Reading | None:
    """`mode.mixing`: how far a row's outputs in evaluation mode change when the other half of the batch is replaced.

    Relative to the deviation between rows; rounding gives 1e-5 or less. None where rows cannot be taken out, or the
    outputs have no row per input.

    Args:
        network: any module whose answers in evaluation mode are repeated; nothing of it changes.
        inputs: at least 4 rows.
        seed: of the noise, the same in both passes.

    >>> rows = torch.arange(16.0).reshape(8, 2)
    >>> mixing(nn.Softmax(dim=1), rows).value < 1e-5 < mixing(nn.Softmax(dim=0), rows).value
    True
    """
    count = num_rows(inputs)
    if isinstance(inputs, Batch) or count < 4:
        return None
    half = count // 2
    first, last = torch.arange(half), torch.arange(half, 2 * half)
    found = []
    with untouched(network), torch.no_grad():
        # Both ways: what runs along the rows may carry something forward only.
        for kept, rest in ((first, last), (last, first)):
            results = []
            for others in (rest, rest.flip(0)[:1].expand(half)):
                seed_noise(seed, 0)
                order = [kept, others] if kept is first else [others, kept]
                output = call(network, take(inputs, torch.cat(order)))
                if not isinstance(output, Tensor) or len(output) != 2 * half:
                    return None
                results.append(output[:half] if kept is first else output[half:])
            found.append(differ(*results))
    return Reading("mode.mixing", max(found), count=half)
