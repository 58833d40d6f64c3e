"""Numbers, durations and names as people read them; one form for the terminal, the report and the notebook."""

import math
import re
import unicodedata

ASCII = {
    "·": "-",
    "×": "x",
    "→": "->",
    "…": "...",
    "✓": "ok",
    "★": "*",
    "−": "-",
    "–": "-",
    "—": "-",
    "─": "-",
    "●": "O",
    "≥": ">=",
    "≤": "<=",
    "±": "+/-",
    "∞": "inf",
    "²": "^2",
    "\N{NO-BREAK SPACE}": " ",
    "\N{NARROW NO-BREAK SPACE}": " ",
}
MISSING = "–"
TITLES = {"brier": "Brier score", "lr": "rate", "r2": "R²"}
CAPITALS = re.compile(r"auc|fpr|mae|mcc|mse|rmse|tpr|f\d+(\.\d+)?")  # words of names


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits and thousands separators, a dash where there is none.

    A float takes at most nine characters.

    >>> [number(v) for v in (28938, 0.65512, 12345.678, 2.0, 1.2e-7, float("nan"), None)]
    ['28,938', '0.6551', '12,346', '2.000', '1.2e-07', 'NaN', '–']
    """
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # after rounding: 0.99999 is 1.000
    if not -4 < exponent < 6:
        return scientific(value, min(digits, 3 if abs(exponent) < 100 else 2))
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def scientific(value: float, digits: int) -> str:
    """`3e-04` rather than `3.00e-04`."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{exponent}"


def rate(value: float | None) -> str:
    """A learning rate or an update-to-weight ratio, with two significant digits.

    >>> [rate(v) for v in (0.1, 0.08, 0.0032, 3e-4, 0.0)]
    ['0.1', '0.08', '3.2e-03', '3e-04', '0']
    """
    if value is None or not math.isfinite(value) or value == 0:
        return number(value)
    return scientific(value, 2) if abs(value) < 0.00995 or abs(value) >= 1000 else f"{value:.2g}"


def percent(share: float | None, decimals: int = 2) -> str:
    """A share of one as a percentage.

    >>> percent(0.98611), percent(1.0), percent(0.38, decimals=0)
    ('98.61 %', '100 %', '38 %')
    """
    if share is None or not math.isfinite(share):
        return number(share)
    return "100 %" if share == 1 else f"{100 * share:.{decimals}f} %"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units.

    >>> [duration(s) for s in (0.0124, 1.93, 59.96, 75, 3725, 90061)]
    ['12 ms', '1.9 s', '1 m 0 s', '1 m 15 s', '1 h 2 m', '1 d 1 h']
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, small, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {small}"
    return f"{whole // 60} m {whole % 60} s"


def compact(count: float) -> str:
    """A large count in three significant digits: `28.9k`, `11.2M`.

    >>> [compact(n) for n in (359, 1149, 28938, 11_173_962)]
    ['359', '1.15k', '28.9k', '11.2M']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= size * 0.9995:
            return f"{count / size:.3g}{letter}" if abs(count) < 999.5 * size else f"{count / size:,.0f}{letter}"
    return f"{count:.0f}"


def measure(name: str, value: float | None, decimals: int = 2) -> str:
    """A measure's value: an accuracy as a percentage, anything else as a number.

    >>> measure("accuracy", 0.9861), measure("rmse", 0.4567), measure("auc", 0.98765)
    ('98.61 %', '0.4567', '0.9877')
    """
    return percent(value, decimals) if is_share(name) else number(value)


def is_share(name: str) -> bool:
    """Whether a measure is read as a percentage: every accuracy and error rate."""
    return name.split(".")[-1].endswith(("accuracy", "error_rate"))


def plural(count: int, noun: str) -> str:
    """
    >>> plural(1, "finding"), plural(1200, "step")
    ('1 finding', '1,200 steps')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def title(name: str) -> str:
    """A measure's or a field's name for a heading: `"r2"` becomes `"R²"`.

    >>> title("balanced_accuracy"), title("macro_auc"), title("r2"), title("f0.5"), title("tpr_at_fpr_0.05")
    ('balanced accuracy', 'macro AUC', 'R²', 'F0.5', 'TPR at FPR 0.05')
    """
    words = (word.upper() if CAPITALS.fullmatch(word) else word for word in name.split("_"))
    return TITLES.get(name) or " ".join(words)


def shorten(text: str, width: int) -> str:
    """A name or a path no longer than `width`, its middle left out.

    >>> shorten("projects/someone/very/long/path/model.py", 20)
    'projects/…h/model.py'
    """
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return text[:left] + "…" + text[len(text) - (width - 1 - left) :]


def clean(text: str) -> str:
    r"""Text that is safe to print: control characters, which could move a cursor or change colors, become visible.

    >>> clean("a\x1b[31mb\nc")
    'a\\x1b[31mb c'
    """
    text = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in text)


def to_ascii(text: str) -> str:
    """Text for a stream that knows no more than ASCII.

    >>> to_ascii("loss 2.31 → 0.61 · Zürich")
    'loss 2.31 -> 0.61 - Zurich'
    """
    for character, plain in ASCII.items():
        text = text.replace(character, plain)
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c if c.isascii() else "?" for c in decomposed if not unicodedata.combining(c))
