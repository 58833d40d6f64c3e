"""What a run hands over: preprocessing, network and the target's unit, as one module."""

from typing import Any

from torch import Tensor, nn

from thalweg.data.rows import Inputs, call


class Model(nn.Module):
    """The network between its preprocessing and the target's unit: raw inputs in, outputs in the user's unit out.

    Args:
        network: the trained network.
        preprocessing: raw inputs -> what the network takes; None passes them on.
        target_scaling: scaled target -> the user's unit by its `inverse`; None passes on.
    """

    def __init__(
        self, network: nn.Module, preprocessing: nn.Module | None = None, target_scaling: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.preprocessing, self.network, self.target_scaling = preprocessing, network, target_scaling

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        given: Inputs = named or (inputs[0] if len(inputs) == 1 else inputs)
        prepared = given if self.preprocessing is None else self.preprocessing(given)
        output = call(self.network, prepared)
        return output if self.target_scaling is None else self.target_scaling.inverse(output)  # type: ignore[operator]
