import pytest
import torch
from torch import nn

from thalweg.measure.flow import signal_flow
from thalweg.readings import Reading, Readings
from thalweg.rules.init.init03_vanishing import judge


def flow(*spreads):
    return [Reading("flow.spread", value, str(place), count=512) for place, value in enumerate(spreads)]


def twin(name, plain, changed, *, steps=1.0):
    values = {"plain": plain, "changed": changed, "constant": 0.1, "steps": steps}
    found = [Reading(f"twin.{name}.{k}", v, note="accuracy", count=500) for k, v in values.items()]
    change = changed - plain
    return [*found, Reading(f"twin.{name}.difference", change, low=change - 0.03, high=change + 0.03, count=500)]


DEEP = flow(0.3, 0.04, 0.005, 0.0007, 1e-4, 1e-5)
BROKEN = Readings([*DEEP, *twin("let_through", 0.1, 0.7), *twin("rescale", 0.1, 0.12)])
HEALTHY = Readings(flow(0.3, 0.2, 0.15, 0.1))


def test_only_other_activations_help_so_it_is_they():
    (found,) = judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "vanishing")
    assert [rival.cause for rival in found.excluded] == ["chance", "init_scale"]


def test_rescaled_weights_suffice_so_it_is_their_scale():
    (found,) = judge(Readings([*DEEP, *twin("let_through", 0.1, 0.7), *twin("rescale", 0.1, 0.65)]))
    assert (found.standing, found.cause) == ("verified", "init_scale")


def test_before_the_end_it_is_a_suspicion_and_without_harm_a_note():
    (found,) = judge(Readings(DEEP))
    assert found.standing == "suspicion"
    (found,) = judge(Readings([*DEEP, *twin("rescale", 0.7, 0.72)]))
    assert found.severity == "note"


def outcome(score, *, gain=0.6):
    return [
        Reading("outcome.score", score, low=score - 0.03, high=score + 0.03, note="accuracy"),
        Reading("outcome.constant", 0.12),
        Reading("outcome.kept_score", score),
        Reading("reference.score", score + gain),
        Reading("reference.gain", gain, low=gain - 0.04, high=gain + 0.04),
    ]


def test_less_than_floats_keep_and_a_constant_answer_in_the_end_is_proof():
    flat = flow(0.3, 1e-3, 1e-6, 1e-9)
    (found,) = judge(Readings([*flat, *outcome(0.1)]))
    assert (found.severity, found.standing, found.cause) == ("warning", "proven", "vanishing")
    for other in (outcome(0.4), outcome(0.1, gain=0.03), [*outcome(0.1), Reading("outcome.kept_score", 0.4)]):
        (found,) = judge(Readings([*flat, *other]))
        assert found.standing == "suspicion"
    (found,) = judge(Readings([*DEEP, *outcome(0.1)]))  # 3e-5: a float can tell the rows apart
    assert found.standing == "suspicion"


def test_nothing_at_all_is_told_by_other_rules():
    assert judge(Readings(flow(0.3, 0.1, 0.0))) == []


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 32))

    def forward(self, x):
        return x + self.body(x)


def stack(activation, depth=8):
    return nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(32, 32), activation())), nn.Linear(32, 3))


@pytest.mark.parametrize(
    ("build", "faulty"),
    [
        (lambda: stack(nn.Sigmoid), True),
        (lambda: stack(nn.Sigmoid, depth=2), False),
        (lambda: stack(nn.SELU, depth=19), False),
        (lambda: nn.Sequential(*(Block() for _ in range(12)), nn.Linear(32, 3)), False),
    ],
)
def test_a_stack_of_sigmoids_is_found_and_deep_networks_that_pass_the_signal_are_not(build, faulty):
    torch.manual_seed(0)
    network = build()
    if not faulty:
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
    assert bool(judge(Readings(signal_flow(network, torch.randn(256, 32))))) is faulty


def test_weights_that_mend_far_less_than_other_activations_are_not_the_cause():
    (found,) = judge(Readings([*DEEP, *twin("let_through", 0.1, 0.9), *twin("rescale", 0.1, 0.36)]))
    assert (found.standing, found.cause, found.remedied.score) == ("verified", "vanishing", 0.9)
