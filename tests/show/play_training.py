"""Plays the events of a training to the terminal; run by the tests in a pty, with the names to print as arguments."""

import math
import sys

from sample_runs import CONSTANT, DEAD, GAP

from thalweg.events import Decided, EpochEnded, FindingRaised, Progress, RunEnded, RunStarted, Saved, StageEnded
from thalweg.show.terminal import Terminal

EPOCHS, STEPS = 30, 36


def play(listener: Terminal, model: str = "CNN 38.3k params", path: str = "runs/amber-fjord-12/report.html") -> None:
    listener(RunStarted("amber-fjord-12", model, "1,149/288/360 rows", "cpu"))
    listener(Decided("batch_size", "32", "about 32 batches per epoch of 1,149 rows, 16 to 256"))
    listener(Decided("schedule", "WarmupCosine", "a high rate first, then down to 0: the end needs small steps (L27)"))
    listener(StageEnded("check", 11, ("loss at start 2.31 (ln 10 = 2.30)",), (CONSTANT,), 1.93))
    listener(Decided("optimizer.lr", "3.2e-03", "race of 9 constant rates; as good: 1.8e-03 to 5.6e-03"))
    listener(StageEnded("probe", 4, ("overfits 64 rows in 38 steps", "rate 0.0032"), (), 6.2))
    for epoch in range(1, EPOCHS + 1):
        loss = 2.3 * math.exp(-epoch / 6)
        for step in range((epoch - 1) * STEPS + 1, epoch * STEPS + 1, 6):
            listener(Progress(step, EPOCHS * STEPS, epoch, EPOCHS, loss))
        if epoch == 12:
            listener(FindingRaised(DEAD))
            listener(FindingRaised(GAP))
            print("a print of the user's own")
            print("a warning of torch's", file=sys.stderr)
        listener(
            EpochEnded(epoch, EPOCHS, epoch * STEPS, loss, loss * 1.1, "accuracy", 1 - loss / 3,
                       0.0032 * (1 - epoch / 30), 1.9, 1.1e-3, 8412.0, 0.137, epoch <= 27)
        )  # fmt: skip
    listener(Progress(EPOCHS * STEPS, EPOCHS * STEPS, EPOCHS, EPOCHS, loss))
    listener(RunEnded("amber-fjord-12", "completed", "It learned, with one fault: 38 % of units died.", 27, 41.2))
    listener(Saved("report", path))


if __name__ == "__main__":
    play(Terminal(), *sys.argv[1:])
