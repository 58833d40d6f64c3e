"""Synchronized batch norm in real processes under gloo against one batch in one process."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from thalweg.parts.normalization import BatchNorm
from thalweg.parts.normalization.modules.synchronized import SyncBatchNormNd

pytestmark = pytest.mark.skipif(not distributed.is_gloo_available(), reason="needs gloo")
CASES: list[dict[str, Any]] = [
    {"rows": (3, 7, 2), "dims": 2},
    {"rows": (1, 1, 4), "dims": 0},
    {"rows": (5, 0, 2), "dims": 1, "momentum": None},
    {"rows": (2, 3, 1), "dims": 3, "affine": False},
    {"rows": (6, 3, 2), "dims": 2, "channels_last": True, "offset": 1e4},
    {"rows": (4, 4, 3), "dims": 1, "track_running_stats": False},
    {"rows": (4, 5, 1), "dims": 1, "dtype": torch.float32},
    {"rows": (4, 5, 1), "dims": 1, "dtype": torch.bfloat16},
]
WORLD = 3
PLACES = {0: (), 1: (4,), 2: (3, 2), 3: (2, 2, 2)}
CHANNELS = 5


def norm_of(case: dict[str, Any], synchronized: bool) -> nn.Module:
    options = {k: case[k] for k in ("momentum", "affine", "track_running_stats") if k in case}
    norm = BatchNorm(synchronized=synchronized, **options).build(CHANNELS, dims=case["dims"]).double()
    if norm.weight is not None:
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(-1, 2, CHANNELS))
            norm.bias.copy_(torch.linspace(0, 1, CHANNELS))
    return norm.float() if case.get("dtype", torch.float64) != torch.float64 else norm


def batches(case: dict[str, Any], step: int) -> tuple[Tensor, Tensor]:
    """All rows of a step, and what their outputs are weighed with."""
    generator = torch.Generator().manual_seed(step)
    shape = (sum(case["rows"]), CHANNELS, *PLACES[case["dims"]])
    x = torch.randn(shape, generator=generator, dtype=torch.float64) + case.get("offset", 0)
    if case.get("channels_last"):
        x = x.contiguous(memory_format=torch.channels_last)
    dtype = case.get("dtype", torch.float64)
    return x.to(dtype), torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def steps(norm: nn.Module, case: dict[str, Any], rows: slice) -> dict[str, list[Tensor]]:
    """Outputs, gradients and estimates of two steps on these rows."""
    found: dict[str, list[Tensor]] = {"y": [], "x": [], "weight": [], "running": []}
    for step in range(2):
        x, weigh = (value[rows].clone() for value in batches(case, step))
        x.requires_grad_()
        y = norm(x)
        norm.zero_grad()
        (y * weigh).sum().backward()
        found["y"].append(y.detach())
        found["x"].append(x.grad)  # type: ignore[arg-type]
        found["weight"] += [p.grad.clone() for p in norm.parameters()]  # type: ignore[union-attr]
        found["running"] += [b.clone() for b in norm.buffers()]
    if case.get("track_running_stats", True):  # else evaluation is of a rank's own rows, as in torch
        x, _ = batches(case, 9)
        found["y"].append(norm.eval()(x[rows]).detach())
    return found


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    results: list[Any] = []
    for case in CASES:
        start = sum(case["rows"][:rank])
        results.append(steps(norm_of(case, True), case, slice(start, start + case["rows"][rank])))
    results.append(replicated(rank))
    try:
        SyncBatchNormNd(2)(torch.zeros(int(rank == 0), 2))
        results.append("nothing raised")
    except ValueError as error:
        results.append(str(error))
    torch.save(results, f"{folder}/{rank}")
    distributed.destroy_process_group()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    norm = BatchNorm(synchronized=True).build(8, dims=2)
    layers = nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    return layers.double()


def replicated(rank: int) -> list[Tensor]:
    """Gradients of two steps under DDP, where `nn.SyncBatchNorm` refuses a CPU; of equal shares of the rows."""
    x = torch.randn(12, 1, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = DistributedDataParallel(copy.deepcopy(network()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    share = x.chunk(WORLD)[rank]
    for _ in range(2):
        optimizer.zero_grad()
        model(share).square().mean().backward()
        optimizer.step()
    return [value.detach() for value in model.module.state_dict().values()]


@pytest.fixture(scope="module")
def results() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(worker, args=(folder,), nprocs=WORLD)
        return [torch.load(Path(folder) / str(rank)) for rank in range(WORLD)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: str(CASES[n]))
def test_ranks_are_one_batch(results: Any, number: int) -> None:
    """Outputs, gradients and estimates of all rows together, forward and backward, with unequal rows per rank."""
    case = CASES[number]
    ranks = [found[number] for found in results]
    whole = steps(norm_of(case, False), case, slice(None))
    dtype = case.get("dtype", torch.float64)
    # An offset of 1e4 takes 8 of the 16 digits of a square.
    close = {torch.float64: 1e-8 if "offset" in case else 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    for name in ("y", "x"):
        for i, expected in enumerate(whole[name]):
            together = torch.cat([found[name][i] for found in ranks])
            torch.testing.assert_close(together, expected, rtol=close, atol=close)
    for i, expected in enumerate(whole["weight"]):  # a rank's own rows, as in torch's: their sum is the batch's
        together = torch.stack([found["weight"][i] for found in ranks]).sum(0)
        torch.testing.assert_close(together, expected, rtol=close, atol=10 * close)
    for i, expected in enumerate(whole["running"]):
        for found in ranks:
            torch.testing.assert_close(found["running"][i], expected, rtol=max(close / 10, 1e-12), atol=1e-6)
            assert torch.equal(found["running"][i], ranks[0]["running"][i])


def test_one_value_in_all_is_torchs_error(results: Any) -> None:
    for found in results:
        assert "more than 1 value per channel" in found[-1]


def test_under_ddp_it_is_one_process_with_all_rows(results: Any) -> None:
    x = torch.randn(12, 1, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    single = network()
    optimizer = torch.optim.SGD(single.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        single(x).square().mean().backward()
        optimizer.step()
    for found in results:
        for own, expected in zip(found[-2], single.state_dict().values(), strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-12)


def test_alone_it_is_batch_norm() -> None:
    case = CASES[0]
    ours, plain = steps(norm_of(case, True), case, slice(None)), steps(norm_of(case, False), case, slice(None))
    for name, values in ours.items():
        assert all(torch.equal(a, b) for a, b in zip(values, plain[name], strict=True)), name


def test_gradients_in_one_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function itself against finite differences, in a group of one."""
    from thalweg.parts.normalization.modules import synchronized

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/one", rank=0, world_size=1)
    try:
        weight, bias = torch.randn(2, 3, dtype=torch.float64).requires_grad_()
        for affine in (True, False):

            def function(x: Tensor, affine: bool = affine) -> Tensor:
                given = (weight, bias) if affine else (None, None)
                result: Tensor = synchronized.Synchronized.apply(x, *given, *synchronized.merged(x.detach()), 1e-5)
                return result

            x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
            assert torch.autograd.gradcheck(function, (x,))
    finally:
        distributed.destroy_process_group()
