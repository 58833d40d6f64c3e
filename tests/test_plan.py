"""Plans: frozen, typed, JSON both ways, and errors that name the field, the value and what is allowed."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.plan import FIELDS

PARTS = st.one_of(
    st.just("auto"),
    st.builds(tw.optimizers.SGD, lr=st.floats(1e-6, 10), momentum=st.floats(0, 0.99), weight_decay=st.floats(0, 1)),
    st.builds(tw.optimizers.AdamW, lr=st.just("auto"), betas=st.tuples(st.floats(0, 0.9), st.floats(0, 0.99))),
)
PLANS = st.builds(
    tw.Plan,
    optimizer=PARTS,
    schedule=st.sampled_from(["auto", tw.schedules.Constant(), tw.schedules.OneCycle(warmup=0.2)]),
    epochs=st.one_of(st.just("auto"), st.integers(1, 10**6)),
    clip_norm=st.one_of(st.none(), st.just("auto"), st.floats(1e-3, 1e3)),
    seed=st.one_of(st.just("auto"), st.integers(0, 2**63 - 1)),
    decay_all=st.booleans(),
)


@given(PLANS)
def test_json_both_ways(plan: tw.Plan) -> None:
    assert tw.Plan.from_json(json.dumps(plan.to_json())) == plan
    assert tw.Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, r"no field 'epoch'\. Did you mean 'epochs'\? Its fields are: optimizer"),
        ({"epochs": 0}, r"'epochs' got 0; allowed: 'auto' or an integer of at least 1"),
        ({"epochs": 2.0}, r"'epochs' got 2\.0"),
        ({"epochs": True}, r"'epochs' got True"),
        ({"batch_size": "large"}, r"'batch_size' got 'large'"),
        ({"optimizer": "adamm"}, r"'optimizer' got 'adamm'; .*Did you mean 'Adam"),
        ({"optimizer": 0.1}, r"'optimizer' got"),
        ({"optimizer": {"name": "SGD", "rate": 0.1}}, r"SGD has no 'rate'.*lr"),
        ({"averaging.decay": 0.1}, r"'averaging' is None, which has no 'decay'"),
        ({"schedule": "sine"}, r"'schedule' got 'sine'; allowed: 'auto', Constant"),
        ({"preprocessing": "standardise"}, r"Did you mean 'standardize'\?"),
        ({"keep": "first"}, r"'keep' got 'first'; allowed: 'best' or 'last'"),
        ({"clip_norm": -1.0}, r"'clip_norm' got -1\.0; allowed: 'auto', None"),
        ({"clip_norm": float("nan")}, r"'clip_norm' got nan"),
        ({"monitoring": 2}, r"'monitoring' got 2; allowed: a share"),
        ({"probes": 1}, r"'probes' got 1; allowed: True or False"),
        ({"seed": -1}, r"'seed' got -1"),
        ({"selection": ""}, r"'selection' got ''"),
    ],
)
def test_what_is_not_allowed_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tw.Plan().replace(**changes)


def test_dotted_names_reach_into_parts() -> None:
    plan = tw.Plan(optimizer=tw.optimizers.SGD(lr=0.1)).replace(**{"optimizer.momentum": 0.9, "optimizer.lr": 0.2})
    assert plan.optimizer == tw.optimizers.SGD(lr=0.2, momentum=0.9)
    with pytest.raises(UsageError, match=r"SGD has no 'momentun'\. Did you mean 'momentum'\?"):
        plan.replace(**{"optimizer.momentun": 0.9})


def test_parts_by_name() -> None:
    assert tw.Plan().replace(optimizer="adamw").optimizer == tw.optimizers.AdamW()
    assert tw.Plan().replace(schedule="OneCycle").schedule == tw.schedules.OneCycle()


def test_plans_are_frozen_and_print_every_decision() -> None:
    plan = tw.Plan()
    with pytest.raises(AttributeError):
        plan.epochs = 3  # type: ignore[misc]
    for name in FIELDS:
        assert name in str(plan)


def test_plain_leaves_nothing_to_decide() -> None:
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=2, batch_size=64)
    decided = {name for name, value in plan.to_json().items() if value != "auto"}
    assert set(FIELDS) - decided == {"seed", "workers"}  # neither changes what is computed from the data
    with pytest.raises(UsageError, match="no field 'epocs'"):
        tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=2, batch_size=64, epocs=3)


def test_plans_need_no_torch() -> None:
    code = "import sys, thalweg as tw; tw.Plan.from_json(tw.Plan().to_json()); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dotted_names_reach_into_parts_of_parts_and_take_what_json_has() -> None:
    S = tw.schedules  # noqa: N806
    plan = tw.Plan().replace(**{"schedule": "Warmup", "schedule.then": "Cosine", "schedule.then.final": 0.1})
    assert plan.schedule == S.Warmup(then=S.Cosine(final=0.1))
    cycled = tw.Plan().replace(**{"schedule": "OneCycle", "schedule.momenta": [0.85, 0.95]})
    assert cycled.schedule == S.OneCycle(momenta=(0.85, 0.95))
    both = {"name": "Several", "parts": [{"name": "L1", "strength": 0.1}, "MaxNorm"]}
    parts = (tw.regularizers.L1(strength=0.1), tw.regularizers.MaxNorm())
    assert tw.Plan.from_json({"regularizer": both}).regularizer == tw.regularizers.Several(parts=parts)
    with pytest.raises(UsageError, match=r"Cosine has no 'finale'\. Did you mean 'final'"):
        plan.replace(**{"schedule.then.finale": 0.1})
    with pytest.raises(UsageError, match=r"'schedule\.warmup' is 0\.05, which has no 'final'"):
        plan.replace(**{"schedule.warmup.final": 0.1})


def test_a_dotted_name_changes_the_part_that_auto_stands_for() -> None:
    plan = tw.Plan().replace(**{"optimizer.lr": 0.1, "schedule.warmup": 0.2})
    assert plan.optimizer == tw.optimizers.AdamW(lr=0.1, weight_decay=0.01)
    assert plan.schedule == tw.schedules.WarmupCosine(warmup=0.2)
