"""Plain descriptions of rows that know nothing of the network: standardized values, random features, patches, tokens.

Each is fitted on some rows and describes others: `[N, D]` float32. Together with a ridge regression they are what a
person would try first; see `reference`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.data.rows import Batch, Inputs, tensors_of

Describe = Callable[[Inputs], Tensor]

WIDTH = 512  # random features: on 1,000 to 3,000 rows more add less than the noise of 1,000 validation rows
COLUMNS = 1024  # of flat values at most; larger inputs are averaged down
SIDE, LENGTH = 16, 128  # that images and signals are averaged down to
FEW_COLUMNS = 256  # up to which each column is brought to a normal distribution by its ranks: tables
PATCH, FILTERS, CELLS = 5, 64, 4  # values along a patch, how many of them, places along a side that are told apart
TOKENS = 512  # buckets that tokens, pairs of neighbors and tokens at places are hashed into
CLIP = 5.0  # standard deviations
PRIMES = (2_654_435_761, 40_503, 97)  # of multiplicative hashing (Knuth, TAOCP 6.4)


@dataclass(frozen=True)
class Plain:
    """A description of rows by its name: `describe(inputs)` is `[N, D]`; `own` are the fitted rows'."""

    name: str
    describe: Describe
    own: Tensor


def plain_features(inputs: Inputs, *, seed: int = 0) -> list[Plain]:
    """The descriptions that fit the inputs' form, fitted on these rows; none under a step of the user's own.

    `"linear"`: standardized values. `"random features"`: ReLU and cosine of random directions, at three scales, of the
    values (of tables: of their normal scores). `"patches"`: how much images and signals resemble patches drawn from
    them, per region (Coates and Ng 2012). `"tokens"`: hashed counts of tokens, neighbors, and tokens at places.

    Args:
        inputs: `[N, ...]` rows as they enter the network, in any form but a `Batch`.
        seed: decides directions and patches.

    >>> [plain.name for plain in plain_features(torch.randn(20, 3))]
    ['linear', 'random features']
    >>> [plain.name for plain in plain_features(torch.randint(0, 9, (20, 3)))]
    ['tokens', 'random features']
    """
    if isinstance(inputs, Batch):
        return []
    draw = torch.Generator().manual_seed(seed)
    found: list[Plain] = []
    if any(map(is_tokens, tensors_of(inputs))):
        found.append(Plain("tokens", *standard(hashed, inputs)))
    if any(not is_tokens(value) and (value.is_floating_point() or value.dim()) for value in tensors_of(inputs)):
        found.append(Plain("linear", *standard(values_of, inputs)))
    found.append(Plain("random features", *random_features(inputs, draw)))
    grids = [k for k, value in enumerate(tensors_of(inputs)) if has_grid(value)]
    if grids:
        found.append(Plain("patches", *patches(inputs, grids[0], draw)))
    return found


def is_tokens(value: Tensor) -> bool:
    """Whether numbers are names: integers, but not pixels."""
    return not value.is_floating_point() and value.dtype not in (torch.uint8, torch.bool) and value.dim() <= 2


def has_grid(value: Tensor) -> bool:
    """Whether neighbors belong together: images `[N, C, H, W]` and signals `[N, C, L]`."""
    return value.dim() in (3, 4) and not is_tokens(value) and min(value.shape[1:]) > 0 and max(value.shape[2:]) >= PATCH


def values_of(inputs: Inputs) -> Tensor:
    """All values of a row, averaged down where there are many: `[N, P]`."""
    parts = []
    for value in tensors_of(inputs):
        if is_tokens(value):
            parts.append(hashed(value))
            continue
        value = value.float()
        if value.dim() == 4 and value[0].numel() > COLUMNS:
            value = F.adaptive_avg_pool2d(value, (min(SIDE, value.shape[2]), min(SIDE, value.shape[3])))
        if value.dim() == 3 and value[0].numel() > COLUMNS and value.shape[2] > LENGTH:
            value = torch.cat([spectrum(value), F.adaptive_avg_pool1d(value, LENGTH)], 2)
        flat = value.reshape(len(value), -1)
        if flat.shape[1] > COLUMNS:
            flat = F.adaptive_avg_pool1d(flat[:, None], COLUMNS)[:, 0]
        parts.append(flat)
    return torch.cat(parts, 1).nan_to_num(0.0, 0.0, 0.0)


def spectrum(value: Tensor) -> Tensor:
    """Logarithm of the power in bands of a signal `[N, C, L]`: what a shift in time does not change."""
    power = torch.fft.rfft(value).abs().square()
    return F.adaptive_avg_pool1d(power, min(LENGTH, power.shape[2])).clamp_min(1e-12).log()


def hashed(inputs: Inputs) -> Tensor:
    """Square roots of the counts of hashed tokens, pairs of neighbors, and tokens at their places: `[N, 3 * 512]`."""
    found = []
    for value in tensors_of(inputs):
        if not is_tokens(value):
            continue
        tokens = value.reshape(len(value), -1)[:, :COLUMNS].long()
        places = torch.arange(tokens.shape[1], device=tokens.device)
        pairs = tokens[:, 1:] * PRIMES[1] + tokens[:, :-1] + 1
        for codes in (tokens, pairs, tokens * PRIMES[2] + places * PRIMES[1]):
            buckets = (codes * PRIMES[0] >> 7) % TOKENS if codes is not tokens else tokens % TOKENS
            counts = torch.zeros(len(tokens), TOKENS, device=tokens.device)
            found.append(counts.scatter_add_(1, buckets, torch.ones_like(buckets, dtype=torch.float32)).sqrt())
    return torch.cat(found, 1)


def standard(describe: Describe, inputs: Inputs) -> tuple[Describe, Tensor]:
    """The description with columns of mean 0 and deviation 1 on these rows, and theirs; constant columns fall away."""
    values = describe(inputs)
    mean, deviation = values.mean(0), values.std(0)
    # A column whose deviation is rounding error is constant.
    kept = deviation > 1e-6 * mean.abs().clamp_min(1e-30)
    mean, deviation = mean[kept], deviation[kept]
    own = scaled(values[:, kept], mean, deviation)
    return partial(standardize, describe=describe, mean=mean, deviation=deviation, kept=kept), own


def standardize(inputs: Inputs, *, describe: Describe, mean: Tensor, deviation: Tensor, kept: Tensor) -> Tensor:
    return scaled(describe(inputs)[:, kept], mean, deviation)


def scaled(values: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    return values.sub(mean).div_(deviation).clamp_(-CLIP, CLIP)


def random_features(inputs: Inputs, draw: torch.Generator) -> tuple[Describe, Tensor]:
    """ReLU and cosine features of random directions, beside the values themselves (Rahimi and Recht 2007)."""
    base, values = standard(values_of, inputs)
    columns = values.shape[1]
    ranks = None
    if columns <= FEW_COLUMNS and len(values) > 2:
        ranks = values.sort(0).values
        values = normal_scores(values, ranks)
    near = torch.randperm(len(values), generator=draw)[:64]
    scale = float(torch.pdist(values[near]).median()) if len(near) > 1 else 1.0
    scale = scale if scale > 0 else 1.0
    directions = torch.randn(columns, WIDTH, generator=draw)
    # A cosine of width s resolves differences of about s: a quarter, half and the whole of the usual distance.
    widths = torch.tensor([0.25, 0.5, 1.0]).repeat_interleave(WIDTH // 6 + 1)[: WIDTH // 2] * scale
    half = WIDTH // 2
    directions[:, :half] /= widths
    directions[:, half:] /= math.sqrt(max(columns, 1))
    offsets = torch.rand(WIDTH, generator=draw)
    offsets[:half] *= 2 * math.pi
    offsets[half:] = 2 * offsets[half:] - 1
    device = values.device
    raw = partial(
        waves, base=base, ranks=ranks, directions=directions.to(device), offsets=offsets.to(device), num_waves=half
    )
    return standard(raw, inputs)


def waves(
    inputs: Inputs, *, base: Describe, ranks: Tensor | None, directions: Tensor, offsets: Tensor, num_waves: int
) -> Tensor:
    values = base(inputs)
    values = values if ranks is None else normal_scores(values, ranks)
    mixed = values @ directions + offsets
    features = [mixed[:, :num_waves].cos(), mixed[:, num_waves:].relu()]
    return torch.cat([*features, values] if values.shape[1] <= FEW_COLUMNS else features, 1)


def normal_scores(values: Tensor, ranks: Tensor) -> Tensor:
    """Each column through its distribution on the fitted rows, to a normal one; `ranks` are its sorted values."""
    count = len(ranks)
    columns, ordered = values.T.contiguous(), ranks.T.contiguous()
    place = (torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True)) / 2
    scores: Tensor = torch.special.ndtri((place.T + 0.5) / (count + 1))
    return scores.float()


def patches(inputs: Inputs, which: int, draw: torch.Generator) -> tuple[Describe, Tensor]:
    """How far images or signals resemble patches of themselves, averaged over regions."""
    images = as_images(tensors_of(inputs)[which])
    mean, deviation = images.mean(), images.std().clamp_min(1e-12)
    images = (images - mean) / deviation
    height, width = min(PATCH, images.shape[2]), min(PATCH, images.shape[3])
    rows = torch.randint(len(images), (FILTERS,), generator=draw).tolist()
    tops = torch.randint(images.shape[2] - height + 1, (FILTERS,), generator=draw).tolist()
    lefts = torch.randint(images.shape[3] - width + 1, (FILTERS,), generator=draw).tolist()
    drawn = [images[r, :, t : t + height, s : s + width] for r, t, s in zip(rows, tops, lefts, strict=True)]
    filters = torch.stack(drawn)
    filters = filters - filters.mean((1, 2, 3), keepdim=True)
    norm = filters.flatten(1).norm(dim=1)
    noise = torch.randn(filters.shape, generator=draw).to(filters)
    filters = torch.where((norm > 1e-3)[:, None, None, None], filters, noise)  # an empty patch resembles nothing
    filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
    raw = partial(resemblance, which=which, mean=mean, deviation=deviation, filters=filters)
    return standard(raw, inputs)


def as_images(value: Tensor) -> Tensor:
    """`[N, C, H, W]` of at most about 32 x 32 places; a signal has height 1, its longer side is taken for time."""
    value = value.float().nan_to_num(0.0, 0.0, 0.0)
    if value.dim() == 3:
        value = value.transpose(1, 2) if value.shape[1] > value.shape[2] else value
        value = F.adaptive_avg_pool1d(value, 8 * LENGTH) if value.shape[2] > 8 * LENGTH else value
        return value[:, :, None]
    height, width = value.shape[2:]
    if max(height, width) > 2 * SIDE:
        value = F.adaptive_avg_pool2d(value, (min(height, 2 * SIDE), min(width, 2 * SIDE)))
    return value


def resemblance(inputs: Inputs, *, which: int, mean: Tensor, deviation: Tensor, filters: Tensor) -> Tensor:
    images = (as_images(tensors_of(inputs)[which]) - mean) / deviation
    is_signal = images.shape[2] == 1
    stride = 1 if max(images.shape[2:]) <= SIDE // 2 else 2
    cells = (1, 2 * CELLS) if is_signal else (CELLS // 2, CELLS // 2)
    found = []
    for part in torch.split(images, 256):
        answers = F.conv2d(part, filters, stride=stride)
        small = min(cells[0], answers.shape[2]), min(cells[1], answers.shape[3])
        signs = [F.adaptive_avg_pool2d(a.relu(), small).flatten(1) for a in (answers - 1, -answers - 1)]
        found.append(torch.cat(signs, 1))
    return torch.cat(found)
