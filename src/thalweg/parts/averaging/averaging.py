"""What every average of the weights is: how much of the newest weights enters it after an update."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Averaging(ABC):
    """average ← average + share · (weights − average) after each update. The share is all there is to a kind of it.

    Batch norm's running estimates belong to other weights than the average: they are measured anew (L16).
    """

    @abstractmethod
    def share(self, update: int, num_steps: int) -> float:
        """How much of the newest weights enters the average.

        Args:
            update: number of updates made, this one included, from 1 to `num_steps`.
            num_steps: updates in the whole training.

        Returns:
            From 0, nothing, to 1, the average becomes the newest weights.
        """
