"""What the documentation says is true: its code runs, its pages are up to date, its links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Those on data beside the project are in test_examples.py.
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if "_folder" not in path.stem + path.read_text()]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL)
    assert len(blocks) >= 7
    code = "import torch; torch.set_num_threads(1)\n" + "\n".join(blocks)
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "370/85 rows, 114 sealed" in result.stdout
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "model.pt2").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(example: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("thalweg")), "train", str(example), "--set", "epochs=3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert "95 % interval" in result.stdout
    assert len(list(tmp_path.glob("runs/*/report.html"))) == 1


reference = load(ROOT / "tools" / "reference.py")


@pytest.mark.parametrize("name", reference.PAGES)
def test_reference_pages_are_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == reference.PAGES[name](), "run python tools/reference.py"


@pytest.mark.parametrize("family", [*reference.FAMILIES, "measures"])
def test_pages_and_pictures_of_parts_are_up_to_date(family: str) -> None:
    files = reference.family_files(family)
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs" / "parts" / family).iterdir()}
    assert there == files.keys(), f"run python tools/reference.py {family}"
    for name, text in files.items():
        if isinstance(text, bytes):
            same = pixels_alike((ROOT / "docs" / name).read_bytes(), text)
            assert same, f"docs/{name} is not up to date; run python tools/reference.py {family}"
            continue
        written = (ROOT / "docs" / name).read_text()
        same = look_alike(written, text) if name.endswith(".svg") else written == text
        assert same, f"docs/{name} is not up to date; run python tools/reference.py {family}"
        if name.endswith(".svg"):  # shown in an <img>, where nothing from outside is loaded
            assert ElementTree.fromstring(written).tag == "{http://www.w3.org/2000/svg}svg"
            assert not re.search(r"<script|href=|url\(|@import", written)


def look_alike(one: str, other: str) -> bool:
    """Whether two pictures differ by no more than the last digit of a coordinate, as another processor may round it."""
    number = re.compile(r"-?\d+(?:\.\d+)?")
    if number.sub("#", one) != number.sub("#", other):
        return False
    pairs = zip(number.findall(one), number.findall(other), strict=True)
    return all(abs(float(a) - float(b)) < 0.11 + 1e-3 * abs(float(a)) for a, b in pairs)


def pixels_alike(one: bytes, other: bytes) -> bool:
    """Whether two PNGs differ by no more than a level as another processor may round it, but for one value in 100.

    A level apart, a pixel may come to lie on the other side of a threshold, as in posterizing.
    """
    first, second = (np.asarray(Image.open(BytesIO(file)), np.int64) for file in (one, other))
    return first.shape == second.shape and bool((np.abs(first - second) > 1).mean() < 0.01)


def test_pictures_of_pixels_are_told_apart() -> None:
    def file(pixels: np.ndarray) -> bytes:
        kept = BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(kept, "PNG")
        return kept.getvalue()

    ramp = np.arange(200).reshape(10, 20)
    one_far, three_far = ramp.copy(), ramp.copy()
    one_far[0, 0], three_far[0, :3] = 255, 255
    assert pixels_alike(file(ramp), file(ramp + 1))
    assert pixels_alike(file(ramp), file(one_far))
    assert not pixels_alike(file(ramp), file(three_far))
    assert not pixels_alike(file(ramp), file(ramp + 2))
    assert not pixels_alike(file(ramp), file(ramp.T))


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_every_part_has_a_picture_an_example_and_a_source(family: str) -> None:
    parts = reference.parts_of(family)
    assert parts
    assert {part.name: missing for part in parts if (missing := reference.lacking(part))} == {}


def test_docstrings_become_markdown() -> None:
    docstring = """Doubles.

        y = 2x

    Args:
        x, z: numbers,
            any.

    >>> 2 * 2
    4

    Source: a paper.
    """
    assert load(ROOT / "tools" / "docstrings.py").to_markdown(docstring).split("\n\n") == [
        "Doubles.",
        "```text\ny = 2x\n```",
        "**Arguments**",
        "- `x`, `z`: numbers, any.",
        "```python\n>>> 2 * 2\n4\n```",
        "**Source:** a paper.",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
