"""The house keeps its order: floors import only downward, starting is quick to import, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "thalweg"

# From the ground up. A module may import from its own floor and from those below it.
FLOORS: list[set[str]] = [
    {"errors", "readings", "findings"},
    {"parts", "plan", "data", "lock", "store", "events", "names"},
    {"measure"},
    {"train"},
    {"probes"},
    {"recipe"},
    {"rules"},
    {"doctor"},
    {"evaluate"},
    {"show"},
    {
        "alter",
        "augmenting",
        "build",
        "compare",
        "examination",
        "rediagnosis",
        "fix",
        "fold",
        "initialization",
        "setup",
        "session",
        "mending",
        "opened",
        "predictions",
        "preview",
        "views",
        "resume",
        "saved",
        "experiment",
        "run",
        "uncertainty",
        "watched",
    },
    {"cli", "commands", "source", "__main__"},
]
# What must start without torch: reading a run, explaining a rule, printing help.
WITHOUT_TORCH = ["readings", "findings", "events", "plan", "lock", "store", "rules", "show", "cli", "run", "names"]


def floor_of(name: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if name in floor)


def modules() -> list[tuple[str, Path]]:
    files = sorted(SOURCE.rglob("*.py"))
    return [(file.relative_to(SOURCE).with_suffix("").parts[0], file) for file in files]


def imports(file: Path, *, top_level_only: bool = False) -> list[str]:
    """The thalweg modules that a file imports at run time; imports for type checking do not count."""
    tree = ast.parse(file.read_text())
    found = []
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
        if isinstance(node, ast.FunctionDef) and node.name == "_repr_html_":  # a notebook asks the type; `show` draws
            skipped |= {id(inner) for inner in ast.walk(node)}
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize(
    ("name", "file"), modules(), ids=lambda value: str(value) if isinstance(value, str) else value.name
)
def test_floors_import_only_downward(name: str, file: Path) -> None:
    if name == "__init__":
        return
    own = floor_of(name)
    for imported in imports(file):
        parts = imported.split(".")
        if parts[0] == "thalweg" and len(parts) > 1 and not parts[1].startswith("__"):
            assert floor_of(parts[1]) <= own, f"{file.relative_to(ROOT)} imports {imported}, which is on a higher floor"


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_reading_needs_no_torch(name: str) -> None:
    folder = SOURCE / name
    files = folder.rglob("*.py") if folder.is_dir() else [SOURCE / f"{name}.py"]
    names = [".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for file in files]
    code = "import sys\n" + "".join(f"import thalweg.{module}\n" for module in names)
    code += "assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rules_are_pure() -> None:
    for file in (SOURCE / "rules").rglob("*.py"):
        assert not [name for name in imports(file) if name.split(".")[0] in ("torch", "numpy")], file


def test_files_are_small() -> None:
    long = {
        str(file.relative_to(ROOT)): n
        for file in SOURCE.rglob("*.py")
        if (n := len(file.read_text().splitlines())) > 400
    }
    assert not long


def test_functions_are_short() -> None:
    """Longest body, docstring not counted: one screen."""
    long = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if lines > 60:
                    long[f"{file.relative_to(ROOT)}:{node.name}"] = lines
    assert not long


def test_the_public_names_exist() -> None:
    import thalweg

    for name in thalweg.__all__:
        assert getattr(thalweg, name) is not None
    with pytest.raises(AttributeError, match="Experiment"):
        thalweg.Experment  # noqa: B018
