"""Metrics of several processes: every rank gets the answer for the rows of all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thalweg.parts.metrics import Regression, mae, r2, roc_auc

RANK = """
import json, sys
import torch
from torch import distributed
from thalweg.parts.metrics import Confusion, ExactRanking, Ranking, Regression

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
generator = torch.Generator().manual_seed(0)
score, target = torch.randn(101, generator=generator), torch.randint(2, (101,), generator=generator)
mine = slice(0, 70) if rank == 0 else slice(70, 101)
found = {}
for metric in (Confusion(2), ExactRanking(), Ranking(), Regression()):
    metric.update(score[mine], target[mine].float() if isinstance(metric, Regression) else target[mine])
    own = {name: value.value for name, value in metric.compute().items()}
    found |= {f"{type(metric).__name__}.{k}": v.value for k, v in metric.merge_ranks().compute().items()}
    assert own == {name: value.value for name, value in metric.compute().items()}
print(json.dumps(found))
distributed.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_every_rank_gets_the_rows_of_all(tmp_path: Path) -> None:
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    answers = [json.loads(rank.communicate(timeout=200)[0].splitlines()[-1]) for rank in ranks]
    assert answers[0] == answers[1]
    generator = torch.Generator().manual_seed(0)
    score, target = torch.randn(101, generator=generator), torch.randint(2, (101,), generator=generator)
    assert answers[0]["ExactRanking.auc"] == roc_auc(score, target)
    assert answers[0]["Ranking.auc"] == pytest.approx(roc_auc(score, target), abs=1e-3)
    assert answers[0]["Regression.mae"] == pytest.approx(mae(score, target), rel=1e-12)
    assert answers[0]["Regression.r2"] == pytest.approx(r2(score, target), rel=1e-12)
    assert answers[0]["Confusion.accuracy"] == float(((score > 0) == (target == 1)).double().mean())
    assert Regression().update(score, target).compute()["mae"].value == pytest.approx(answers[0]["Regression.mae"])
