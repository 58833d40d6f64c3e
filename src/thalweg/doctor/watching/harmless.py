"""Looks that may fail without the loop's knowing."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Protocol


class Stoppable(Protocol):
    """What looks at a loop."""

    broken: str

    def stop(self) -> None: ...


def harmless(look: Callable[..., None]) -> Callable[..., None]:
    """A method whose own mistake ends the watching, not the loop; `broken` tells what it was."""

    @wraps(look)
    def looked(self: Stoppable, *args: Any, **kwargs: Any) -> None:
        try:
            look(self, *args, **kwargs)
        except Exception as error:
            self.broken = f"{look.__name__.strip('_')} failed ({type(error).__name__}: {error})"
            with suppress(Exception):
                self.stop()

    return looked
