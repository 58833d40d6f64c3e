"""Microcalcifications in mammograms: 11,183 rows of 6 features, 2.3 % positive. Average precision is what counts.

thalweg train examples/imbalanced.py
"""

from _folder import data_file
from torch import nn

import thalweg as tw

SOURCE = "the mammography data (OpenML 310): 6 columns of numbers and the label '-1' or '1', without a line of names"
path = data_file("mammography.csv.gz", SOURCE)


def mlp(spec: tw.Spec) -> nn.Module:
    (width,) = spec.inputs[0]
    return nn.Sequential(
        nn.Linear(width, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, spec.outputs),
    )


experiment = tw.Experiment(
    mlp, train=path, target=-1, loss="binary_cross_entropy", metrics=["average_precision", "auc"]
)
