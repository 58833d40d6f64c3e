"""Metrics: pure, exact functions on outputs and targets; `metric(name, kind)` finds one for the epoch loop."""

from thalweg.parts.metrics.by_name import SHOWN, metric, metric_names
from thalweg.parts.metrics.confusion import accuracy, balanced_accuracy, confusion_matrix, f1, precision, recall
from thalweg.parts.metrics.forms import Kind, Metric, Scores
from thalweg.parts.metrics.probability import brier_score, calibration_error, log_loss
from thalweg.parts.metrics.ranking import (
    average_precision,
    macro_average_precision,
    macro_roc_auc,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from thalweg.parts.metrics.regression import mae, mse, r2, rmse

__all__ = [
    "SHOWN",
    "Kind",
    "Metric",
    "Scores",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier_score",
    "calibration_error",
    "confusion_matrix",
    "f1",
    "log_loss",
    "macro_average_precision",
    "macro_roc_auc",
    "mae",
    "metric",
    "metric_names",
    "mse",
    "precision",
    "precision_recall_curve",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "roc_curve",
]
