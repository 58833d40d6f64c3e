"""# DATA13: processes repeat their noise

## What it does
Looks for a random generator that a Dataset keeps as its own (`self.rng = np.random.default_rng(0)`), and tries whether
two copies of the Dataset draw the same noise from it.

## Why it is bad
Each process that reads gets a copy, and all copies begin in the same state: augmentations repeat from process to
process, and where processes are started anew for each epoch, from epoch to epoch. There is less noise than it seems,
and it depends on the number of processes.

## Evidence used
- `noise.repeated`: an item of two copies is equal bit by bit, though read once more from one copy it is another; the
  global generators were seeded alike.

## Known limits
Generators in attributes, transforms and lists of them are found, those in closures and modules are not. A
`worker_init_fn` may seed them: then a DataLoader is not judged. One that seeds every process alike is not seen. What
the repetition costs is not measured: it is a suspicion.

## Remedies
- Draw from the global generators of torch, NumPy or Python, which are seeded for each item here, and for each process
  by torch's DataLoader (changes training).
- Seed the generator in `worker_init_fn` from `torch.initial_seed()` (manual).

## References
PyTorch documentation, "Randomness in multi-process data loading"; Tanel Pärnamaa, "Using PyTorch + NumPy? You're making
a mistake" (2021).
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings

CODE = "DATA13"
NAME = "processes repeat their noise"
STAGE = "check"
NEEDS = ("noise.repeated",)


def judge(readings: Readings) -> list[Finding]:
    found = readings.last("noise.repeated")
    assert found is not None
    workers = found.count or 0
    if not found.value or workers < 1:
        return []
    several = f"{workers} processes that read" if workers > 1 else "process that reads"
    return [
        Finding(
            code=CODE,
            title=f"The Dataset draws its noise from {found.place!r}, which every process begins with alike",
            severity="warning",
            standing="suspicion",
            cause="overfitting",
            why=f"The {several} the items have a copy of the generator in the same state: noise repeats.",
            place="train",
            evidence=(
                Evidence("an item read from two copies of the Dataset", "equal, bit by bit"),
                Evidence("the same item read again from one copy", "another"),
                Evidence("processes", f"{workers}"),
            ),
            excluded=(Excluded("the global generators", "they were seeded alike for each reading"),),
            remedies=(
                Remedy("Draw from the global generators of torch, NumPy or Python instead.", "changes training"),
                Remedy("Seed it in worker_init_fn from torch.initial_seed().", "manual"),
            ),
        )
    ]
