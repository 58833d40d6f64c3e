"""Ghost batch norm against one nn.BatchNorm per chunk, and against nn.BatchNorm where one ghost holds the batch."""

import pytest
import torch
from torch import Tensor, nn

from thalweg.parts.normalization import GhostBatchNorm
from thalweg.parts.normalization.modules.ghost import GhostBatchNormNd

KINDS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
PLACES = {0: (), 1: (4,), 2: (3, 2), 3: (2, 2, 2)}


def pair(dims: int, size: int, momentum: float | None = 0.1) -> tuple[GhostBatchNormNd, nn.Module]:
    ghost = GhostBatchNorm(size=size, momentum=momentum).build(6, dims=dims).double()
    plain = KINDS[dims](6, momentum=momentum).double()
    with torch.no_grad():
        ghost.weight.copy_(torch.arange(1.0, 7.0))
        ghost.bias.copy_(torch.arange(6.0))
    plain.load_state_dict(ghost.state_dict())
    assert isinstance(ghost, GhostBatchNormNd)
    return ghost, plain


def data(dims: int, rows: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 6, *PLACES[dims], generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0, None])
@pytest.mark.parametrize("dims", KINDS)
@pytest.mark.parametrize("size", [10, 64])
def test_one_ghost_is_batch_norm(dims: int, size: int, momentum: float | None) -> None:
    ghost, plain = pair(dims, size, momentum)
    for seed in range(3):
        x, z = data(dims, 10, seed), data(dims, 10, seed)
        y, w = ghost(x), plain(z)
        y.square().mul(torch.linspace(0, 1, 10).view(-1, *[1] * (x.dim() - 1))).sum().backward()
        w.square().mul(torch.linspace(0, 1, 10).view(-1, *[1] * (x.dim() - 1))).sum().backward()
        assert torch.equal(y, w)
        assert torch.equal(x.grad, z.grad)  # type: ignore[arg-type]
    assert torch.equal(ghost.weight.grad, plain.weight.grad)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(ghost.buffers(), plain.buffers(), strict=True))


@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0, None])
@pytest.mark.parametrize(("rows", "size"), [(12, 4), (14, 4), (15, 7), (9, 2)])
@pytest.mark.parametrize("dims", KINDS)
def test_ghosts_are_batch_norm_on_chunks(dims: int, rows: int, size: int, momentum: float | None) -> None:
    """Outputs and gradients as of one norm per chunk; the estimates move by the ghosts' mean, weighted by rows."""
    ghost, plain = pair(dims, size, momentum)
    sizes = [len(chunk) for chunk in torch.zeros(rows).split(size)]
    if sizes[-1] == 1 and dims == 0:
        sizes = [*sizes[:-2], sizes[-2] + 1]
    mean, variance = ghost.running_mean.clone(), ghost.running_var.clone()
    for count in (1, 2, 3):
        x, z = data(dims, rows, count), data(dims, rows, count)
        weigh = torch.randn(x.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        y, w = ghost(x), torch.cat([plain(chunk) for chunk in z.split(sizes)])
        (y * weigh).sum().backward()
        (w * weigh).sum().backward()
        torch.testing.assert_close(y, w, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(x.grad, z.grad, rtol=1e-12, atol=1e-12)
        chunks = [chunk.detach().movedim(1, 0).flatten(1) for chunk in z.split(sizes)]
        share = 1 / count if momentum is None else momentum
        means = sum(len(c) / rows * v.mean(1) for c, v in zip(z.split(sizes), chunks, strict=True))
        variances = sum(len(c) / rows * v.var(1) for c, v in zip(z.split(sizes), chunks, strict=True))
        mean, variance = mean + share * (means - mean), variance + share * (variances - variance)
        torch.testing.assert_close(ghost.running_mean, mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(ghost.running_var, variance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ghost.weight.grad, plain.weight.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ghost.bias.grad, plain.bias.grad, rtol=1e-12, atol=1e-12)
    assert int(ghost.num_batches_tracked) == 3


def test_running_variance_is_unbiased() -> None:
    """Ghosts of 2 rows: the biased variance would be half of the true one."""
    torch.manual_seed(0)
    ghost = GhostBatchNorm(size=2, momentum=None).build(64, dims=0)
    for _ in range(50):
        ghost(torch.randn(101, 64) * 3)
    assert abs(float(ghost.running_var.mean()) / 9 - 1) < 0.01


def test_a_last_single_value_joins_the_ghost_before_it() -> None:
    ghost = GhostBatchNorm(size=4).build(6, dims=0)
    assert ghost.bounds(torch.zeros(9, 6)) == [4, 5]
    assert ghost.bounds(torch.zeros(9, 6, 2)) == [4, 4, 1]
    assert ghost.bounds(torch.zeros(3, 6)) == [3]
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        GhostBatchNormNd(6, size=1)(torch.randn(3, 6))


def test_gradients() -> None:
    ghost = GhostBatchNorm(size=3).build(2, dims=1).double()
    x = torch.randn(7, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ghost, (x,))
    assert torch.autograd.gradgradcheck(ghost, (x,))


def test_only_evaluation_does_not_look_at_the_batch() -> None:
    ghost = GhostBatchNorm(size=2, track_running_stats=False).build(6, dims=0).eval()
    x = torch.randn(8, 6)
    torch.testing.assert_close(ghost(x)[:2], ghost(x[:2]))
    assert not torch.equal(ghost(x), ghost(x[torch.tensor([1, 2, 3, 4, 5, 6, 7, 0])]).roll(1, 0))
