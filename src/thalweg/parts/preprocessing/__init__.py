"""What is done to the inputs and targets before the network sees them (L12, L13). One file is one part."""

from thalweg.parts.preprocessing.chain import Chain
from thalweg.parts.preprocessing.log import Log
from thalweg.parts.preprocessing.min_max import MinMax
from thalweg.parts.preprocessing.pca import PCA
from thalweg.parts.preprocessing.power import Power
from thalweg.parts.preprocessing.preparation import Preparation as Preparation
from thalweg.parts.preprocessing.robust import Robust
from thalweg.parts.preprocessing.standardize import Standardize
from thalweg.parts.preprocessing.table import Table
from thalweg.parts.preprocessing.zca import ZCA

# The parts; the base `Preparation` is not one.
__all__ = ["PCA", "ZCA", "Chain", "Log", "MinMax", "Power", "Robust", "Standardize", "Table"]
