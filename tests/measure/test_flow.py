import pytest
import torch
from torch import nn

from thalweg.measure.flow import signal_flow


def test_flow_follows_what_tells_rows_apart():
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    first, last = nn.Linear(8, 8), nn.Linear(8, 2)
    found = {r.place: r for r in signal_flow(nn.Sequential(first, nn.ReLU(), last), x)}
    hidden = torch.relu(first(x)).detach()
    assert found["0"].value == pytest.approx(float((x - x.mean(0)).square().mean().sqrt()), rel=1e-5)
    assert found["2"].value == pytest.approx(float((hidden - hidden.mean(0)).square().mean().sqrt()), rel=1e-5)
    with torch.no_grad():
        first.bias.fill_(-100.0)
    dead = {r.place: r for r in signal_flow(nn.Sequential(first, nn.ReLU(), last), x)}
    assert (dead["2"].value, dead["2"].note) == (0.0, "zeros")
