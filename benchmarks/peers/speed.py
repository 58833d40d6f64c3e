"""Speed of a training step: the other trainers beside thalweg, against the loop of the PyTorch tutorial.

    python benchmarks/peers/speed.py [--rounds 7] [--cases abc] [--only thalweg lightning]

Each trainer trains the same model on the same rows with SGD and momentum, in three forms: as its guide starts; stripped
of all that it lets one switch off (logs, bars, checkpoints); and stripped with a faster loader and optimizer handed to
it (whole batches by index, fused kernel). thalweg runs through its public face with monitors on, validation each epoch
and records on disk. One thread, process CPU time. What is paid once per training is not billed to the steps (fixed.py
measures it): from each training the time of a short one, of one epoch of 2,048 rows, is subtracted. Rounds are
interleaved; a ratio is the median over rounds of (tutorial / trainer): above 1, faster than the tutorial loop.
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch
from cases import CASES, Case
from trainers import TUTORIAL, Form, all_forms, silence
from work import Work, loss_on, rows

SHORT_ROWS = 2048  # what thalweg measures once at the end of a training, it measures on up to 2,000 rows


def cpu_seconds(form: Form, work: Work) -> tuple[float, float]:
    """CPU time of one training, and the loss after it."""
    with silence():
        started = time.process_time()
        trained = form.train(replace(work, tuned=form.tuned))
        seconds = time.process_time() - started
    return seconds, loss_on(trained, work.x, work.y)


def step_seconds(form: Form, case: Case, seed: int) -> tuple[float, float]:
    """CPU time of a step: that of a whole training less that of a short one; and the loss after the whole."""
    x, y = rows(case.batch_size * case.steps_per_epoch, case.shape)
    held = rows(64, case.shape, seed=2)
    torch.manual_seed(seed)
    short, _ = cpu_seconds(form, Work(case.build(), x[:SHORT_ROWS], y[:SHORT_ROWS], held, case.batch_size, 1))
    torch.manual_seed(seed)
    whole, loss = cpu_seconds(form, Work(case.build(), x, y, held, case.batch_size, case.epochs))
    return (whole - short) / (case.num_steps - SHORT_ROWS // case.batch_size), loss


def measure(case: Case, chosen: list[Form], rounds: int) -> dict[str, tuple[float, float, float, float, float]]:
    """Per form: median ratio, least, largest, median step time in µs, loss after training."""
    taken: dict[str, list[tuple[float, float]]] = {form.name: [] for form in chosen}
    for k in range(rounds + 1):
        for form in chosen[k % len(chosen) :] + chosen[: k % len(chosen)]:  # no form has a place of its own
            result = step_seconds(form, case, seed=k)
            if k:  # the first round warms up
                taken[form.name].append(result)
    base = [seconds for seconds, _ in taken[TUTORIAL]]
    found = {}
    for name, results in taken.items():
        ratios = [b / seconds for b, (seconds, _) in zip(base, results, strict=True)]
        middle = statistics.median(seconds for seconds, _ in results)
        loss = statistics.median(loss for _, loss in results)
        found[name] = (statistics.median(ratios), min(ratios), max(ratios), middle * 1e6, loss)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", default="abc")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = all_forms(options.only)
    print(f"torch {torch.__version__}, one thread, {options.rounds} rounds", flush=True)
    for letter in options.cases:
        case = CASES[letter]
        print(f"\n{letter}: {case.title}, {case.num_steps} steps\n")
        print("| trainer | speed | least to largest | µs a step | loss after |\n|---|---|---|---|---|")
        for name, (ratio, low, high, micro, loss) in measure(case, chosen, options.rounds).items():
            print(f"| {name} | {ratio:.2f}x | {low:.2f} to {high:.2f} | {micro:.0f} | {loss:.3f} |", flush=True)


if __name__ == "__main__":
    main()
