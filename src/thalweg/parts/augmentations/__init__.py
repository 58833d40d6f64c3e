"""Random changes of the training samples that keep what they are of (L32). One file is one part."""

from thalweg.parts.augmentations.affine import Affine
from thalweg.parts.augmentations.augmentation import Augmentation as Augmentation
from thalweg.parts.augmentations.auto_contrast import AutoContrast
from thalweg.parts.augmentations.blur import Blur
from thalweg.parts.augmentations.brightness import Brightness
from thalweg.parts.augmentations.color_jitter import ColorJitter
from thalweg.parts.augmentations.column_noise import ColumnNoise
from thalweg.parts.augmentations.compose import Compose
from thalweg.parts.augmentations.contrast import Contrast
from thalweg.parts.augmentations.cut_mix import CutMix
from thalweg.parts.augmentations.equalize import Equalize
from thalweg.parts.augmentations.erasing import Erasing
from thalweg.parts.augmentations.frequency_mask import FrequencyMask
from thalweg.parts.augmentations.grayscale import Grayscale
from thalweg.parts.augmentations.horizontal_flip import HorizontalFlip
from thalweg.parts.augmentations.hue_hsv import HueHSV
from thalweg.parts.augmentations.hue_rotation import HueRotation
from thalweg.parts.augmentations.invert import Invert
from thalweg.parts.augmentations.jitter import Jitter
from thalweg.parts.augmentations.mixup import Mixup
from thalweg.parts.augmentations.mixup_or_cut_mix import MixupOrCutMix
from thalweg.parts.augmentations.noise import Noise
from thalweg.parts.augmentations.padded_crop import PaddedCrop
from thalweg.parts.augmentations.perspective import Perspective
from thalweg.parts.augmentations.posterize import Posterize
from thalweg.parts.augmentations.rand_augment import RandAugment
from thalweg.parts.augmentations.resized_crop import ResizedCrop
from thalweg.parts.augmentations.rotation import Rotation
from thalweg.parts.augmentations.saturation import Saturation
from thalweg.parts.augmentations.scaling import Scaling
from thalweg.parts.augmentations.sharpness import Sharpness
from thalweg.parts.augmentations.shear import Shear
from thalweg.parts.augmentations.shift import Shift
from thalweg.parts.augmentations.solarize import Solarize
from thalweg.parts.augmentations.speed import Speed
from thalweg.parts.augmentations.swap_noise import SwapNoise
from thalweg.parts.augmentations.time_crop import TimeCrop
from thalweg.parts.augmentations.time_mask import TimeMask
from thalweg.parts.augmentations.time_warp import TimeWarp
from thalweg.parts.augmentations.token_drop import TokenDrop
from thalweg.parts.augmentations.token_mask import TokenMask
from thalweg.parts.augmentations.token_swap import TokenSwap
from thalweg.parts.augmentations.trivial_augment import TrivialAugment
from thalweg.parts.augmentations.vertical_flip import VerticalFlip

# The parts; the base `Augmentation` is not one.
__all__ = [
    "Affine",
    "AutoContrast",
    "Blur",
    "Brightness",
    "ColorJitter",
    "ColumnNoise",
    "Compose",
    "Contrast",
    "CutMix",
    "Equalize",
    "Erasing",
    "FrequencyMask",
    "Grayscale",
    "HorizontalFlip",
    "HueHSV",
    "HueRotation",
    "Invert",
    "Jitter",
    "Mixup",
    "MixupOrCutMix",
    "Noise",
    "PaddedCrop",
    "Perspective",
    "Posterize",
    "RandAugment",
    "ResizedCrop",
    "Rotation",
    "Saturation",
    "Scaling",
    "Sharpness",
    "Shear",
    "Shift",
    "Solarize",
    "Speed",
    "SwapNoise",
    "TimeCrop",
    "TimeMask",
    "TimeWarp",
    "TokenDrop",
    "TokenMask",
    "TokenSwap",
    "TrivialAugment",
    "VerticalFlip",
]
