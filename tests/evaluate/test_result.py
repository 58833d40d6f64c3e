import json
import math
import subprocess
import sys

import pytest
import torch

from thalweg.errors import UsageError
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.evaluate.result import Result, Threshold


def examples():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(3, (60,), generator=generator)
    logits = torch.randn(60, 4, generator=generator)
    return [
        evaluate_outputs(logits, true, kind="multiclass", classes=["a", "b", "c", "nan"], replicates=50),
        evaluate_outputs(logits[:, 0], (true > 0).long(), kind="binary", replicates=50),
        evaluate_outputs(
            torch.ones(3), torch.zeros(3), kind="binary", threshold=Threshold(-math.inf, "logits", "validation")
        ),
        evaluate_outputs(logits[:, :2], logits[:, 2:], kind="regression", replicates=50),
    ]


@pytest.mark.parametrize("result", examples(), ids=lambda result: result.kind)
def test_json_both_ways_loses_nothing(result):
    text = json.dumps(result.to_json(), allow_nan=False)  # strict JSON, as a browser reads it
    # NaN differs from itself, so the texts are compared.
    assert repr(Result.from_json(json.loads(text))) == repr(result)


def test_a_measure_is_found_by_name():
    result = examples()[1]
    assert result["accuracy"] is result.measures[0]
    assert "auc" in result
    assert "r2" not in result
    with pytest.raises(UsageError, match=r"no measure 'acuracy'. Did you mean 'accuracy'\? There are: accuracy, "):
        result["acuracy"]


def test_a_threshold_is_also_a_probability():
    assert Threshold(math.log(3), "logits", "given").probability == pytest.approx(0.75)
    assert Threshold(0.2, "probabilities", "given").probability == 0.2
    assert Threshold(-math.inf, "probabilities", "given").probability == 0.0


def test_a_result_is_read_without_torch():
    code = "import sys; import thalweg.evaluate.result; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
