from dataclasses import replace

import torch
from torch import nn

from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.doctor.check import check
from thalweg.findings import Finding
from thalweg.parts.optimizers import SGD
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data01_input_scale import judge, odd_scales


def inputs(rms: float, ratio: float = 1.0, *more: Reading) -> Readings:
    return Readings([Reading("target.distinct", 2), Reading("input.rms", rms), Reading("input.ratio", ratio), *more])


def probe(plain: float, changed: float, half: float = 0.02, *, share: float = 0.75, lost: float = 0.0) -> list[Reading]:
    """The short training, of so many of the training's steps; of those without the remedy so many were lost."""
    values = {"plain": plain, "changed": changed, "difference": changed - plain}
    found = [
        Reading(f"probe.standardize_inputs.{k}", v, low=v - half, high=v + half, count=5, note="score")
        for k, v in values.items()
    ]
    names = {"share": share, "lost": lost}
    return found + [Reading(f"probe.standardize_inputs.{name}", value) for name, value in names.items()]


def twin(plain: float, changed: float, steps: float = 1.0, half: float = 0.04) -> list[Reading]:
    """The whole training again; a constant answer has 0.1."""
    gain = changed - plain
    found = [
        Reading("plain", plain, note="accuracy", count=500),
        Reading("changed", changed, low=changed - half, high=changed + half, note="accuracy", count=500),
        Reading("constant", 0.1),
        Reading("difference", gain, low=gain - half, high=gain + half, count=500),
        Reading("steps", steps),
    ]
    return [replace(r, name=f"twin.standardize_inputs.{r.name}") for r in found]


BROKEN = inputs(1325.0, 1800.0, *probe(0.0, 0.6))
HEALTHY = inputs(0.45, 3.0)


def test_harm_makes_it_a_verified_warning():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "verified", "input_scale")
    assert finding.remedies[0].changes == {"preprocessing": "standardize"}


def test_an_odd_scale_that_does_no_harm_is_not_mentioned():
    assert judge(inputs(1325.0, 1800.0, *probe(0.55, 0.6))) == []
    assert judge(inputs(1325.0, 1800.0, *probe(0.2, 0.3, half=0.5))) == []


def test_without_a_probe_it_is_a_suspicion():
    (finding,) = judge(inputs(1325.0))
    assert finding.standing == "suspicion"


def test_a_slow_beginning_of_a_longer_training_is_a_suspicion():
    (finding,) = judge(inputs(1325.0, 1.0, *probe(0.1, 0.6, share=0.2)))
    assert (finding.standing, finding.cause) == ("suspicion", "input_scale")
    (finding,) = judge(inputs(1325.0, 1.0, *probe(0.0, 0.6, share=0.2, lost=1.0)))  # no more steps would help
    assert finding.standing == "verified"
    (finding,) = judge(inputs(1325.0, 1.0, *probe(0.0, 0.6, share=0.2, lost=0.8)))
    assert finding.standing == "suspicion"


def test_the_whole_training_has_the_last_word():
    slow = probe(0.1, 0.6, share=0.2)
    (finding,) = judge(inputs(1325.0, 1.0, *slow, *twin(0.3, 0.9)))
    assert (finding.standing, finding.severity) == ("verified", "warning")
    assert judge(inputs(1325.0, 1.0, *probe(0.1, 0.6), *twin(0.88, 0.9))) == []
    assert judge(inputs(1325.0, 1.0, *slow, *twin(0.3, 0.32))) == []
    assert judge(inputs(1325.0, 1.0, *slow, *twin(0.3, 0.32, steps=0.3)))[0].standing == "suspicion"
    (finding,) = judge(inputs(1325.0, 1.0, *probe(0.0, 0.6, lost=1.0), *twin(0.1, 0.12)))
    assert finding.standing == "verified"  # neither trains at this rate, and the short one showed that the inputs do it


def test_weights_that_are_at_fault_come_first():
    weights = [replace(r, name=r.name.replace("standardize_inputs", "rescale_weights")) for r in probe(-1.0, 0.6)]
    assert judge(inputs(0.5, 411.0, *weights)) == []


G = torch.Generator().manual_seed(0)
X = torch.randn(800, 8, generator=G)
Y = (X[:, :4].sum(1) > 0).long()


def checked(x: torch.Tensor, rate: float, **more) -> list[Finding]:
    rows = [Rows(x[s], Y[s], torch.arange(800)[s], name) for s, name in ((slice(600), "train"), (slice(600, 800), "v"))]
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    found = check(
        network,
        nn.functional.cross_entropy,
        loss_name="cross_entropy",
        task=Task("binary", (0, 1), 2),
        rows=rows[0],
        validation=rows[1],
        optimizer=SGD(lr=rate),
        **more,
    )
    return [f for f in found.findings if f.code == "DATA01" and f.severity != "note"]


def test_large_inputs_at_a_rate_for_small_ones_are_found_in_a_real_network():
    (finding,) = checked(3000 * X + 2000, 0.1, num_steps=400)
    assert (finding.standing, finding.cause) == ("verified", "input_scale")
    (finding,) = checked(3000 * X + 2000, 0.1, num_steps=10**6, gentle=True)  # clipping may save it
    assert finding.standing == "suspicion"


def test_columns_of_unequal_scale_that_are_learned_all_the_same_raise_no_alarm():
    scales = torch.tensor([1.0, 1, 1, 1, 0.004, 0.004, 0.004, 0.004])
    assert checked(scales * X, 0.3, num_steps=400) == []
    assert checked(X, 0.1, num_steps=400) == []


def test_what_raises_the_question():
    assert not odd_scales(inputs(0.3))  # pixels from 0 to 1
    assert not odd_scales(inputs(0.05, 1.0, Reading("input.binary", 1)))  # one-hot columns
    assert not odd_scales(inputs(111.0, 1.0, Reading("input.effect", 1e-3)))  # a normalization comes first
    assert not odd_scales(Readings([Reading("target.distinct", 2)]))  # indices only
    assert odd_scales(inputs(0.0017))
    assert odd_scales(inputs(1.0, 500.0))
