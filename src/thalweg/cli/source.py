"""The Python file that the command line was given: the experiment and the plan it defines."""

import hashlib
import importlib.machinery
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from thalweg.errors import ThalwegError, UsageError, did_you_mean

if TYPE_CHECKING:
    from thalweg.experiment import Experiment
    from thalweg.plan import Plan

EXAMPLE = 'experiment = tw.Experiment(model, train=(x, y), loss="cross_entropy")'


@dataclass(frozen=True)
class Source:
    """What a file defines.

    Args:
        experiment: the `Experiment` at module level.
        plan: the `Plan` named `plan` at module level; None where there is none.
        facts: what a run stores to find its way back: file, name and hash.
    """

    experiment: "Experiment"
    plan: "Plan | None"
    facts: dict[str, str]


def load_source(text: str) -> Source:
    """Imports `FILE` or `FILE:NAME`, without running what stands under `if __name__ == "__main__"`.

    Raises:
        UsageError: when there is no such file, it fails, or it defines no experiment, or several and none is named.
    """
    file, wanted = split_name(text)
    path = Path(file)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"{file} {what}. Give a Python file that defines an experiment: thalweg train FILE[:NAME].")
    from thalweg.experiment import Experiment
    from thalweg.plan import Plan

    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    module = import_file(path)
    found = {name: value for name, value in vars(module).items() if isinstance(value, Experiment)}
    name = chosen_name(file, found, wanted, module)
    plan = getattr(module, "plan", None)
    experiment = found[name]
    facts = {"file": str(path.resolve()), "name": name, "sha256": sha}
    experiment.source = facts
    return Source(experiment, plan if isinstance(plan, Plan) else None, facts)


def split_name(text: str) -> tuple[str, str]:
    r"""
    >>> split_name("train.py:small"), split_name("train.py"), split_name(r"C:\train.py")
    (('train.py', 'small'), ('train.py', ''), ('C:\\train.py', ''))
    """
    file, colon, name = text.rpartition(":")
    return (file, name) if colon and name.isidentifier() and not Path(text).is_file() else (text, "")


def chosen_name(file: str, found: dict[str, "Experiment"], wanted: str, module: ModuleType) -> str:
    """The name of the experiment that is meant."""
    distinct = {id(value): name for name, value in found.items()}
    if wanted in found:
        return wanted
    if wanted:
        there = hasattr(module, wanted)
        received = f"that is a {type(getattr(module, wanted)).__name__}" if there else "it has no such name"
        known = f" It defines: {', '.join(found)}." if found else f" Write at module level: {EXAMPLE}"
        near = did_you_mean(wanted, list(found))
        raise UsageError(f"{file} defines no Experiment {wanted!r}: {received}.{near}{known}")
    if not found:
        raise UsageError(
            f"{file} defines no Experiment. Write one at module level, not inside a function or under "
            f'`if __name__ == "__main__"`: {EXAMPLE}'
        )
    if len(distinct) > 1:
        names = ", ".join(f"{file}:{name}" for name in distinct.values())
        raise UsageError(f"{file} defines {len(distinct)} experiments; say which: {names}")
    return next(iter(found))


def import_file(path: Path) -> ModuleType:
    """The file as a module under its own name, its folder first on the path, as Python itself does it."""
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names or not name.isidentifier():
        name = f"experiment_file_{abs(hash(path.resolve()))}"
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"{path}, line {error.lineno}: {error.msg}. The file is no valid Python.") from error
    except ThalwegError as error:
        error.add_note(f"raised in {path}, line {line_in(path, error)}")
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(failure(path, error)) from error
    return module


def line_in(path: Path, error: BaseException) -> int:
    """The line of the file that was running when the error came."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return (lines[-1] if lines else 0) or 0


def failure(path: Path, error: BaseException) -> str:
    """What went wrong in the user's file, with the way to the line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    way = "".join(traceback.format_list(own)).rstrip()
    return f"{path} failed while it was imported: {type(error).__name__}: {error}\n{way}"
