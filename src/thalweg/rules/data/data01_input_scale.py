"""# DATA01: inputs not normalized

## What it does
Looks at the numbers that really enter the network, after all preprocessing, and where their scale is a decade or more
from 1, or their columns a hundredfold apart, tries the training with standardized inputs beside it.

## Why it is bad
The curvature of the loss in the first layer is the covariance of its inputs. Where columns differ a hundredfold, it
differs ten-thousandfold: a rate small enough for the large column does not move the weights of the small one. A common
factor does the same between the first layer's weights and every bias.

## Evidence used
- `input.rms`, root mean square of all values; `input.ratio`, largest over smallest column, columns of zeros and ones
  and constant ones left out. These only raise the question.
- The answer is a paired probe: the same short training with each column or channel at mean 0 and deviation 1, scored
  on rows held out. It is harm when the training as it is reaches less than half of the other's score beyond a constant
  answer, with the interval of the difference above 0, and either makes half of the planned steps or ends where no
  further steps lead out: its loss is not finite or above its start, or it answers all rows alike. Else it is a
  suspicion.
- After the training `twin.standardize_inputs`: the whole of it again with standardized inputs. It is harm below 0.8 of
  what the twin reaches on the validation rows, beyond two standard errors, and else nothing.
- `input.effect`: change of the outputs with standardized inputs; nearly none behind a normalization.
- Pixels from 0 to 1, one-hot columns, indices of embeddings and networks that begin with a normalization pass.

## Known limits
The probe is short, without warm-up and clipping, with Adam at the best of three rates unless the plan names its own;
under a warm-up or clipping it raises a suspicion only. A harmless scale is not mentioned. Where the initial weights
are at fault (LOSS01), inputs of a usual level are not judged.

## Remedies
- `Plan(preprocessing="standardize")`: fitted on the training rows, stored in the model (safe).

## References
Lecture row L12; LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 4.3.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import WHOLE, Harm, harm
from thalweg.rules.trial import Trial, number, trial

CODE = "DATA01"
NAME = "input scale"
STAGE = "check"
NEEDS = ("target.distinct",)

STANDARDIZE = "standardize_inputs"  # the probe and the twin
DECADE = 10.0  # from scale 1, either way: the curvature then differs a hundredfold from that of the biases
NO_EFFECT = 0.05  # of the outputs: a first batch norm undoes any scale, up to its epsilon
COLUMNS = 100.0  # between two columns: four decades of curvature


def odd_scales(readings: Readings) -> list[Reading]:
    """The inputs whose level is a decade from 1, or whose columns are a hundredfold apart."""
    effect = readings.value("input.effect")
    if effect is not None and effect < NO_EFFECT:
        return []
    odd = [r for r in readings.of("input.rms") if not 1 / DECADE < r.value < DECADE]
    odd = [r for r in odd if r.value > 0 and readings.value("input.binary", r.place) != 1]
    return odd + [r for r in readings.of("input.ratio") if r.value > COLUMNS]


def judge(readings: Readings) -> list[Finding]:
    odd = odd_scales(readings)
    if not odd:
        return []
    short, whole = trial(readings, STANDARDIZE), harm(readings, STANDARDIZE)
    harmed = whole is not None and whole.harmed
    if not harmed and (harmless(short, whole) or (short is None and weights_at_fault(readings))):
        return []
    what = {"input.rms": "root mean square of the inputs", "input.ratio": "largest column over smallest"}
    limits = {"input.rms": f"{1 / DECADE:g} to {DECADE:g}", "input.ratio": f"{COLUMNS:g}"}
    first = odd[0]
    return [
        Finding(
            code=CODE,
            title=f"The inputs are not normalized: {what[first.name]} {number(first.value)}",
            severity="warning",
            standing="verified" if harmed or (short is not None and short.decisive) else "suspicion",
            cause="input_scale",
            why="The loss is steep along large inputs and flat along small ones and biases; no single rate suits both.",
            place=first.place,
            evidence=(
                *(Evidence(what[r.name], number(r.value), limits[r.name]) for r in odd),
                *(short.evidence("standardized inputs") if short is not None else ()),
                *(whole.evidence("standardized inputs") if whole is not None else ()),
            ),
            excluded=whole.excluded if whole is not None and harmed else (),
            remedies=(
                Remedy("Standardize the inputs on the training rows.", "safe", {"preprocessing": "standardize"}),
            ),
        )
    ]


def harmless(short: Trial | None, whole: Harm | None) -> bool:
    """Whether the whole training again, or the short one, is not so much better with standardized inputs.

    Where the short one could not be mended by any number of steps, the whole one may want another rate, too.
    """
    lost = short is not None and short.decisive and short.lost
    if whole is not None and (whole.harmless or (whole.steps >= WHOLE and not lost)):
        return True
    return short is not None and not short.suggests


def weights_at_fault(readings: Readings) -> bool:
    """Whether the initial weights were shown to be so large that what the inputs do cannot be told."""
    weights = trial(readings, "rescale_weights")
    return weights is not None and weights.decisive
