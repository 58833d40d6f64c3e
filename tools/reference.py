"""Writes the reference: docs/rules.md, and docs/parts/ with a page and a picture for every part, from the code itself.

python tools/reference.py              # everything; tests/test_docs.py fails while the pages are not up to date
python tools/reference.py schedules    # one family

A part's page is its docstring. Its picture is what `draw()` of tools/pictures/<family>.py gives under the name of the
part's file: text is an SVG, bytes are a PNG.
"""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PICTURES = ROOT / "tools" / "pictures"
if str(ROOT / "tools") not in sys.path:
    sys.path.insert(0, str(ROOT / "tools"))

from docstrings import to_markdown  # noqa: E402

from thalweg import parts, rules  # noqa: E402
from thalweg.evaluate import measures, threshold  # noqa: E402

FAMILIES = {
    "activations": "What makes a network more than one linear layer.",
    "initializers": "What the weights are before the first step.",
    "normalization": "What keeps the scale of a layer's outputs.",
    "preprocessing": "What happens to the inputs, inside the model.",
    "augmentations": "Random changes of the training rows that keep what they are of.",
    "optimizers": "How a gradient moves the weights.",
    "schedules": "The learning rate as a function of the step.",
    "regularizers": "What keeps a network from fitting noise.",
    "averaging": "Averages of the weights along the training.",
    "metrics": "What is measured, each epoch or by hand.",
}


@dataclass(frozen=True)
class Part:
    """A class or function with a page: its family and its file's name there."""

    family: str
    stem: str
    member: Any

    @property
    def name(self) -> str:
        return str(self.member.__name__)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.member) or "").split("\n\n")[0].replace("\n", " ")

    @property
    def picture(self) -> str:
        """The name of its picture: of the file that it is defined in."""
        return self.stem if self.stem in drawn(self.family) else module_stem(self.member)


# ---------------------------------------------------------------------- what has a page


def parts_of(family: str) -> list[Part]:
    """The parts of a family, in the order of `__all__`, then those for networks of one's own; classes and functions."""
    package = import_module(f"{parts.__name__}.{family}")
    members = [getattr(package, name) for name in (*package.__all__, *getattr(package, "BY_HAND", ()))]
    members = [m for m in members if inspect.isclass(m) or inspect.isfunction(m)]
    return [Part(family, stem_of(m, members), m) for m in members]


def measured_parts() -> list[Part]:
    """What measures a kept model on the sealed rows."""
    members = [measures.evaluate_outputs, threshold.choose_threshold]
    return [Part("measures", m.__name__, m) for m in members]


def stem_of(member: Any, members: list[Any]) -> str:
    """The name of its file, where it is alone in it; else its own: `he_normal`."""
    stem = module_stem(member)
    if sum(module_stem(other) == stem for other in members) == 1:
        return stem
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", member.__name__).lower()


def module_stem(member: Any) -> str:
    return str(member.__module__).rpartition(".")[2]


def pictures_of(family: str) -> ModuleType | None:
    """The module that draws a family, where there is one."""
    return import_module(f"pictures.{family}") if (PICTURES / f"{family}.py").is_file() else None


DRAWN: dict[str, dict[str, str | bytes]] = {}


def drawn(family: str) -> dict[str, str | bytes]:
    """The pictures of a family by name, drawn once."""
    if family not in DRAWN:
        module = pictures_of(family)
        DRAWN[family] = module.draw() if module is not None else {}
    return DRAWN[family]


def picture_file(family: str, name: str) -> str:
    """The file of a picture in the family's folder."""
    return name + (".png" if isinstance(drawn(family)[name], bytes) else ".svg")


def caption(family: str, name: str) -> str:
    """What the picture does not say by itself; mostly nothing."""
    return str(getattr(pictures_of(family), "CAPTIONS", {}).get(name, ""))


# ---------------------------------------------------------------------- pages


def part_page(part: Part) -> str:
    """Title, signature, docstring with the picture after its first line, and where the code is."""
    head, _, rest = to_markdown(part.member.__doc__ or "").partition("\n\n")
    there = part.picture in drawn(part.family)
    picture = f"![{part.name}]({picture_file(part.family, part.picture)})" if there else ""
    file = Path(inspect.getsourcefile(part.member) or "").resolve().relative_to(ROOT)
    blocks = [
        f"# {part.name}",
        signature(part),
        head,
        picture,
        caption(part.family, part.picture),
        rest,
        f"[{file}](../../../{file}) · [all parts](../index.md)",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def signature(part: Part) -> str:
    """How it is called: names and defaults, without types."""
    parameters = [p.replace(annotation=p.empty) for p in inspect.signature(part.member).parameters.values()]
    text = str(inspect.Signature(parameters)).replace("'", '"')  # as the formatter has it
    where = "tw" if part.family == "measures" else f"tw.{part.family}"
    call = f"{where}.{part.name}{text}"
    if len(call) > 100:
        call = f"{where}.{part.name}(\n    " + text[1:-1].replace(", ", ",\n    ") + ",\n)"
    return f"```python\n{call}\n```"


def index_page() -> str:
    """Every part, one line each."""
    text = ["# Parts", "", "From the code: docstrings and pictures; every example runs in the tests."]
    for family, about in FAMILIES.items():
        text += ["", f"## {family.capitalize()}", "", f"`tw.{family}`. {about}", ""]
        text += [listed(part) for part in parts_of(family)]
    text += ["", "## Measures", "", "On the sealed rows, with intervals.", ""]
    text += [listed(part) for part in measured_parts()]
    return "\n".join(text) + "\n"


def listed(part: Part) -> str:
    return f"- [{part.name}]({part.family}/{part.stem}.md): {part.summary}"


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


def family_files(family: str) -> dict[str, str | bytes]:
    """The pages and pictures of a family, by their place under docs/."""
    found = measured_parts() if family == "measures" else parts_of(family)
    files: dict[str, str | bytes] = {f"parts/{family}/{part.stem}.md": part_page(part) for part in found}
    used = {part.picture for part in found}
    return files | {f"parts/{family}/{picture_file(family, n)}": v for n, v in drawn(family).items() if n in used}


PAGES: dict[str, Callable[[], str]] = {"rules.md": rules_page, "parts/index.md": index_page}


def lacking(part: Part) -> list[str]:
    """What a part's documentation still lacks: a picture, an example, a source."""
    doc = part.member.__doc__ or ""
    missing = [] if part.picture in drawn(part.family) else ["picture"]
    return missing + [word for word, mark in (("example", ">>>"), ("source", "Source:")) if mark not in doc]


def main() -> None:
    asked = sys.argv[1:] or [*FAMILIES, "measures"]
    for family in asked:
        folder = DOCS / "parts" / family
        folder.mkdir(parents=True, exist_ok=True)
        files = family_files(family)
        for old in [path for path in folder.iterdir() if f"parts/{family}/{path.name}" not in files]:
            old.unlink()
        for name, content in files.items():
            (DOCS / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        print(f"wrote {len(files)} files in docs/parts/{family}")
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
        print(f"wrote docs/{name}")
    for family in FAMILIES:
        for part in parts_of(family):
            if missing := lacking(part):
                print(f"{family}.{part.name} lacks: {', '.join(missing)}")


if __name__ == "__main__":
    main()
