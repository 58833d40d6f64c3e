"""Names of runs: two words and a number, easy to say and to type."""

import random
from pathlib import Path

FIRST = (
    "amber ashen bold brave brisk calm clear cold dark deep early even fair firm fresh gentle green high keen late "
    "light long low mild misty narrow new north old open pale plain quick quiet red slow small soft south steep still "
    "stone straight sunny swift tall warm west white wide wild young"
).split()
SECOND = (
    "bank basin bay bend brook canyon cape cirque cliff cove creek dale delta dune estuary falls fen field fjord ford "
    "glen gorge gulf harbor hill inlet isle lake ledge marsh meadow mere moor pass peak pond pool reach reef ridge "
    "river scree shoal shore slope sound spring strait stream summit tarn vale valley"
).split()


def new_run_folder(directory: Path, name: str | None = None) -> Path:
    """Makes an unused folder for a run: `amber-fjord-12`, numbered in the order of the runs of this directory."""
    directory.mkdir(parents=True, exist_ok=True)
    number = sum(1 for entry in directory.iterdir() if entry.is_dir()) + 1
    generator = random.Random()  # from the system's entropy; never the seed of a training
    while True:
        words = name or f"{generator.choice(FIRST)}-{generator.choice(SECOND)}"
        folder = directory / f"{words}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
