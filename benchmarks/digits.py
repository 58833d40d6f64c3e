"""Digits with the automatic plan: test accuracy over seeds that vary split and initialization.

    python benchmarks/digits.py [--seeds 5]

The experiment of examples/digits.py: 20 % stratified test, sealed until the end of each training.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from pathlib import Path
from types import ModuleType

import thalweg as tw

ROOT = Path(__file__).resolve().parent.parent


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_example", ROOT / "examples" / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    example = load_example()
    print("| seed | rate | best epoch | validation accuracy | test accuracy, 95 % interval | findings | seconds |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as directory:
            started = time.perf_counter()
            experiment = tw.Experiment(
                example.small_cnn,
                train=(example.images, example.digits.target),
                loss="cross_entropy",
                seed=seed,
                directory=directory,
            )
            run = experiment.train(listeners=())
            result = experiment.evaluate(run)
            seconds = time.perf_counter() - started
        accuracy = next(m for m in result.measures if m.name == "accuracy")
        found.append(accuracy.value)
        alarms = [f.code for f in run.findings if f.counts]
        rate = run.plan.optimizer.lr if run.plan.optimizer != "auto" else "auto"
        print(
            f"| {seed} | {rate:.3g} | {run.store.get('best')['epoch']} of {run.plan.epochs} "
            f"| {run.metrics['accuracy']:.2%} | {accuracy.value:.2%} [{accuracy.low:.2%}, {accuracy.high:.2%}] "
            f"| {', '.join(alarms) or 'none'} | {seconds:.1f} |",
            flush=True,
        )
    print(f"\nmean {statistics.mean(found):.2%}, least {min(found):.2%}")


if __name__ == "__main__":
    main()
