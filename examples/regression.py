"""House values in California, 1990: 20,640 blocks, a category, missing values, and a target in dollars.

thalweg train examples/regression.py
"""

from _folder import data_file
from torch import nn

import thalweg as tw

SOURCE = "California housing with missing values and ocean_proximity (StatLib; github.com/ageron/data, housing.csv)"
path = data_file("california_housing.csv.gz", SOURCE)


def mlp(spec: tw.Spec) -> nn.Module:
    """`spec` tells how many features the columns become: a category has one for each of its values."""
    (width,) = spec.inputs[0]
    return nn.Sequential(nn.Linear(width, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, spec.outputs))


experiment = tw.Experiment(mlp, train=path, target="median_house_value", loss="mse", metrics=["r2", "rmse"])
