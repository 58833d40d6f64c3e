import pytest
import torch

from thalweg.measure.targets import describe_target, scaled


def test_targets():
    found = {r.name: r.value for r in describe_target(torch.tensor([[1.0, 100.0], [3.0, 500.0]]))}
    assert found == {
        "target.distinct": 2,
        "target.mean": 151.0,
        "target.deviation": pytest.approx(torch.tensor([1.0, 100, 3, 500]).double().std(correction=0).item()),
        "target.ratio": 200.0,
    }
    assert [r.name for r in describe_target(torch.tensor([0.0, 1.0, 1.0]))] == ["target.distinct"]
    assert describe_target(torch.zeros(5))[0].value == 1
    torch.testing.assert_close(scaled(torch.tensor([1.0, 3.0])), torch.tensor([-1.0, 1.0]))
