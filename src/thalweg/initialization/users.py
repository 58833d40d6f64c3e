"""The weights of a network and the layers that use them, in the order of the forward pass."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from thalweg.measure.following import Course, Follower
from thalweg.measure.weights import Weight, weights_of
from thalweg.parts.initializers.gain import gain_before


@dataclass(frozen=True)
class User:
    """A layer and one of its weights."""

    place: str
    module: nn.Module
    weight: Weight
    follower: Follower | None

    @property
    def name(self) -> str:
        return f"{self.place}.{self.weight.name}" if self.place else self.weight.name

    @property
    def gain(self) -> float:
        """For what comes next: of an activation, so that its outputs have mean square 1; else 1."""
        if self.weight.inside or self.follower is None or self.follower.kind != "activation":
            return 1.0
        return gain_before(self.follower.function)

    @property
    def followed(self) -> str:
        if self.weight.inside:
            return "inside the layer"
        return str(self.follower) if self.follower is not None else ""


def users_of(network: nn.Module, course: Course) -> Iterator[User]:
    """Every weight with its layer, in the order of the forward pass; layers that did not run come last."""
    modules = dict(network.named_modules())
    inner = {id(m.out_proj) for m in modules.values() if isinstance(m, nn.MultiheadAttention)}
    for place in dict.fromkeys([*course.order, *modules]):
        module = modules[place]
        if id(module) in inner:
            continue  # comes with its attention, which does not call it as a module
        found = [course.weights[place]] if place in course.weights else weights_of(module, course.terms.get(place))
        for weight in found:
            yield User(place, module, weight, course.follower(place))
        if isinstance(module, nn.MultiheadAttention):
            projection = f"{place}.out_proj" if place else "out_proj"
            yield User(projection, module.out_proj, weights_of(module.out_proj)[0], course.follower(place))
