"""Normalization: layers that keep the scale of what passes through them (L14 to L17). One file is one part.

`recalibrate` measures batch norm's estimates anew; modules that torch does not have are in `modules`.
"""

from typing import TYPE_CHECKING, Any

from thalweg.parts.normalization.batch_norm import BatchNorm
from thalweg.parts.normalization.ghost_batch_norm import GhostBatchNorm
from thalweg.parts.normalization.group_norm import GroupNorm
from thalweg.parts.normalization.instance_norm import InstanceNorm
from thalweg.parts.normalization.layer_norm import LayerNorm
from thalweg.parts.normalization.normalization import Normalization as Normalization
from thalweg.parts.normalization.normalization import OutputNormalization as OutputNormalization
from thalweg.parts.normalization.normalization import WeightNormalization as WeightNormalization
from thalweg.parts.normalization.rms_norm import RMSNorm
from thalweg.parts.normalization.spectral_norm import SpectralNorm
from thalweg.parts.normalization.weight_standardization import WeightStandardization

if TYPE_CHECKING:
    from thalweg.parts.normalization.recalibration import recalibrate as recalibrate

__all__ = [  # the parts; the base `Normalization` is not one
    "BatchNorm",
    "GhostBatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RMSNorm",
    "SpectralNorm",
    "WeightStandardization",
]


def __getattr__(name: str) -> Any:
    if name == "recalibrate":  # needs torch, which a plan does not
        from thalweg.parts.normalization.recalibration import recalibrate

        return recalibrate
    raise AttributeError(f"module 'thalweg.normalization' has no attribute {name!r}; it has: {', '.join(__all__)}")
