"""The command line. Nothing heavy is imported here, so that help comes at once."""

from thalweg.cli.arguments import main

__all__ = ["main"]
