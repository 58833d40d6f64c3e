"""Disease progression in a year, from 10 measurements: a small regression on data that scikit-learn ships.

thalweg train examples/diabetes.py
"""

from sklearn.datasets import load_diabetes
from torch import nn

import thalweg as tw

x, y = load_diabetes(return_X_y=True)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))


experiment = tw.Experiment(network, train=(x, y.astype("float32")), loss="mse", metrics=["r2", "rmse"])
plan = tw.Plan(epochs=40)  # everything else is decided automatically
