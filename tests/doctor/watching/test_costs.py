"""What watching does between the steps that it watches: little, and less where steps are quick."""

import torch
from torch import nn

import thalweg as tw
from thalweg.doctor.watching.idle import MOST, NEVER, Idle
from thalweg.doctor.watching.losses import WAITING, Losses
from thalweg.doctor.watching.sample import ModeReader


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))


def test_losses_become_numbers_now_and_then():
    losses = Losses()
    for step in range(WAITING + 1):
        losses.add(step, torch.tensor(float(step)) if step % 2 else float(step))
    assert len(losses._waiting) == 1
    assert losses.values() == [(k, float(k)) for k in range(WAITING + 1)]


def test_the_hook_of_passes_without_gradient_is_on_by_turns_until_it_has_seen_some():
    network, steps = dropping(), [0]
    idle = Idle(network, ModeReader(network), lambda: steps[0])
    idle.start()
    on = []
    for step in range(20_000):
        steps[0] = step
        if step >= idle.turn:
            idle.plan(0.2)
        on.append(bool(network._forward_pre_hooks))
    assert all(on[:256])
    assert 0.15 < sum(on) / len(on) < 0.26
    idle.plan(1.0)
    with torch.no_grad():
        for _ in range(MOST):
            network(torch.zeros(3, 2))
    assert not network._forward_pre_hooks
    assert (len(idle.modes), idle.turn) == (MOST, NEVER)
    assert idle.same


def test_few_steps_are_watched_and_all_of_them_with_a_share_of_one():
    counts = []
    for share in (1e-6, 1e6):
        network = dropping()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        with tw.watch(network, optimizer, listeners=(), share=share) as watch:
            for _ in range(300):
                optimizer.zero_grad()
                network(torch.ones(8, 2)).square().mean().backward()
                optimizer.step()
            counts.append(watch._steps._watched)
    assert counts == [16, 300]  # the first 11, and those after 16, 32, 64, 128, 256
