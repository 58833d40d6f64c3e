"""From the plan's augmentation and the data to what the feeder does: chosen, checked against the data, told."""

import torch
from torch import Tensor, nn

from thalweg.data.augmented import Augmenter, brightest, fitting, settled
from thalweg.data.prepare import Prepared
from thalweg.data.rows import AnyRows, Batch, Inputs, Rows, tensors_of
from thalweg.data.sample import spread
from thalweg.data.task import CLASSES
from thalweg.errors import UsageError
from thalweg.measure.data_augmented import IMAGES, neighbors
from thalweg.parts import augmentations
from thalweg.parts.augmentations import Augmentation, Compose
from thalweg.parts.augmentations.augmentation import Geometric
from thalweg.parts.augmentations.mixing import Mixing
from thalweg.parts.preprocessing.modules.table import TablePreprocessing
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.recipe import Decision

READ = 300  # images from files at most: a decoder takes some milliseconds for each
SAMPLE = 256  # training rows from whose values the range of brightness is told
WORDS: dict[str, Augmentation] = {"trivial": augmentations.TrivialAugment(), "rand": augmentations.RandAugment()}


def augmenter_of(
    plan: Plan, prepared: Prepared, preprocessing: nn.Module | None, inputs: Inputs
) -> tuple[Plan, Augmenter | None, list[Decision]]:
    """The plan with its augmentation decided, what the feeder does by it, and the reason where it was left open.

    Args:
        plan: resolved but for the augmentation.
        prepared: the data.
        preprocessing: what prepares the inputs; None for nothing.
        inputs: of a few rows, raw.

    Raises:
        UsageError: for parts in an order in which they cannot act, or that the data do not allow.
        DataError: for data of another kind than the parts take.
    """
    if plan.augmentation is None:
        return plan, None, []
    rows, told = prepared.train, []
    chosen: Augmentation | str | None = plan.augmentation
    if chosen == "auto":
        chosen, reason = choose(rows, seed=plan.seed if isinstance(plan.seed, int) else 0)
        told.append(Decision("augmentation", str(chosen), reason))
    if isinstance(chosen, str):
        chosen = WORDS[chosen]
    if chosen is None:
        return plan.replace(augmentation=None), None, told
    if isinstance(inputs, Batch):
        raise UsageError(
            "The plan augments, and the batches have a form of their own that only the step knows. Call the parts in "
            "the step: x = augment(x), with augment = tw.augmentations.Compose(...)."
        )
    parts = chosen if isinstance(chosen, Compose) else Compose(chosen)
    early, late = parted(parts)
    if isinstance(preprocessing, TablePreprocessing):
        late = table_parts(late, preprocessing)
    if prepared.task.kind in CLASSES and late is not None and not rows.target.is_floating_point():
        late = settled(late, classes=prepared.task.num_outputs)
    places = fitting(inputs, parts.kind)
    peak = peak_of(early, rows, places) if early is not None and early.kind == "image" else 1.0
    augmenter = Augmenter(early, late, places, peak, whole=preprocessing is None)
    return plan.replace(augmentation=chosen), augmenter, told


def parted(parts: Compose) -> tuple[Compose | None, Compose | None]:
    """The parts that act on a sample by itself, raw, and those after them, which mix or take prepared rows."""
    late = [isinstance(part, Mixing) or part.kind == "table" for part in parts.parts]
    first = late.index(True) if True in late else len(late)
    if not all(late[first:]):
        one, other = type(parts.parts[first]).__name__, type(parts.parts[first + late[first:].index(False)]).__name__
        raise UsageError(
            f"Plan field 'augmentation' got {other} after {one}, which acts on whole batches. Put {one} last."
        )
    before, after = parts.parts[:first], parts.parts[first:]
    return Compose(*before) if before else None, Compose(*after) if after else None


def table_parts(late: Compose | None, table: TablePreprocessing) -> Compose | None:
    """Noise of a table acts on its numbers, not on the codes of its categories."""
    if late is None:
        return None
    if table.sizes and any(isinstance(part, Mixing) for part in late.parts):
        raise UsageError(
            "Mixing averages rows, and this table passes categories on as indices, which have no average. Take "
            "tw.preprocessing.Table(categories='onehot'), or leave the mixing out."
        )
    return settled(late, columns=tuple(range(len(table.numeric) + len(table.looked))))


def peak_of(early: Compose, rows: AnyRows, places: tuple[int, ...]) -> float:
    """The brightest value of the training images. Raises `UsageError` where a part needs it and it is not told."""
    from thalweg.data.feeder import Feeder

    some = spread(rows, SAMPLE)
    inputs, _ = next(Feeder(some, batch_size=max(len(some), 1), seed=0, shuffle=False).epoch(0))
    peak = brightest(inputs, places)
    plain = all(isinstance(part, Geometric) and part.fill in (0, "edge", "reflect") for part in early.parts)
    if peak is not None or plain:
        return peak or 1.0
    found = torch.stack([torch.stack(torch.aminmax(tensors_of(inputs)[i].float())) for i in places])
    raise UsageError(
        f"Plan field 'augmentation' changes colors, and the images' values go from {float(found.min()):.3g} to "
        f"{float(found.max()):.3g}: they were prepared before. Give images as they are, and let the plan's "
        "preprocessing standardize them; or take geometric parts only."
    )


def sampled_images(rows: AnyRows, count: int = IMAGES) -> tuple[Tensor, Tensor, Tensor] | None:
    """Training images with their classes and numbers, in memory; None for other data. Of items that are read, few."""
    some = spread(rows, count if isinstance(rows, Rows) else min(count, READ))
    if not isinstance(some, Rows) or some.step is not None or not isinstance(some.inputs, Tensor):
        return None
    x, target = some.inputs, some.target
    image = x.dim() == 4 or (x.dim() == 3 and min(x.shape[1:]) >= 8 and not x.is_floating_point())
    return (x, target, some.ids) if image and target.dim() == 1 and not target.is_floating_point() else None


def choose(rows: AnyRows, *, seed: int) -> tuple[Augmentation | None, str]:
    """What brings training images nearer to others of their class, part by part, and the reason."""
    found = sampled_images(rows)
    if found is None:
        return None, "the rows are no images with one class each; which changes are harmless is yours to say"
    x, target, _ = found
    peak = brightest(x, (0,))
    candidates = candidates_for(x, colored=peak is not None)
    readings = neighbors(x, target, candidates, peak=peak or 1.0, seed=seed)
    good = [part for part, r in zip(candidates, readings[1:], strict=False) if r.high is not None and r.high < 0]
    shown = ", ".join(f"{r.place} {r.value:+.3f}" for r in readings[1:])
    if not readings:
        return None, "there are too few images to tell which changes are harmless"
    reason = f"share of neighbors of another class, {readings[0].value:.3f}, changes by {shown}"
    return (Compose(*good) if good else None), reason


def candidates_for(x: Tensor, *, colored: bool) -> list[Augmentation]:
    """Parts that are usual for images of this size."""
    side = min(x.shape[-2:])
    found: list[Augmentation] = [
        augmentations.HorizontalFlip(),
        augmentations.PaddedCrop(max(side // 16, 1)),
        augmentations.Affine(rotate=10, scale=(0.9, 1.1)),
    ]
    if colored:
        strength = 0.2 if x.dim() == 4 and x.shape[1] == 3 else 0.0
        found.append(augmentations.ColorJitter(0.2, 0.2, strength))
    return found


def label_readings(prepared: Prepared, augmenter: Augmenter | None, seed: int) -> list[Reading]:
    """What the plan's augmentations of images do to their neighborhood, for the check."""
    early = None if augmenter is None else augmenter.early
    if early is None or early.kind != "image" or augmenter is None:
        return []
    found = sampled_images(prepared.train)
    if found is None:
        return []
    return neighbors(*found[:2], early.parts, peak=augmenter.peak, seed=seed, classes=prepared.task.classes)
