"""Readings of a loop: facts about its steps, of which the rules LOOP conclude."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from thalweg.doctor.watching.clipping import of_clipping
from thalweg.doctor.watching.losses import Losses
from thalweg.doctor.watching.rows import SeenRows
from thalweg.doctor.watching.sample import Sample
from thalweg.doctor.watching.steps import StepWatch
from thalweg.readings import Reading

LOW_RATE = 0.01  # of the highest rate
ORDER_BATCHES = 6  # batches of at least ORDER_ROWS rows, before their order is looked at
ORDER_ROWS = 4
MOST_LABELS = 1000


def of_steps(watch: StepWatch, samples: Sequence[Sample]) -> Iterator[Reading]:
    """What the watched steps themselves show."""
    yield Reading("loop.steps", watch.count, count=len(samples))
    judged = [s for s in samples if s.stale is not None and s.step > 0]
    if judged:
        stale = [s for s in judged if s.stale]
        first = stale[0].step if stale else None
        yield Reading("loop.stale", len(stale) / len(judged), step=first, count=len(judged))
    graded = [s.graded for s in samples if s.graded is not None]
    if graded:
        yield Reading("loop.ungraded", graded.count(False) / len(graded), count=len(graded))
    signs = [s.descent for s in samples if s.descent is not None]
    if signs:
        turned = turned_round(watch)
        factors = [-factor if turned else factor for _, factor in signs]
        note = f"{signs[0][0]}{', maximize=True' if turned else ''}"
        yield Reading("loop.descent", sum(f > 0 for f in factors) / len(factors), count=len(factors), note=note)
    yield from of_clipping(samples)
    yield from of_rates(samples, watch.count)
    yield from of_modes(watch, samples)


def turned_round(watch: StepWatch) -> bool:
    """Whether the optimizer is told to climb."""
    assert watch.optimizer is not None
    return all(group.get("maximize", False) for group in watch.optimizer.param_groups)


def of_rates(samples: Sequence[Sample], steps: int) -> Iterator[Reading]:
    """`loop.peak_rate`, `loop.last_rate`, and `loop.low_rate`: from which step the rate was below a hundredth."""
    rates = [(s.step, max(s.rates)) for s in samples if s.rates]
    if not rates:
        return
    peak = max(rate for _, rate in rates)
    yield Reading("loop.peak_rate", peak)
    yield Reading("loop.last_rate", rates[-1][1], step=rates[-1][0])
    low = None
    for step, rate in reversed(rates):
        if rate >= LOW_RATE * peak:
            break
        low = step
    if low is not None:
        yield Reading("loop.low_rate", low / max(steps, 1), step=low, count=len(rates))


def of_modes(watch: StepWatch, samples: Sequence[Sample]) -> Iterator[Reading]:
    """Modes of the passes with gradients and of those without."""
    if not watch.modes.matters:
        return
    kinds = [name for name, there in (("batch norm", watch.modes.norms), ("dropout", watch.modes.dropouts)) if there]
    note = " and ".join(kinds)
    trained = [mode for s in samples for mode in s.modes]
    if trained:
        idle = [not m.norms and not m.dropouts for m in trained]
        yield Reading("loop.eval_training", sum(idle) / len(idle), count=len(idle), note=note)
        yield Reading("loop.eval_network", sum(not m.network for m in trained) / len(idle), count=len(idle))
    if watch.idle.modes:
        wrong = [bool(m.norms) or (m.network and bool(m.dropouts)) for m in watch.idle.modes]
        note = "batch norm" if any(m.norms for m in watch.idle.modes) else "dropout"
        if note == "dropout" and watch.idle.same:
            note = "dropout, same rows again"
        yield Reading("loop.train_validation", sum(wrong) / len(wrong), count=len(wrong), note=note)


def of_parameters(watch: StepWatch, start: nn.Module, samples: Sequence[Sample]) -> Iterator[Reading]:
    """What the optimizer does not hold, and what has not moved since the start."""
    before = dict(start.named_parameters())
    now = {name: p.detach() for name, p in watch.inner.named_parameters()}
    alike = {name for name, p in now.items() if name in before and unmoved(before[name], p)}
    held = {id(p) for p in watch.held()}
    own = [name for name, p in watch.inner.named_parameters() if p.requires_grad and id(p) in held]
    yield Reading("loop.held", len(own), count=sum(now[name].numel() for name in own))
    if own and watch.count:
        yield Reading("loop.unmoved", sum(name in alike for name in own) / len(own), count=watch.count)
    missing = [n for n, p in watch.inner.named_parameters() if p.requires_grad and id(p) not in held]
    fixed = [name for name in missing if name in alike]
    shares = [s.missed / s.squared for s in samples if s.missed is not None and s.squared]
    if fixed and shares:
        size = sum(now[name].numel() for name in fixed)
        value = sum(shares) / len(shares)
        yield Reading("loop.missed", value, fixed[0], count=size, note=", ".join(fixed[:4]))
        yield Reading("loop.missed_share", size / sum(p.numel() for p in now.values()), count=len(fixed))


def unmoved(before: Tensor, now: Tensor) -> bool:
    return before.shape == now.shape and torch.equal(before.detach().to(now), now)


def of_order(rows: SeenRows) -> Iterator[Reading]:
    """`loop.order`: how far classes differ between batches (Cramér's V), with log10 of the chance as note's number.

    The test of homogeneity, of batches by classes; with rows drawn at random V is near its expectation under chance,
    which is subtracted (Bergsma 2013).
    """
    batches = [target for _, _, target in rows.batches if len(target) >= ORDER_ROWS]
    if len(batches) < ORDER_BATCHES or not all(is_labels(t) for t in batches):
        return
    labels = torch.cat([t.reshape(-1) for t in batches]).long().cpu()
    kinds, codes = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    if not 1 < len(kinds) <= MOST_LABELS:
        return
    batch = torch.cat([torch.full((len(t),), k) for k, t in enumerate(batches)])
    table = torch.zeros(len(batches), len(kinds), dtype=torch.float64)
    table.index_put_((batch, codes), torch.ones(len(batch), dtype=torch.float64), accumulate=True)
    chance, effect = homogeneity(table)
    yield Reading("loop.order", effect, count=len(batches), note=f"{chance:.1f}")


def is_labels(target: Tensor) -> bool:
    whole = not target.is_floating_point() or bool((target == target.round()).all())
    return whole and target.numel() == len(target)


def homogeneity(table: Tensor) -> tuple[float, float]:
    """log10 of the chance that rows (batches) have the same distribution over columns, and the size of the difference.

    >>> table = torch.tensor([[30.0, 0.0], [0.0, 30.0]], dtype=torch.float64)
    >>> chance, effect = homogeneity(table)
    >>> round(chance), round(effect, 2)
    (-14, 1.0)
    """
    total, (r, c) = table.sum(), table.shape
    expected = table.sum(1, keepdim=True) * table.sum(0) / total
    statistic = float(((table - expected).square() / expected).sum())
    freedom = (r - 1) * (c - 1)
    chance = float(
        torch.special.gammaincc(torch.tensor(freedom / 2.0).double(), torch.tensor(statistic / 2.0).double())
    )
    n = float(total)
    share = max(0.0, statistic / n - freedom / (n - 1))
    room = min(c - (c - 1) ** 2 / (n - 1), r - (r - 1) ** 2 / (n - 1)) - 1
    return math.log10(max(chance, 1e-300)), math.sqrt(share / room) if room > 0 else 0.0


def of_losses(losses: Losses, samples: Sequence[Sample]) -> list[Reading]:
    """`train.batch_loss` at steps that thin out, and where it stopped being finite."""
    values: list[tuple[int, float]]
    if losses:
        values = losses.values()  # synchronizes
    else:
        values = [(s.step, float(s.value.reshape(-1)[0])) for s in samples if s.value is not None]  # synchronizes
    if not values:
        return []
    found: list[Reading] = []
    bad = next((k for k, (_, v) in enumerate(values) if not math.isfinite(v)), None)
    every = max(1, len(values) // 400)
    kept = {k for k in range(len(values)) if k % every == 0 or k < 20} | {len(values) - 1}
    found += [Reading("train.batch_loss", v, step=step) for k, (step, v) in enumerate(values) if k in kept]
    if bad is not None:
        found.append(Reading("nonfinite.step", values[bad][0], step=values[bad][0]))
        if bad:
            found.append(Reading("nonfinite.last_loss", values[bad - 1][1], step=values[bad - 1][0]))
    return found
