"""Metrics: exact functions, `metric(name, kind)` for the epoch loop, and streaming objects for loops of one's own."""

from thalweg.parts.metrics.agreement import kappa, mcc
from thalweg.parts.metrics.by_name import SHOWN, metric, metric_forms, metric_names
from thalweg.parts.metrics.calibration import calibration_error, reliability
from thalweg.parts.metrics.confusion import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    f1,
    f_beta,
    precision,
    recall,
    specificity,
)
from thalweg.parts.metrics.forms import Kind, Metric, Scores
from thalweg.parts.metrics.multilabel import hamming_loss, label_share, sample_share, subset_accuracy
from thalweg.parts.metrics.operating import partial_roc_auc, precision_at_recall, tpr_at_fpr
from thalweg.parts.metrics.probability import brier_score, log_loss, perplexity
from thalweg.parts.metrics.ranking import average_precision, precision_recall_curve, roc_auc, roc_curve
from thalweg.parts.metrics.regression import (
    explained_variance,
    mae,
    median_absolute_error,
    mse,
    quantile_loss,
    r2,
    rmse,
)
from thalweg.parts.metrics.several_classes import macro_average_precision, macro_roc_auc, one_vs_one_auc
from thalweg.parts.metrics.streaming import (
    Calibration,
    Confusion,
    ExactRanking,
    LogLoss,
    Multilabel,
    Ranking,
    Regression,
)
from thalweg.parts.metrics.top_k import top_k_accuracy
from thalweg.parts.metrics.values import Value

__all__ = [
    "SHOWN",
    "Calibration",
    "Confusion",
    "ExactRanking",
    "Kind",
    "LogLoss",
    "Metric",
    "Multilabel",
    "Ranking",
    "Regression",
    "Scores",
    "Value",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier_score",
    "calibration_error",
    "confusion_matrix",
    "explained_variance",
    "f1",
    "f_beta",
    "hamming_loss",
    "kappa",
    "label_share",
    "log_loss",
    "macro_average_precision",
    "macro_roc_auc",
    "mae",
    "mcc",
    "median_absolute_error",
    "metric",
    "metric_forms",
    "metric_names",
    "mse",
    "one_vs_one_auc",
    "partial_roc_auc",
    "perplexity",
    "precision",
    "precision_at_recall",
    "precision_recall_curve",
    "quantile_loss",
    "r2",
    "recall",
    "reliability",
    "rmse",
    "roc_auc",
    "roc_curve",
    "sample_share",
    "specificity",
    "subset_accuracy",
    "top_k_accuracy",
    "tpr_at_fpr",
]
