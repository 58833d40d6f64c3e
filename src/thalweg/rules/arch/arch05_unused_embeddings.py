"""# ARCH05: embedding rows never used

## What it does
Counts rows of an embedding that the whole training has left bit-identical.

## Why it is bad
A row that no training row indexes stays at its random start: an input that needs it later gets noise. A table that is
mostly unused is memory for nothing, and often a sign of a wrong vocabulary or of indices that are shifted.

## Evidence used
- `embedding.unused`: rows that are equal, bit by bit, before the first and after the last step; the padding row is left
  out. A row that was indexed once gets a gradient, and an optimizer's step moves it.

## Known limits
A note. Under weight decay all rows move and nothing is told. Rows whose gradient was exactly zero count as unused.

## Remedies
- Build the vocabulary from the training rows, with one index for what is unknown (manual).

## References
Lecture row L02.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings

CODE = "ARCH05"
NAME = "unused embeddings"
STAGE = "training"
NEEDS = ("embedding.unused",)


def judge(readings: Readings) -> list[Finding]:
    found = [r for place in readings.places("embedding.unused") if (r := readings.last("embedding.unused", place))]
    return [
        Finding(
            code=CODE,
            title=f"{r.value:.0f} of {r.count} rows of the embedding {r.place} were never trained",
            severity="note",
            standing="proven",
            cause="parameters_not_trained",
            why="No training row indexes them: they keep their random start, and an input that needs one gets noise.",
            place=r.place,
            step=r.step,
            evidence=(Evidence("rows equal bit by bit before and after", f"{r.value:.0f} / {r.count}", "0"),),
            remedies=(
                Remedy("Build the vocabulary from the training rows, with one index for what is unknown.", "manual"),
            ),
        )
        for r in found
        if r.value > 0
    ]
