"""Recalibrated estimates against the mean and variance of all rows together, in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import DataError
from thalweg.parts.normalization import GhostBatchNorm, recalibrate


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(24, 6),
        nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 2),
    )  # fmt: skip


def batches(dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, int]]:
    """Of 9, 2 and 14 rows, and of different means: what batches differ by belongs to the variance."""
    generator = torch.Generator().manual_seed(1)
    sizes = zip((9, 2, 14), (0.0, 5.0, -3.0), strict=True)
    return [((torch.randn(n, 2, 8, generator=generator, dtype=torch.float64) + m).to(dtype), 0) for n, m in sizes]


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_is_the_variance_of_all_rows(dtype: torch.dtype, close: float) -> None:
    model = network().to(dtype)
    model[1].running_mean.fill_(99.0)
    state = torch.get_rng_state()
    recalibrate(model, batches(dtype))
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in model.modules())
    assert (model[1].momentum, model[6].momentum) == (0.1, None)
    assert int(model[1].num_batches_tracked) == 3
    reference = network().double()
    values = [x for x, _ in batches()]
    with torch.no_grad():
        for own, module in zip(model, reference, strict=True):
            if isinstance(module, nn.BatchNorm1d):
                together = torch.cat([v.movedim(1, -1).flatten(0, -2) for v in values])
                mean, variance = together.mean(0).to(dtype), together.var(0).to(dtype)
                torch.testing.assert_close(own.running_mean, mean, rtol=close, atol=close)
                torch.testing.assert_close(own.running_var, variance, rtol=close, atol=close)
                values = [F.batch_norm(v, None, None, module.weight, module.bias, training=True) for v in values]
            elif not isinstance(module, nn.Dropout):
                values = [module(v) for v in values]


def test_forms_of_batches() -> None:
    found = []
    for form in (lambda x: x, lambda x: (x, None), lambda x: [x, 1, 2], lambda x: ((x,), None), lambda x: {"input": x}):
        model = nn.Sequential(nn.BatchNorm1d(2)) if len(found) < 4 else nn.BatchNorm1d(2)
        recalibrate(model, [form(x) for x, _ in batches(torch.float32)])
        found.append(next(model.buffers()))
    assert all(torch.equal(value, found[0]) for value in found)


def test_frozen_and_unreached_norms_keep_theirs() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.frozen, self.unused = nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.frozen(self.used(x))

    model = Partly()
    for norm in (model.used, model.frozen, model.unused):
        norm.running_mean.fill_(0.5)
        norm.num_batches_tracked.fill_(7)
    model.frozen.eval()
    recalibrate(model, batches(torch.float32))
    assert not torch.equal(model.used.running_mean, torch.full((2,), 0.5))
    assert int(model.used.num_batches_tracked) == 3
    for norm in (model.frozen, model.unused):
        assert torch.equal(norm.running_mean, torch.full((2,), 0.5))
        assert int(norm.num_batches_tracked) == 7
    assert not model.frozen.training


def test_a_failing_pass_changes_nothing() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError):
        recalibrate(model, [batches(torch.float32)[0], (torch.zeros(4, 3, 8), 0)])
    with pytest.raises(DataError, match="got no batches"):
        recalibrate(model, [])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model[1].momentum, model[6].momentum) == (0.1, None)
    assert all(module.training for module in model.modules())


def test_a_norm_that_runs_twice_counts_both() -> None:
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(norm, nn.ReLU(), norm)
    rows = batches(torch.float64)
    model.double()
    recalibrate(model, rows)
    values = [x.movedim(1, -1).flatten(0, -2) for x, _ in rows]
    seconds = [torch.relu((v - v.mean(0)) / (v.var(0, correction=0) + norm.eps).sqrt()) for v in values]
    torch.testing.assert_close(norm.running_var, torch.cat(values + seconds).var(0), rtol=1e-10, atol=1e-12)


def test_without_norms_nothing_is_read() -> None:
    def refusing():  # type: ignore[no-untyped-def]
        raise AssertionError("read")
        yield

    recalibrate(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), refusing())


def test_ghosts_have_the_variance_within_them_and_between_batches() -> None:
    torch.manual_seed(0)
    model = GhostBatchNorm(size=8).build(4, dims=0)
    recalibrate(model, [torch.randn(256, 4) * 2 + 1 for _ in range(40)])
    torch.testing.assert_close(model.running_var, torch.full((4,), 4.0), rtol=0.05, atol=0)
    torch.testing.assert_close(model.running_mean, torch.ones(4), rtol=0.1, atol=0)
