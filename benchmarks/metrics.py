"""Metrics against scikit-learn: the area under the ROC curve of a million scores, exact and streamed.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py

Times are medians of interleaved calls in one process, one thread, of the process's CPU time; a streamed one includes
making the histogram, updating it and computing. `benchmarks/peers/metrics.py` has a step's update beside torchmetrics.
"""

import platform
import time
from collections.abc import Callable
from statistics import median

import sklearn
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from thalweg.parts.metrics import Ranking, average_precision, roc_auc

ROUNDS = 9


def rows(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(2, (count,), generator=generator)
    return torch.randn(count, generator=generator) + target, target


def times(forms: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median CPU seconds of each form, one call of each in turn."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for call in forms.values():
        call()
    for _ in range(rounds):
        for name, call in forms.items():
            began = time.process_time()
            call()
            taken[name].append(time.process_time() - began)
    return {name: median(values) for name, values in taken.items()}


def compared(score: Tensor, target: Tensor, *, probabilities: bool) -> None:
    """Prints the table of one set of scores."""
    y, s = target.numpy(), score.numpy()
    scores = "probabilities" if probabilities else "logits"

    def streamed(bits: int) -> Callable[[], object]:
        return lambda: Ranking(scores=scores, bits=bits).update(score, target).compute()  # type: ignore[arg-type]

    taken = times(
        {
            "scikit-learn": lambda: roc_auc_score(y, s),
            "exact": lambda: roc_auc(score, target),
            "16 bits": streamed(16),
            "18 bits": streamed(18),
        }
    )
    print(f"\n| AUC of {len(y):,} {scores} | ms | scikit-learn's time | error | guaranteed |\n|---|---|---|---|---|")
    expected = roc_auc_score(y, s)
    for name, seconds in taken.items():
        found = {"scikit-learn": (expected, 0.0), "exact": (roc_auc(score, target), 0.0)}.get(name)
        if found is None:
            value = Ranking(scores=scores, bits=int(name[:2])).update(score, target).compute()["auc"]  # type: ignore[arg-type]
            found = value.value, value.error
        ratio = taken["scikit-learn"] / seconds
        print(f"| {name} | {seconds * 1e3:.1f} | {ratio:.1f}× | {abs(found[0] - expected):.0e} | {found[1]:.0e} |")


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, {platform.machine()}, one thread")
    score, target = rows(10**6)
    compared(score, target, probabilities=False)
    compared(score.sigmoid(), target, probabilities=True)
    y, s = target.numpy(), score.numpy()
    found = Ranking().update(score, target).compute()["average_precision"]
    expected = average_precision_score(y, s)
    taken = times(
        {"scikit-learn": lambda: average_precision_score(y, s), "exact": lambda: average_precision(score, target)}
    )
    print(f"\nAverage precision: exact {taken['scikit-learn'] / taken['exact']:.1f}× as fast as scikit-learn; ", end="")
    print(f"streamed off by {abs(found.value - expected):.0e}, guaranteed {found.error:.0e}.")


if __name__ == "__main__":
    main()
