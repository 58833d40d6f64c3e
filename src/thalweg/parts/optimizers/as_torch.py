"""A rule as a `torch.optim.Optimizer`, where torch has none of that name: groups, `state_dict` and all."""

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from thalweg.parts.optimizers.optimizer import Optimizer, zero_steps


class RuleOptimizer(torch.optim.Optimizer):
    """Steps parameters by the rules of parts. A group may name its part as `"rule"`; the others take the first.

    Args:
        params: parameters, named parameters or groups of them, as torch takes them.
        rules: the parts; the fields of the first are the defaults of a group, whose own values replace them.

    >>> from thalweg.parts.optimizers import Lion
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = RuleOptimizer([weight], Lion(lr=0.5))
    >>> weight.grad = torch.tensor([3.0, -1.0])
    >>> optimizer.step()
    >>> weight.tolist(), list(optimizer.state[weight])
    ([-0.5, 0.5], ['exp_avg'])
    """

    def __init__(self, params: Iterable[Any], *rules: Optimizer) -> None:
        self.rules = {type(rule).__name__: rule for rule in rules}
        super().__init__(params, group_of(rules[0]))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all parameters that have a gradient; `closure` computes the loss again, as in torch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        part = self.rules[group["rule"]]
        own = {field.name: group[field.name] for field in fields(part) if field.name != "lr"}
        rule = replace(part, **own)
        members: list[Tensor] = [p for p in group["params"] if p.grad is not None]
        if not members:
            return
        for parameter in members:
            if not self.state[parameter]:
                self.state[parameter].update(rule.start(parameter))
                if "step" in rule.slots:
                    self.state[parameter]["step"] = zero_steps([parameter], on_cpu=True)[0]
        state = {name: [self.state[p][name] for p in members] for name in rule.slots}
        gradients = [p.grad for p in members if p.grad is not None]
        rule.apply_(list(members), gradients, state, lr=float(group["lr"]))


def group_of(rule: Optimizer) -> dict[str, Any]:
    """What a parameter group holds of a part."""
    return {field.name: getattr(rule, field.name) for field in fields(rule)} | {"rule": type(rule).__name__}
