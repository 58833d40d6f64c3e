"""# AUG01: augmentation changes what the images show

## What it does
Reports an augmentation of the plan under which training images come to lie among images of other classes, and names the
classes.

## Why it is bad
A digit six upside down is a nine with the label six. The network is taught that nines are sixes, and what it could tell
apart without the augmentation it can no longer.

## Evidence used
- `augmentation.foreign_before`: among the 10 nearest training images of a training image, the share of another class.
- `augmentation.foreign`: by how much the share changes when the images under the augmentation are added, paired over
  the same images. Images that keep what they show lie nearer to their class, and the share falls; images of another
  look lie apart, and it stays. It is a finding where the share rises surely (by 2.5 standard errors), by a tenth of
  itself and by 0.003.

## Known limits
Neighbors by pixels know little of photographs: there an augmentation that changes the label may not show, and nothing
is reported. Only images with one class each are compared, by at most 2,000 of them. It says that labels are blurred,
not how much that costs, and is a suspicion.

## Remedies
- Leave the augmentation out, or narrow its range (changes training).

## References
Lecture row L32. Krizhevsky et al., "ImageNet Classification with Deep CNNs" (2012), section 4.1: label-preserving
transformations.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import with_interval
from thalweg.rules.trial import number

CODE = "AUG01"
NAME = "augmentation changes what the images show"
STAGE = "check"
NEEDS = ("augmentation.foreign",)

SHARE = 0.1  # of the share before: a vertical flip of garments adds 0.04 of it, of digits 0.4, a mirror 0.1
POINTS = 0.003


def judge(readings: Readings) -> list[Finding]:
    before = readings.value("augmentation.foreign_before") or 0.0
    return [finding(r, before) for r in readings.of("augmentation.foreign") if changes(r, before)]


def changes(reading: Reading, before: float) -> bool:
    return (reading.low or 0.0) > 0 and reading.value >= max(SHARE * before, POINTS)


def finding(reading: Reading, before: float) -> Finding:
    return Finding(
        code=CODE,
        title=f"{reading.place} may change what the images show: {reading.note}",
        severity="warning",
        standing="suspicion",
        cause="label_corruption",
        why="Under it training images come to lie among images of other classes, with the label that they had.",
        place=reading.place,
        evidence=(
            Evidence("neighbors of another class, without it", number(before)),
            Evidence("change when its images are added", with_interval(reading), "2.5 standard errors above 0"),
            Evidence("most often", f"class {reading.note}"),
        ),
        remedies=(Remedy(f"Leave {reading.place} out of the plan, or narrow its range.", "changes training"),),
    )
