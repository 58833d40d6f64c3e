"""Averages of the weights against torch's and a mean taken in one go."""

import pytest
import torch
from torch.optim.swa_utils import get_ema_avg_fn

from thalweg.errors import UsageError
from thalweg.parts.averaging import EMA, SWA, Averaging


def average(part: Averaging, values: list[float]) -> float:
    value = 0.0
    for update, new in enumerate(values, start=1):
        value += part.share(update, len(values)) * (new - value)
    return value


VALUES = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).tolist()


def test_swa_is_the_mean_of_the_last_part() -> None:
    assert average(SWA(start=0.75), VALUES) == pytest.approx(sum(VALUES[30:]) / 10, abs=1e-14)
    assert average(SWA(start=0.5, every=5), VALUES) == pytest.approx(sum(VALUES[20::5]) / 4, abs=1e-14)


def test_ema_forgets_as_torchs_does_after_its_warm_up() -> None:
    part, reference = EMA(decay=0.9), torch.zeros((), dtype=torch.float64)
    function = get_ema_avg_fn(0.9)
    value = 0.0
    assert [part.share(update, 40) for update in (1, 2)] == pytest.approx([9 / 11, 9 / 12])
    for new in VALUES:
        value += part.share(100, 40) * (new - value)
        reference = function(reference, torch.tensor(new, dtype=torch.float64), 0)
    assert value == pytest.approx(float(reference), abs=1e-14)


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"decay": -0.1}, {"decay": "much"}])
def test_a_decay_out_of_range_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="decay="):
        EMA(**wrong)  # type: ignore[arg-type]


def test_a_start_or_interval_out_of_range_is_named() -> None:
    with pytest.raises(UsageError, match=r"start=1\.0"):
        SWA(start=1.0)
    with pytest.raises(UsageError, match="every=0"):
        SWA(every=0)
