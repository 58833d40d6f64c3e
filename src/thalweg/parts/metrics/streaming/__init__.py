"""Streaming metrics: `update` never waits for the device, `merge` adds ranks, `compute` answers."""

from thalweg.parts.metrics.streaming.calibration import Calibration
from thalweg.parts.metrics.streaming.confusion import Confusion
from thalweg.parts.metrics.streaming.exact_ranking import ExactRanking
from thalweg.parts.metrics.streaming.losses import LogLoss
from thalweg.parts.metrics.streaming.multilabel import Multilabel
from thalweg.parts.metrics.streaming.ranking import Ranking
from thalweg.parts.metrics.streaming.regression import Regression
from thalweg.parts.metrics.streaming.streaming import Streaming as Streaming

__all__ = ["Calibration", "Confusion", "ExactRanking", "LogLoss", "Multilabel", "Ranking", "Regression"]
