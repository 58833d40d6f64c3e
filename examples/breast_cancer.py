"""Benign or malignant: a table of 30 measurements that scikit-learn ships, a binary task on one logit.

thalweg train examples/breast_cancer.py
"""

from sklearn.datasets import load_breast_cancer
from torch import nn

import thalweg as tw

table = load_breast_cancer(as_frame=True).frame
table["target"] = table["target"].map({0: "malignant", 1: "benign"})


def mlp(spec: tw.Spec) -> nn.Module:
    """`spec` tells what comes in after preprocessing, and how many outputs the loss needs."""
    (width,) = spec.inputs[0]
    return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, spec.outputs))


experiment = tw.Experiment(mlp, train=table, target="target", loss="binary_cross_entropy")
