"""Schedule-free learning: an average of the weights takes the place of a falling rate (L25, L27)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from thalweg.errors import UsageError
from thalweg.parts.optimizers.foreign import Foreign
from thalweg.parts.optimizers.optimizer import in_range

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class ScheduleFree(Foreign):
    """Gradients are taken between the weights that a base optimizer moves and their average, which is the result (L25).

    With z moved by the base, x the average, and y where the gradient is taken, interpolation β:

        y_t = (1 − β) z_t + β x_t
        z_{t+1} = z_t − η · base(∇L(y_t))
        x_{t+1} = (1 − c_t) x_t + c_t z_{t+1},    c_t = η_t^p (t + 1)^r / Σ

    The rate stays constant after its warm-up, and the training need not know its end. In a training the network holds
    y; it is validated, saved as best and kept with x, in a copy whose batch norms are measured anew on training
    batches, so that the training goes on bit by bit as if nobody had looked.

    Args:
        base: `"adamw"`, or `"sgd"` without momentum of its own.
        lr: learning rate η, above 0; `"auto"` lets a race decide. One to ten times that of AdamW with a schedule, ten
            to fifty times that of SGD.
        weight_decay: λ, at least 0; it acts at y.
        warmup_steps: steps in which the rate rises from 0. Or let the schedule do it: `tw.schedules.Warmup()`, which is
            the automatic choice; the average then weighs the first weights less in the same way.
        beta: β, above 0 and below 1: β₁ of AdamW, the momentum of SGD. 0.9 as in the library; 0.95 to 0.98 for long
            trainings.
        beta2: β₂ of AdamW, from 0 to below 1.
        eps: ε of AdamW, at least 0.
        r: power r of the step in the average's weights, at least 0.
        weight_lr_power: p, at least 0.

    Raises:
        UsageError: for a value out of range; when it is built without the package `schedulefree`.

    >>> ScheduleFree(base="sgd", lr=1.0).beta
    0.9

    Source: Defazio et al. 2024, "The Road Less Scheduled", and its library `schedulefree`, which computes it:
    `pip install 'thalweg[schedulefree]'`. torch has none; in a loop of your own call `train()` and `eval()` of what
    `build` gives.
    """

    base: Literal["adamw", "sgd"] = "adamw"
    warmup_steps: int = 0
    beta: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    r: float = 0.0
    weight_lr_power: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("base", self.base in ("adamw", "sgd"), "'adamw' or 'sgd'")
        whole = isinstance(self.warmup_steps, int) and in_range(self.warmup_steps, 0)
        self._check("warmup_steps", whole, "an integer of at least 0")
        self._check("beta", in_range(self.beta, 0, 1) and self.beta > 0, "a number above 0 and below 1")
        self._check("beta2", in_range(self.beta2, 0, 1), "a number from 0 to below 1")
        for name in ("eps", "r", "weight_lr_power"):
            self._check(name, in_range(getattr(self, name), 0), "a number of at least 0")

    @property
    def usual_rates(self) -> tuple[float, float]:
        return (1e-2, 10.0) if self.base == "sgd" else (1e-4, 1e-1)

    def build(self, params: Iterable[Any]) -> "torch.optim.Optimizer":
        try:
            import schedulefree
        except ImportError as error:
            raise UsageError(
                "ScheduleFree needs the package schedulefree, which is not installed: "
                "pip install 'thalweg[schedulefree]'."
            ) from error
        common: dict[str, Any] = {
            "lr": self._values(None)["lr"],
            "weight_decay": self.weight_decay,
            "warmup_steps": self.warmup_steps,
            "r": self.r,
            "weight_lr_power": self.weight_lr_power,
        }
        built: torch.optim.Optimizer
        if self.base == "sgd":
            built = schedulefree.SGDScheduleFree(params, momentum=self.beta, **common)
        else:
            betas = (self.beta, self.beta2)
            built = schedulefree.AdamWScheduleFree(params, betas=betas, eps=self.eps, **common)
        return built
