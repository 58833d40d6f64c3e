"""The confusion matrix: true classes down, predicted across."""

from collections.abc import Sequence

from thalweg.show.charts.svg import LINE, WIDTH, at, drawing, label, nothing, shorten, tag, visible, width_of
from thalweg.show.text import percent

CLASSES = 30
OTHERS = "others"
LARGEST, SMALL = 64.0, 17.0  # sizes of a cell: the most, and below which labels are small
HEAD = 90.0  # the longest name above a column


def confusion_matrix(counts: Sequence[Sequence[int]], names: Sequence[str], *, title: str) -> str:
    """Counts by true and predicted class, shaded by their share of the true class; errors have the color of errors.

    Above 30 classes, the 29 with the most errors are shown, and the rest as one.

    Args:
        counts: `counts[true][predicted]`.
        names: of the classes.
        title: what it shows, for a screen reader.

    >>> "cat taken for dog: 2 of 10 (20.0 %)" in confusion_matrix([[8, 2], [0, 5]], ["cat", "dog"], title="Confusion")
    True
    """
    total = sum(map(sum, counts))
    if not total:
        return nothing("confusion", title, "no rows")
    right = sum(row[i] for i, row in enumerate(counts))
    said = f"{right:,} of {total:,} rows are right, over {len(names):,} classes."
    counts, names = condensed(counts, names)
    longest = max(map(width_of, names))
    side = min(longest + 6, WIDTH * 0.25) + LINE
    size = min((WIDTH - side) / len(names), LARGEST)
    left = max(side, (WIDTH - len(names) * size) / 2)
    upright = longest > size - 2
    top = 2.4 * LINE + (min(longest, HEAD) - 6 if upright else 0)
    small = "small" if size < SMALL else None
    cells = [cell(counts, names, i, j, left, top, size) for i in range(len(names)) for j in range(len(names))]
    rows = [
        label(left - 6, top + (i + 0.5) * size, shorten(n, side - 6 - LINE), anchor="end", cls=small)
        for i, n in enumerate(names)
    ]
    heads = [column_name(n, left + (j + 0.5) * size, top - 6, upright, small) for j, n in enumerate(names)]
    middle = top + len(names) * size / 2
    axes = [
        label(left + len(names) * size / 2, LINE / 2, "predicted", anchor="middle", cls="axis"),
        rotated(label(0, 0, "true", anchor="middle", cls="axis"), left - side + 7, middle),
        tag("rect", x=left, y=top, width=len(names) * size, height=len(names) * size, class_="box"),
    ]
    return drawing("confusion", title, said, top + len(names) * size + 4, *cells, *rows, *heads, *axes)


def condensed(counts: Sequence[Sequence[int]], names: Sequence[str]) -> tuple[list[list[int]], list[str]]:
    """The classes with the most errors, in their order, and one for the rest."""
    if len(names) <= CLASSES:
        return [list(row) for row in counts], list(names)
    wrong = [sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i] for i in range(len(names))]
    kept = sorted(sorted(range(len(names)), key=lambda i: -wrong[i])[: CLASSES - 1])
    place = {i: k for k, i in enumerate(kept)}
    merged = [[0] * CLASSES for _ in range(CLASSES)]
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            merged[place.get(i, CLASSES - 1)][place.get(j, CLASSES - 1)] += count
    return merged, [*(names[i] for i in kept), OTHERS]


def cell(
    counts: Sequence[Sequence[int]], names: Sequence[str], i: int, j: int, left: float, top: float, size: float
) -> str:
    """One shaded cell; empty where the count is 0."""
    count, of = counts[i][j], sum(counts[i])
    if not count:
        return ""
    share = count / of
    kind = "right" if i == j else "wrong"
    x, y = left + j * size, top + i * size
    said = f"{names[i]} taken for {names[j]}: {count:,} of {of:,} ({percent(share, 1)})"
    if i == j:
        said = f"{names[i]} is right: {count:,} of {of:,} ({percent(share, 1)})"
    # A single error must be seen beside hundreds of hits, hence the least opacity.
    opacity = f"{0.12 + 0.88 * share:.2f}"
    parts = [
        tag("title", visible(said)),
        tag("rect", x=x, y=y, width=size, height=size, class_=kind, fill_opacity=opacity),
    ]
    text = f"{count:,}"
    small = width_of(text) > size - 4 or size < SMALL
    if width_of(text) * (0.66 if small else 1) <= size - 1:
        color = "on" if share > 0.55 else "count"
        parts.append(label(x + size / 2, y + size / 2, text, anchor="middle", cls=f"{color} small" if small else color))
    return tag("g", *parts)


def column_name(name: str, x: float, y: float, upright: bool, cls: str | None) -> str:
    if not upright:
        return label(x, y - 3, name, anchor="middle", cls=cls)
    return rotated(label(0, 0, shorten(name, HEAD), cls=cls), x, y)


def rotated(content: str, x: float, y: float) -> str:
    return tag("g", content, transform=f"translate({at(x)} {at(y)})rotate(-90)")
