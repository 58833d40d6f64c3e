"""# MODE01: answers that change from call to call

## What it does
Passes the same rows twice in evaluation mode and compares the outputs. After the training it scores single passes
against the answer without the noise.

## Why it is bad
A dropout that is called as a function needs `training=self.training`; without it units are dropped when answers are
wanted as well. Every measure then is that of a network that misses a part of itself, early stopping follows noise, and
the same input gets different answers.

## Evidence used
- `mode.noise`: difference between two passes under other noise, relative to the outputs' deviation over rows; whether
  it ends when every dropout passes on what it gets; and the first layer whose output differs.
- `twin.quiet.*`: score on the validation rows, mean over single passes, against that with dropout left out or, where
  the noise is of another kind, of the mean of sixteen passes.

## Known limits
Noise can be meant: Monte Carlo dropout, a variational autoencoder, a policy that explores. Without harm by the score it
is a note. Layers that are made anew in every call are GRAD01's.

## Remedies
- `F.dropout(x, p, training=self.training)`, or nn.Dropout (safe).

## References
Lecture row L30; torch.nn.functional.dropout, whose `training` is True unless told otherwise.
"""

from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.readings import Readings
from thalweg.rules.harm import harm
from thalweg.rules.trial import number

CODE = "MODE01"
NAME = "noise in evaluation"
STAGE = "check"
NEEDS = ("mode.noise",)

NOISE = 1e-3  # of the rows' deviation; sums in another order on several threads differ by 1e-6 to 1e-5


def judge(readings: Readings) -> list[Finding]:
    noise = readings.last("mode.noise")
    assert noise is not None
    foreign = readings.last("parameter.foreign")
    if noise.value <= NOISE or (foreign is not None and foreign.note == "anew"):
        return []
    cost = harm(readings, "quiet")
    harmed = cost is not None and cost.harmed
    dropout = noise.note == "dropout"
    return [
        Finding(
            code=CODE,
            title=f"In evaluation mode the same rows get answers that differ by {100 * noise.value:.2g} % of their "
            "deviation",
            severity="error" if harmed else "note",
            standing="proven",
            cause="train_eval_mode",
            why="A dropout is on in evaluation mode as well."
            if dropout
            else "Something random is on in evaluation mode as well.",
            place=noise.place,
            evidence=(
                Evidence(
                    "difference between two passes, of the deviation over rows", number(noise.value), f"{NOISE:g}"
                ),
                *((Evidence("the same with every dropout left out", "less than half"),) if dropout else ()),
                *(cost.evidence("the noise left out") if cost else ()),
            ),
            excluded=(
                Excluded("rounding", f"{number(noise.value)} is far above 1e-5"),
                *(cost.excluded if cost else ()),
            ),
            remedies=(
                Remedy("Write F.dropout(x, p, training=self.training), or use nn.Dropout.", "safe")
                if dropout
                else Remedy("Draw random numbers only `if self.training`, unless they are meant.", "manual"),
            ),
        )
    ]
