"""Time to start: `import thalweg` over bare Python, and `thalweg --help`.

    python benchmarks/start.py [--rounds 15]

Wall time of fresh processes, interleaved, medians.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import thalweg'": [sys.executable, "-c", "import thalweg"],
    "python -c 'import thalweg; thalweg.Plan'": [sys.executable, "-c", "import thalweg; thalweg.Plan"],
    "thalweg --help": [str(Path(sys.executable).with_name("thalweg")), "--help"],
    "thalweg runs": [str(Path(sys.executable).with_name("thalweg")), "runs", "--directory", "/nonexistent"],
}


def milliseconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for k in range(rounds + 1):
        for name, command in COMMANDS.items():
            seconds = milliseconds(command)
            if k:  # the first round fills the caches
                taken[name].append(seconds)
    bare = statistics.median(taken["python -c pass"])
    print("| command | ms | over bare Python, ms |\n|---|---|---|")
    for name, values in taken.items():
        middle = statistics.median(values)
        print(f"| `{name}` | {middle:.0f} | {middle - bare:.0f} |")


if __name__ == "__main__":
    main()
