"""What stands below the findings of a diagnosis: the ranking, what was excluded, what is unknown or was not judged."""

from collections.abc import Sequence

from rich.text import Text

from thalweg.doctor.diagnosis import CauseFound, Diagnosis, unique
from thalweg.show.lines import hang, styled

LABEL = 17  # columns of the headings with their margins


def diagnosis_lines(diagnosis: Diagnosis, *, width: int) -> list[Text]:
    """The sections of a diagnosis, each with its heading beside it, and an empty line after them."""
    lines: list[Text] = []
    for heading, texts in diagnosis.sections():
        bodies = [cause_text(k, each) for k, each in enumerate(diagnosis.causes, start=1)]
        lines += labeled_lines(heading, bodies if heading == "causes" else texts, width=width)
    return [*lines, Text()] if lines else []


def labeled_lines(heading: str, bodies: Sequence[Text | str], *, width: int) -> list[Text]:
    """Lines beside a heading, which is told once."""
    lines = []
    for k, body in enumerate(bodies):
        label = Text(f"  {heading if k == 0 else ''}".ljust(LABEL), "bold")
        text = styled((body, "dim")) if isinstance(body, str) else body
        lines += hang(label, text, width=width, indent=LABEL if width >= 60 else 4)
    return lines


def cause_text(number: int, found: CauseFound) -> Text:
    """`1. init constant · INIT01 · error, proven, before the first step; explains LR02`."""
    explains = f"; explains {', '.join(unique(f.code for f in found.explains))}" if found.explains else ""
    return styled(
        f"{number}. ", (found.name, "bold"), " · ", (", ".join(found.codes), "cyan"), f" · {found.reason}{explains}"
    )
