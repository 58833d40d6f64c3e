"""What the specs of all families share: an error that names the part, its argument, what came and what is allowed."""

from thalweg.errors import UsageError


class Part:
    """Plain data that a plan takes by name."""

    def _check(self, name: str, good: bool, allowed: str) -> None:
        if not good:
            raise UsageError(f"{type(self).__name__} got {name}={getattr(self, name)!r}; allowed: {allowed}.")
