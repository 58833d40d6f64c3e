"""Pictures of the schedules: the rate over a training, and the momentum of those that cycle it."""

import random

from pictures.plot import Triple, curves, row

from thalweg.parts import schedules
from thalweg.parts.schedules import Measured, Schedule

STEPS = 1000
DRAWN = range(0, STEPS, 4)  # as fine as can be seen
LABEL = "step of 1,000"


def draw() -> dict[str, str]:
    """Every schedule as it is by default, beside what its options make of it."""
    s = schedules
    compared: dict[str, list[tuple[str, Schedule]]] = {
        "constant": [("Constant()", s.Constant()), ("WarmupCosine()", s.WarmupCosine())],
        "step": [("every=1/3", s.Step()), ("every=100, reduction=0.7", s.Step(every=100, reduction=0.7))],
        "multi_step": [
            ("at=(0.5, 0.75)", s.MultiStep()),
            ("at=(300, 600, 900), reduction=0.5", s.MultiStep(at=(300, 600, 900), reduction=0.5)),
        ],
        "exponential": [
            ("reduction=0.01", s.Exponential()),
            ("every=200, reduction=0.5", s.Exponential(every=200, reduction=0.5)),
        ],
        "polynomial": [(f"power={p:g}", s.Polynomial(power=p)) for p in (0.5, 0.9, 1.0, 2.0)],
        "linear": [("Linear()", s.Linear()), ("start=0.1, end=1.0, over=200", s.Linear(start=0.1, end=1.0, over=200))],
        "cosine": [("Cosine()", s.Cosine()), ("final=0.1, over=0.7", s.Cosine(final=0.1, over=0.7))],
        "warmup_cosine": [
            ("WarmupCosine()", s.WarmupCosine()),
            ("warmup=200, final=0.1", s.WarmupCosine(warmup=200, final=0.1)),
        ],
        "warmup": [
            (form, s.Warmup(then=s.Cosine(), warmup=0.3, form=form, start=0.01))
            for form in ("linear", "cosine", "exponential")
        ],
        "warmup_stable_decay": [(form, s.WarmupStableDecay(form=form)) for form in ("linear", "cosine", "1-sqrt")],
        "cosine_restarts": [
            ("first=1/7, mult=2", s.CosineRestarts()),
            ("first=0.25, mult=1", s.CosineRestarts(first=0.25, mult=1)),
        ],
        "sequential": [
            ("Warmup(), then Linear() from 0.6 on", s.Sequential(parts=(s.Warmup(), s.Linear()), at=(0.6,))),
            ("Constant(), then Linear() from 0.8 on", s.Sequential()),
        ],
        "product": [
            ("Linear() · Step()", s.Product(parts=(s.Linear(), s.Step()))),
            ("Linear()", s.Linear()),
            ("Step()", s.Step()),
        ],
    }
    drawn = {stem: rates(shown) for stem, shown in compared.items()}
    drawn["triangular"] = with_momentum(
        [(mode, s.Triangular(mode=mode, momenta=(0.8, 0.9))) for mode in ("triangular", "triangular2", "exp_range")]
    )
    drawn["one_cycle"] = with_momentum(
        [(form, s.OneCycle(form=form, momenta=(0.85, 0.95))) for form in ("cosine", "linear")]
    )
    drawn["plateau"] = plateau()
    return drawn


def rates(shown: list[tuple[str, Schedule]]) -> str:
    series: list[Triple] = [(name, DRAWN, [part.factor(t, STEPS) for t in DRAWN]) for name, part in shown]
    return curves(series, "Rate over the training", LABEL, "share of the peak")


def with_momentum(shown: list[tuple[str, Schedule]]) -> str:
    series = [(name, DRAWN, [part.momentum(t, STEPS) for t in DRAWN]) for name, part in shown]
    return row(rates(shown), curves(series, "Momentum, cycled against the rate", LABEL, "momentum"))


def plateau() -> str:
    """A noisy loss that falls to one plateau and, once the rate is reduced, to the next."""
    generator, part = random.Random(0), schedules.Plateau()
    history: list[Measured] = []
    losses, shares, level = [], [], 2.0
    for epoch in range(120):
        share = part.informed(history, 120).factor(epoch, 120)
        floor = 0.6 + 0.7 * (share == 1.0) + 0.2 * (share > 0.05)  # a smaller rate lets the loss settle lower
        level += 0.08 * (floor - level)
        losses.append(level + generator.gauss(0, 0.04))
        shares.append(share)
        history.append(Measured(epoch + 1, losses[-1], losses[-1]))
    epochs = range(1, 121)
    return row(
        curves([("validation loss", epochs, losses)], "A made-up validation loss", "epoch", "loss"),
        curves(
            [("rate", epochs, shares)], "The rate that follows from it", "epoch", "share of the peak",
            y_scale="log", look="step",
        ),
    )  # fmt: skip
