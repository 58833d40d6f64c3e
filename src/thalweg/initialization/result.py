"""What was done to each tensor, and the signal through depth before and after."""

from dataclasses import dataclass
from typing import Any

from thalweg.initialization.depth import Depth
from thalweg.parts.initializers import Initializer

COLUMNS = ("tensor", "shape", "role", "followed by", "fan in", "fan out", "gain", "std wanted", "std drawn", "done")


@dataclass(frozen=True)
class Row:
    """One tensor.

    Args:
        name: as in `network.named_parameters()`; of a parametrized tensor the name it goes by.
        shape: as it is stored.
        role: weight, bias, embedding, recurrent gates, scale, shift; or unknown.
        follower: what comes next, for a weight.
        fan_in: independent inputs per output; None where the role has none.
        fan_out: outputs per input.
        gain: factor for what follows; None where the initializer has no use for it.
        wanted: deviation that the entries were to have.
        drawn: deviation that they have.
        done: what was done, or why nothing was.
        changed: whether it was drawn or set.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    follower: str = ""
    fan_in: float | None = None
    fan_out: float | None = None
    gain: float | None = None
    wanted: float | None = None
    drawn: float | None = None
    done: str = ""
    changed: bool = True

    def cells(self) -> tuple[str, ...]:
        numbers = (self.fan_in, self.fan_out, self.gain, self.wanted, self.drawn)
        shape = "×".join(map(str, self.shape))
        return (self.name, shape, self.role, self.follower, *map(short, numbers), self.done)


@dataclass(frozen=True)
class Initialization:
    """The outcome of `tw.initialize`.

    Args:
        initializer: what the weights were drawn by.
        seed: of the draw.
        rows: one per tensor, in the order of the forward pass.
        before: the signal through depth before.
        after: the same after.
    """

    initializer: Initializer
    seed: int
    rows: tuple[Row, ...]
    before: Depth
    after: Depth

    @property
    def changed(self) -> tuple[Row, ...]:
        """The tensors that were drawn or set."""
        return tuple(row for row in self.rows if row.changed)

    @property
    def left(self) -> tuple[Row, ...]:
        """The tensors that were left as they are; `done` says why."""
        return tuple(row for row in self.rows if not row.changed)

    def summary(self) -> list[tuple[str, str]]:
        """The slopes through depth, in words."""
        return [
            ("log std of outputs, before", str(self.before.forward)),
            ("log std of outputs, after", str(self.after.forward)),
            ("log rms of gradients, before", str(self.before.backward)),
            ("log rms of gradients, after", str(self.after.backward)),
        ]

    def __str__(self) -> str:
        table = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip() for cells in table]
        counts = (
            f"{len(self.changed)} tensors drawn or set, {len(self.left)} left, by {self.initializer}, seed {self.seed}"
        )
        return "\n".join([counts, *lines, *(f"{name}: {value}" for name, value in self.summary())])

    def figure(self) -> str:
        """Outputs and gradients through depth, before and after, as SVG; a page gives it its style."""
        from thalweg.show.charts import Series, line_chart

        drawn = []
        for name, depth in (("before", self.before), ("after", self.after)):
            layers = range(1, len(depth.places) + 1)
            drawn += [
                Series(f"outputs {name}", layers, depth.outputs),
                Series(f"gradients {name}", layers, depth.gradients),
            ]
        title = "Deviation of outputs and gradients through depth"
        return line_chart(drawn, title=title, x_label="layer", y_label="deviation", y_scale="log")

    def _repr_html_(self) -> str:
        from thalweg.show.notebook.frame import framed
        from thalweg.show.report.html import Html, card, pairs, table

        rows: list[Any] = [row.cells() for row in self.rows]
        heading = f"Initialization by {self.initializer}"
        return framed(card(heading, Html(self.figure()), pairs(self.summary()), table(COLUMNS, rows, cls="text")))


def short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
