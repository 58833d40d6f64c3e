"""Zero residual: every residual branch begins as nothing, so that a block begins as the identity."""

from dataclasses import dataclass

from thalweg.parts.initializers.he import He
from thalweg.parts.initializers.initializer import Initializer, Wrapper


@dataclass(frozen=True, kw_only=True)
class ZeroResidual(Wrapper):
    """Draws by another initializer, then makes the last layer of every residual branch zero.

        x + f(x),    f(x) = 0 at the start

    Where the branch ends with a normalization, its scale becomes 0, else the weights of its last layer. Branches are
    found by `tw.initialize` in the graph: of operands that are added, the one that another one was computed from is the
    shortcut; so is one with at most one layer (a projection) beside a branch with several from the same fork. A branch
    that ends with an activation is left as it is, since the gradient of a ReLU at 0 is 0, and said.

    Args:
        then: the initializer that draws everything else.

    Raises:
        UsageError: for anything but an initializer.

    >>> ZeroResidual(then=He(mode="fan_out"))
    ZeroResidual(then=He(distribution='normal', mode='fan_out'))

    Source: Goyal et al. 2017, "Accurate, large minibatch SGD"; without normalization Zhang, Dauphin, Ma 2019, "Fixup".
    torchvision's ResNets have it as `zero_init_residual=True`; torch itself has none.
    """

    then: Initializer = He()  # noqa: RUF009  (frozen)
