"""Writes the reference pages docs/rules.md and docs/parts.md from the docstrings of rules and parts.

python tools/reference.py          # tests/test_docs.py fails while the pages are not up to date
"""

import inspect
import re
from pathlib import Path

from thalweg import rules
from thalweg.evaluate import measures, threshold
from thalweg.parts import averaging, metrics, optimizers, schedules
from thalweg.parts.preprocessing.standardize import Standardize, TargetScale
from thalweg.parts.preprocessing.table import TablePreprocessing

DOCS = Path(__file__).resolve().parent.parent / "docs"


def rules_page() -> str:
    """Every rule's manual page, as `thalweg explain CODE` prints it."""
    found = rules.all_rules()
    index = "\n".join(f"| [{r.code}](#{anchor(r.page)}) | {r.name} |" for r in found)
    pages = "\n\n".join(re.sub(r"^(#+) ", r"#\1 ", r.page, flags=re.MULTILINE) for r in found)
    return (
        "# Rules\n\nOne file, one rule: `src/thalweg/rules/<family>/<code>_<name>.py`. `thalweg explain CODE` prints "
        f"the same page.\n\n| code | rule |\n|---|---|\n{index}\n\n{pages}\n"
    )


def anchor(page: str) -> str:
    """The anchor that a page's first heading gets."""
    title = page.splitlines()[0].lstrip("# ").lower()
    return re.sub(r"[^\w\- ]", "", title).replace(" ", "-")


def parts_page() -> str:
    """The parts that networks are trained with, and what measures them."""
    sections = [
        ("Optimizers", "`tw.optimizers`", [getattr(optimizers, name) for name in optimizers.__all__]),
        ("Schedules", "`tw.schedules`", [getattr(schedules, name) for name in schedules.__all__]),
        ("Averaging", "`tw.averaging`, of the weights", [getattr(averaging, name) for name in averaging.__all__]),
        ("Preprocessing", "inside the model", [Standardize, TargetScale, TablePreprocessing]),
        ("Metrics", "each epoch, by name", [metrics.metric]),
        ("Measures", "on the sealed rows", [measures.measure, threshold.choose_threshold]),
    ]
    text = ["# Parts", "", "From the docstrings; every example runs in the tests."]
    for title, where, parts in sections:
        text += ["", f"## {title}", "", where]
        for part in parts:
            doc = inspect.cleandoc(part.__doc__ or "")
            text += ["", f"### {part.__name__}", "", "```text", doc, "```"]
    return "\n".join(text) + "\n"


PAGES = {"rules.md": rules_page, "parts.md": parts_page}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
