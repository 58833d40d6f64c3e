"""Pictures of averages of the weights: what the weights after each update count in the last average."""

from pictures.plot import Kind, Triple, curves

from thalweg.parts.averaging import EMA, SWA, Averaging

UPDATES = 2000


def draw() -> dict[str, str]:
    """Shares over the updates: an EMA forgets by a factor at each, on a logarithmic scale a line; SWA is even."""
    return {
        "ema": picture([(f"decay={d:g}", EMA(decay=d)) for d in (0.9, 0.99, 0.995)], "log"),
        "swa": picture([(f"start={s:g}", SWA(start=s)) for s in (0.75, 0.5, 0.0)], "linear"),
    }


def picture(shown: list[tuple[str, Averaging]], y_scale: Kind) -> str:
    series: list[Triple] = [(name, range(1, UPDATES + 1), weights(part)) for name, part in shown]
    title = "Share of each update's weights in the last average"
    return curves(series, title, f"update of {UPDATES:,}", "share", y_scale=y_scale, y_range=LIMITS[y_scale])


LIMITS: dict[Kind, tuple[float, float]] = {"log": (1e-6, 1.0), "linear": (0.0, 1.0)}


def weights(part: Averaging) -> list[float]:
    """The share of the newest weights when they enter, times what each later update leaves of it."""
    found, left = [], 1.0
    for update in range(UPDATES, 0, -1):
        share = part.share(update, UPDATES)
        found.append(share * left)
        left *= 1 - share
    return found[::-1]
