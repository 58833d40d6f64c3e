"""Errors a user meets. Each message says what was wrong, what was received and what to do next."""


class ThalwegError(Exception):
    """The base of every error raised on purpose, so that one `except` catches them all."""


class UsageError(ThalwegError, ValueError):
    """A value the user gave cannot be used: a plan field, an argument, a name."""


class DataError(ThalwegError, ValueError):
    """The data cannot be used: non-finite rows, labels out of range, an empty split, shapes that disagree."""


class ModelError(ThalwegError, ValueError):
    """The model cannot be used with these data: a layer of the wrong shape, nothing to train."""


class TrainingError(ThalwegError, RuntimeError):
    """A training cannot go on: a loss that is no scalar, a value that is not finite from the first step."""


class StoreError(ThalwegError, RuntimeError):
    """Something saved cannot be read: a corrupt checkpoint, a broken store, a seal log that was changed."""


def did_you_mean(received: str, allowed: list[str] | tuple[str, ...]) -> str:
    """`" Did you mean 'epochs'?"`, or nothing where no allowed word is near.

    >>> did_you_mean("epoch", ["epochs", "batch_size"])
    " Did you mean 'epochs'?"
    """
    from difflib import get_close_matches

    near = get_close_matches(str(received), [str(a) for a in allowed], n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
