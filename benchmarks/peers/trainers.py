"""The ways of training that the tables compare: a form of one trainer is a row."""

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from work import Train

PEERS = ("lightning", "fabric", "transformers", "accelerate", "ignite", "skorch", "fastai", "keras")
TUTORIAL = "tutorial loop"


@dataclass(frozen=True)
class Form:
    """One way of training.

    Args:
        tuned: whether it is handed the fast loader and optimizer of torch.
    """

    name: str
    train: Train
    tuned: bool = False


def forms_of(trainer: str) -> list[Form]:
    """The forms of one trainer; importing it may take seconds."""
    module = importlib.import_module(f"adapters.{trainer}")
    if trainer == "tutorial":
        return [Form(TUTORIAL, module.train), Form(f"{TUTORIAL}, tuned", module.train, tuned=True)]
    if trainer == "thalweg":
        return [Form("thalweg, plain", module.plain), Form("thalweg, chosen step", module.chosen)]
    default, stripped = module.DEFAULT, module.STRIPPED
    first = [Form(f"{trainer}, default", default)] if default is not stripped else []
    return [*first, Form(f"{trainer}, stripped", stripped), Form(f"{trainer}, tuned", stripped, tuned=True)]


def all_forms(only: Sequence[str] = ()) -> list[Form]:
    """The forms of the tutorial loop, thalweg and the peers; or of those named."""
    with silence():
        return [form for name in ("tutorial", *(only or ("thalweg", *PEERS))) for form in forms_of(name)]


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Bars and logs are written, as they are by default, but to nowhere."""
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
