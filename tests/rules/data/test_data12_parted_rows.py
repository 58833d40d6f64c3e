import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data12_parted_rows import judge

RANDOM = Reading("split.random", 1.0)
SHARED = Reading("group.shared", 0.9, "patient_id", count=120)
BROKEN = Readings(
    [
        RANDOM,
        SHARED,
        Reading("group.gap", 0.3, "patient_id", low=0.2, high=0.4, count=200, note="accuracy 0.9, 0.6 without"),
    ]
)
HEALTHY = Readings([RANDOM])


def test_a_clear_gap_is_a_suspicion_and_the_fact_alone_a_note():
    (doubt,) = judge(BROKEN)
    assert (doubt.severity, doubt.standing, doubt.counts) == ("warning", "suspicion", False)
    assert doubt.cause == "split_leak"
    (fact,) = judge(Readings([RANDOM, SHARED]))
    assert fact.severity == "note"
    small = Reading("group.gap", 0.02, "patient_id", low=0.01, high=0.03, count=200, note="accuracy 0.9, 0.6 without")
    assert judge(Readings([RANDOM, SHARED, small]))[0].severity == "note"
    assert judge(Readings([RANDOM, Reading("group.shared", 0.2, "patient_id", count=500)])) == []


def checked(frame: pd.DataFrame, tmp_path, **words):
    columns = frame.shape[1] - 1 - sum(k in words for k in ("groups", "time"))

    def build(spec):
        return nn.Sequential(nn.Linear(spec.inputs[0][0] if columns else 1, 8), nn.ReLU(), nn.Linear(8, spec.outputs))

    loss = "cross_entropy" if frame["y"].dtype.kind in "iO" else "mse"
    experiment = tw.Experiment(build, train=frame, target="y", loss=loss, directory=tmp_path, **words)
    found = experiment.check(tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=1e-3), epochs=2, batch_size=64))
    return [f for f in found.findings if f.code == "DATA12"]


def patients(*, told: bool) -> pd.DataFrame:
    """Eight rows of each of 120 patients, who resemble themselves; `told`: their label follows from the values."""
    draw = np.random.default_rng(0)
    person = np.repeat(np.arange(120), 8)
    own = draw.normal(size=(120, 6))
    values = own[person] + 0.1 * draw.normal(size=(960, 6))
    label = (own[:, 0] > 0).astype(int) if told else draw.integers(0, 2, 120)
    frame = pd.DataFrame(values, columns=[f"v{k}" for k in range(6)])
    return frame.assign(patient_id=person, y=label[person])


def drifting() -> pd.DataFrame:
    """What follows from the values turns round in the course of the time."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2000, 3))
    day = np.arange(2000) / 2000
    y = x[:, 0] * np.cos(4 * day) + x[:, 1] * np.sin(4 * day) + 0.05 * draw.normal(size=2000)
    date = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(2000), unit="D")
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "trend": day, "date": date, "y": y})


def test_patients_in_both_parts_are_suspected_where_their_rows_help(tmp_path):
    (doubt,) = checked(patients(told=False), tmp_path)
    assert (doubt.standing, doubt.place) == ("suspicion", "patient_id")
    assert "100 %" in doubt.evidence[0].value or float(doubt.evidence[0].value.split()[0]) > 90


def test_a_split_by_patients_says_nothing(tmp_path):
    assert checked(patients(told=False), tmp_path, groups="patient_id") == []


def test_what_changes_with_time_is_suspected(tmp_path):
    (doubt,) = checked(drifting(), tmp_path)
    assert (doubt.standing, doubt.place) == ("suspicion", "date")
    assert checked(drifting(), tmp_path / "by_time", time="date") == []


@pytest.mark.parametrize("name", ["cells", "diabetes"])
def test_ids_and_dates_without_meaning_raise_no_suspicion(name, tmp_path):
    """Real data with ids, dates and numbers that were dealt out at random."""
    data = load_breast_cancer(as_frame=True) if name == "cells" else load_diabetes(as_frame=True)
    draw = np.random.default_rng(0)
    frame = data.data.assign(
        y=data.target.astype(int) if name == "cells" else data.target.astype(float),
        subject=draw.integers(0, 60, len(data.data)).astype(str),
        site_id=draw.integers(0, 12, len(data.data)),
        date=pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.permutation(len(data.data)), unit="D"),
    )
    assert {f.severity for f in checked(frame, tmp_path)} <= {"note"}


def test_a_number_per_row_and_columns_with_other_names_are_no_groups(tmp_path):
    frame = patients(told=True).drop(columns="patient_id")
    frame = frame.assign(id=np.arange(len(frame)), width=np.arange(len(frame)) % 40)
    assert checked(frame, tmp_path) == []


def test_the_random_state_is_left_as_it_was(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    checked(patients(told=True), tmp_path)
    assert torch.equal(before, torch.get_rng_state())
