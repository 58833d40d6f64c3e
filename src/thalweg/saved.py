"""A run's trained model: loaded with its weights, asked for predictions, exported."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.build import build_network, name_of, spec_of
from thalweg.data.feeder import Feeder
from thalweg.data.rows import AnyRows, Inputs, Rows, head, num_rows
from thalweg.errors import ModelError, StoreError, UsageError
from thalweg.train.checkpoint import load_checkpoint
from thalweg.train.clone import clone, tensors
from thalweg.train.evaluation import evaluating, join
from thalweg.train.model import Model

if TYPE_CHECKING:
    from thalweg.run import Run
