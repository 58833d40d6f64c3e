"""Forget bias: an LSTM begins by remembering."""

from dataclasses import dataclass

from thalweg.parts.activations.activation import is_finite
from thalweg.parts.initializers.initializer import Initializer, Wrapper
from thalweg.parts.initializers.xavier import Xavier


@dataclass(frozen=True, kw_only=True)
class ForgetBias(Wrapper):
    """Draws by another initializer, and sets the bias of every LSTM's forget gates.

        f = σ(W x + U h + b),    b = value:    σ(1) = 0.73 of the cell stays per step, against 0.5 at 0

    torch's LSTM adds two biases; the one of the inputs gets the value, the other 0.

    Args:
        then: the initializer that draws everything else.
        value: the bias, any finite number. 1 is the source's.

    Raises:
        UsageError: for a value that is not finite, or no initializer.

    >>> ForgetBias(value=2.0).value
    2.0

    Source: Jozefowicz, Zaremba, Sutskever 2015, "An empirical exploration of recurrent network architectures"; Gers et
    al. 2000. Keras has it as `unit_forget_bias=True`, its default; torch has none.
    """

    then: Initializer = Xavier()  # noqa: RUF009  (frozen)
    value: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("value", is_finite(self.value), "a finite number; 1 is usual")
