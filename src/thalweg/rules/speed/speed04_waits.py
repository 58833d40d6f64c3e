"""# SPEED04: waiting for the device in each step

## What it does
Runs one forward pass with its loss and lists the lines of the model's and the loss's own code that need a tensor's
value in Python: `.item()`, `.cpu()`, `.numpy()`, `.tolist()`, `float(tensor)`, `if tensor:`, `nonzero`.

## Why it is bad
A GPU works through a queue that Python fills. A line that needs a value waits until the queue is empty, and then the
GPU waits for Python: in each step, however small the value.

## Evidence used
- `speed.waits`: the lines with how often each waited in one step; its note is the method, or the device.

## Known limits
It is a note, and on a CPU, where there is no queue, it only tells what would cost on a GPU. Code that torch's function
modes do not see (compiled code, C++ extensions) is not looked at; neither is the loop around the model.

## Remedies
- Keep values as tensors; collect them and read them every hundredth step. `torch.where` instead of `if` (manual).

## References
PyTorch, "Performance Tuning Guide": avoid unnecessary CPU-GPU synchronization.
"""

from thalweg.findings import Evidence, Finding, Remedy
from thalweg.readings import Readings

CODE = "SPEED04"
NAME = "waiting for the device"
STAGE = "check"
NEEDS = ("speed.waits",)


def judge(readings: Readings) -> list[Finding]:
    whole = readings.last("speed.waits", "")
    lines = [r for place in readings.places("speed.waits") if place for r in readings.of("speed.waits", place)[-1:]]
    if whole is None or not whole.value or not lines:
        return []
    times = "once" if whole.value == 1 else f"{whole.value:.0f} times"
    on_cpu = whole.note.startswith("cpu")
    return [
        Finding(
            code=CODE,
            title=f"Each step waits {times} for a value in Python" + (" (which costs on a GPU)" if on_cpu else ""),
            severity="note",
            standing="proven",
            cause="slow",
            why="A line that needs a tensor's value waits until the device has done all its work, and then the device "
            "waits for Python." + (" On this CPU it costs next to nothing." if on_cpu else ""),
            place=lines[0].place,
            evidence=tuple(Evidence(line.place, f".{line.note}() × {line.value:.0f} in one step") for line in lines),
            remedies=(
                Remedy(
                    "Keep the value a tensor and read it every hundredth step; torch.where instead of an if.", "manual"
                ),
            ),
        )
    ]
