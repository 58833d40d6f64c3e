"""Pictures of optimizers: the way each takes on four test surfaces, and how much past gradients count in a step.

Of each surface the contours of equal loss are drawn, and the ways from one start at that rate of a grid which ends
lowest: every optimizer is shown at its best, computed by the part's own rule.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import torch
from pictures.plot import Triple, curves, row, standalone
from torch import Tensor, nn

from thalweg.parts.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    ScheduleFree,
    Torch,
)
from thalweg.parts.optimizers.foreign import Foreign
from thalweg.show.charts.frame import Frame, make_frame, series_class
from thalweg.show.charts.svg import at, tag

STEPS = 150
RATES = tuple(10 ** (k / 4) for k in range(-18, 5))
CELLS = 56  # of the grid that contours are traced on, along each side
LEVELS = 10
PAST = 30  # gradients whose weights are drawn


@dataclass(frozen=True)
class Surface:
    """A function of two numbers, its part that is drawn, and where the ways begin."""

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    x: tuple[float, float]
    y: tuple[float, float]
    start: tuple[float, float]
    least: float = 0.0


SURFACES = (
    Surface(
        "Ill-conditioned quadratic: (x² + 50 y²) / 2",
        lambda x, y: (x**2 + 50 * y**2) / 2,
        (-11, 3),
        (-2.2, 2.2),
        (-10, 2),
    ),
    Surface(
        "Rosenbrock's valley: (1 − x)² + 100 (y − x²)²",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        (-1.7, 1.5),
        (-0.6, 1.9),
        (-1.2, 1.0),
    ),
    Surface(
        "Beale's function: plateaus and walls",
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        (-0.5, 4.2),
        (-1.6, 1.8),
        (0.6, 1.5),
    ),
    Surface(
        "Saddle at 0: x²/2 − y²/2 + y⁴/4",
        lambda x, y: x**2 / 2 - y**2 / 2 + y**4 / 4,
        (-1.6, 0.6),
        (-0.5, 1.4),
        (-1.4, 0.003),
        -0.25,
    ),
)


def draw() -> dict[str, str]:
    """One picture for each part: its ways, beside that of plain SGD."""
    plain = ("plain SGD", SGD())
    found = {
        "sgd": ways([plain, ("momentum 0.9", SGD(momentum=0.9)), ("Nesterov 0.9", SGD(momentum=0.9, nesterov=True))]),
        "adagrad": ways([plain, ("Adagrad", Adagrad())]),
        "rmsprop": ways([plain, ("RMSprop", RMSprop()), ("centered", RMSprop(centered=True))]),
        "adam": ways([plain, ("Adam", Adam()), ("β₂ = 0.9", Adam(betas=(0.9, 0.9)))]),
        "adamw": ways([plain, ("AdamW, λ = 0", AdamW(weight_decay=0.0)), ("AdamW, λ = 0.5", AdamW(weight_decay=0.5))]),
        "nadam": ways([plain, ("Adam", Adam()), ("NAdam", NAdam())]),
        "radam": ways([plain, ("Adam", Adam()), ("RAdam", RAdam())]),
        "lion": ways([plain, ("Adam", Adam()), ("Lion", Lion())]),
        "muon": ways([plain, ("Muon, of the matrix diag(x, y)", Muon(weight_decay=0.0))]),
        "schedule_free": ways([plain, ("schedule-free SGD", ScheduleFree(base="sgd")), ("AdamW", ScheduleFree())]),
        "torch_optimizer": ways(
            [plain, ("Rprop", Torch(kind="torch.optim.Rprop")), ("ASGD", Torch(kind="torch.optim.ASGD"))]
        ),
    }
    found["sgd"] = stacked(found["sgd"], row(momentum_weights(), coming_weights()))
    found["adam"] = stacked(found["adam"], row(first_weights(), later_weights()))
    return found


# ---------------------------------------------------------------------- ways


def ways(shown: list[tuple[str, Optimizer]]) -> str:
    pictures = [way(surface, [(name, best_path(surface, part)) for name, part in shown]) for surface in SURFACES]
    return stacked(row(*pictures[:2]), row(*pictures[2:]))


@cache
def best_path(surface: Surface, part: Optimizer) -> Tensor:
    """`[STEPS + 1, 2]`, of the rate that ends lowest and stays in the picture, where one does.

    How low is the mean of log(loss − least) over the last third.
    """
    paths = foreign_paths(surface, part) if isinstance(part, Foreign) else rule_paths(surface, part)
    above = (surface.value(paths[..., 0], paths[..., 1]) - surface.least).clamp(min=1e-12).log()
    ends = above[-STEPS // 3 :].mean(0).nan_to_num(math.inf)
    low, high = torch.tensor([surface.x, surface.y], dtype=torch.float64).unbind(1)
    stays = ((paths >= low) & (paths <= high)).all(2).all(0)
    ends = ends.where(stays, math.inf) if bool(stays.any()) else ends
    return paths[:, int(ends.argmin())]


def rule_paths(surface: Surface, part: Optimizer) -> Tensor:
    """`[STEPS + 1, rates, 2]`: all rates at once, as members."""
    here = torch.tensor(surface.start, dtype=torch.float64).expand(len(RATES), 2).clone()
    rates, found = torch.tensor(RATES, dtype=torch.float64), [here]
    if isinstance(part, Muon):
        return matrix_paths(surface, part, here, rates)
    slots = part.start(here)
    for step in range(1, STEPS + 1):
        change, slots = part.update(slope(surface, here), slots, step, here, {"lr": rates[:, None]})
        here = here + change
        found.append(here)
    return torch.stack(found)


def matrix_paths(surface: Surface, part: Muon, here: Tensor, rates: Tensor) -> Tensor:
    """The same of the matrices diag(x, y)."""
    found, slots = [here], {"momentum_buffer": torch.zeros_like(here.diag_embed())}

    def one(g: Tensor, s: dict[str, Tensor], p: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return part.update(g, s, 1, p, {"lr": rate})

    for _ in range(STEPS):
        values = here.diag_embed()
        change, slots = torch.func.vmap(one)(slope(surface, here).diag_embed(), slots, values, rates)
        here = (values + change).diagonal(dim1=1, dim2=2)
        found.append(here)
    return torch.stack(found)


def foreign_paths(surface: Surface, part: Foreign) -> Tensor:
    """The same, each rate in a group of its own; of a schedule-free one the averages."""
    points = [nn.Parameter(torch.tensor(surface.start, dtype=torch.float64)) for _ in RATES]
    built = replace(part, lr=1.0).build([{"params": [p], "lr": r} for p, r in zip(points, RATES, strict=True)])
    found, swaps = [torch.stack(points).detach()], isinstance(part, ScheduleFree)
    for _ in range(STEPS):
        if swaps:
            built.train()  # type: ignore[attr-defined]
        for point, gradient in zip(points, slope(surface, torch.stack(points).detach()), strict=True):
            point.grad = gradient
        built.step()
        if swaps:
            built.eval()  # type: ignore[attr-defined]
        found.append(torch.stack(points).detach())
    return torch.stack(found)


def slope(surface: Surface, here: Tensor) -> Tensor:
    return torch.func.grad(lambda p: surface.value(p[:, 0], p[:, 1]).sum())(here)


# ---------------------------------------------------------------------- contours


def way(surface: Surface, paths: list[tuple[str, Tensor]]) -> str:
    names = [name for name, _ in paths]
    frame = make_frame(surface.x, surface.y, x_label="x", y_label="y", names=names, plot_height=300.0)
    lines = [tag("path", d=contours(surface, frame), class_="grid")]
    for k, (_, path) in enumerate(paths):
        lines.append(tag("path", d=course(surface, frame, path), class_=series_class(k)))
    x, y = surface.start
    lines.append(tag("circle", cx=frame.x(x), cy=frame.y(y), r=4.0, class_="best"))
    return standalone(frame.drawing("xy", surface.name, "", *lines), surface.name)


def course(surface: Surface, frame: Frame, path: Tensor) -> str:
    """The path as far as it is inside the picture; a point outside leaves a gap."""
    text, open_ = "", False
    for x, y in path.tolist():
        inside = surface.x[0] <= x <= surface.x[1] and surface.y[0] <= y <= surface.y[1]
        text += f"{'L' if open_ else 'M'}{at(frame.x(x))} {at(frame.y(y))}" if inside else ""
        open_ = inside
    return text


def contours(surface: Surface, frame: Frame) -> str:
    """Lines of equal loss, at quantiles of what the picture shows."""
    places = [
        (f"{at(frame.x(a))} {at(frame.y(b))}", f"{at(frame.x(c))} {at(frame.y(d))}") for a, b, c, d in traced(surface)
    ]
    return "".join("M" + "L".join(line) for line in joined(places))


def joined(segments: list[tuple[str, str]]) -> list[list[str]]:
    """Segments that share an end as lines."""
    left: dict[str, list[str]] = {}
    for a, b in segments:
        if a != b:
            left.setdefault(a, []).append(b)
            left.setdefault(b, []).append(a)
    lines = []
    for start in sorted(left, key=lambda place: len(left[place]) != 1):  # open ends first, then rings
        while left[start]:
            line = [start]
            while left[line[-1]]:
                following = left[line[-1]].pop()
                left[following].remove(line[-1])
                line.append(following)
            lines.append(line)
    return lines


@cache
def traced(surface: Surface) -> list[tuple[float, float, float, float]]:
    """Pieces of the contours, by marching squares."""
    xs, ys = (torch.linspace(*ends, CELLS + 1, dtype=torch.float64) for ends in (surface.x, surface.y))
    values = surface.value(xs[:, None], ys[None, :])
    levels = values.flatten().quantile(torch.linspace(0.02, 0.9, LEVELS, dtype=torch.float64)).tolist()
    grid, found = values.tolist(), []
    for level, i, k in product(levels, range(CELLS), range(CELLS)):
        ends = crossings(grid, i, k, level)
        for (a, b), (c, d) in zip(ends[::2], ends[1::2], strict=True):
            found.append((on(surface.x, a), on(surface.y, b), on(surface.x, c), on(surface.y, d)))
    return found


def crossings(grid: list[list[float]], i: int, k: int, level: float) -> list[tuple[float, float]]:
    """Where the level crosses the edges of a cell, in order around it: an even number of places."""
    corners = [(i, k), (i + 1, k), (i + 1, k + 1), (i, k + 1)]
    found = []
    for (a, b), (c, d) in zip(corners, [*corners[1:], corners[0]], strict=True):
        first, second = grid[a][b] - level, grid[c][d] - level
        if (first < 0) != (second < 0):
            share = first / (first - second)
            found.append((a + share * (c - a), b + share * (d - b)))
    return found


def on(ends: tuple[float, float], place: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * place / CELLS


# ---------------------------------------------------------------------- weights of past gradients


def weights_of(part: Optimizer, slot: str, steps: int) -> Tensor:
    """What each of the gradients so far counts in a slot: entry k has had the gradient 1 at step k alone."""
    entries = torch.zeros(steps, dtype=torch.float64)
    slots = part.start(entries)
    for step in range(1, steps + 1):
        gradient = torch.zeros_like(entries)
        gradient[step - 1] = 1
        _, slots = part.update(gradient, slots, step, entries, {"lr": 1.0})
    return slots[slot]


def by_age(weights: Tensor) -> tuple[list[int], list[float]]:
    return list(range(len(weights))), weights.flip(0).tolist()


def momentum_weights() -> str:
    shown = [(f"μ = {mu}", SGD(momentum=mu)) for mu in (0.5, 0.8, 0.9)]
    series: list[Triple] = [(name, *by_age(weights_of(part, "momentum_buffer", PAST))) for name, part in shown]
    return curves(series, "Momentum: 1, μ, μ², … of the gradients before", "steps ago", "weight in the step")


def coming_weights() -> str:
    """Of a steady gradient 1 a step grows to 1 / (1 − μ)."""
    series: list[Triple] = []
    for mu in (0.5, 0.8, 0.9):
        sums = weights_of(SGD(momentum=mu), "momentum_buffer", PAST).flip(0).cumsum(0)
        series.append((f"μ = {mu}", range(1, PAST + 1), sums.tolist()))
    return curves(series, "A steady gradient is followed at 1 / (1 − μ)", "step", "size of the step")


def first_weights() -> str:
    """Adam's means are corrected so that the weights of the gradients so far sum to 1."""
    part = Adam()
    series: list[Triple] = []
    for steps in (3, 8, 20):
        weights = weights_of(part, "exp_avg", steps)
        corrected = weights / (1 - part.betas[0] ** steps)
        series.append((f"after {steps} steps", *by_age(corrected)))
    return curves(series, "Adam's mean, β₁ = 0.9, corrected for its start", "steps ago", "weight, of a sum of 1")


def later_weights() -> str:
    part = Adam()
    sums = [float(weights_of(part, "exp_avg", steps).sum()) for steps in range(1, PAST + 1)]
    squares = [float(weights_of(part, "exp_avg_sq", steps).sum()) for steps in range(1, PAST + 1)]
    series: list[Triple] = [("m, β₁ = 0.9", range(1, PAST + 1), sums), ("v, β₂ = 0.999", range(1, PAST + 1), squares)]
    return curves(series, "Sum of the weights before the correction", "step", "sum")


def stacked(*pictures: str) -> str:
    """Pictures one under the other."""
    sizes = []
    for picture in pictures:
        found = re.search(r'viewBox="0 0 (\S+) (\S+)"', picture)
        assert found is not None
        sizes.append((float(found[1]), float(found[2])))
    width, y, inner = max(w for w, _ in sizes), 0.0, ""
    for (own, height), picture in zip(sizes, pictures, strict=True):
        body = re.sub(r"^<svg [^>]*>", "", picture.strip()).removesuffix("</svg>")
        inner += tag("svg", body, y=y, width=own, height=height, viewBox=f"0 0 {at(own)} {at(height)}")
        y += height
    box = {"width": width, "height": y, "viewBox": f"0 0 {at(width)} {at(y)}", "role": "img"}
    return tag("svg", inner, xmlns="http://www.w3.org/2000/svg", **box) + "\n"
