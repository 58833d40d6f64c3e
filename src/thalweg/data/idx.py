"""IDX files, in which MNIST and its like are given: images and labels apart, training and test apart."""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.data.archives import Parts, as_pictures
from thalweg.data.rows import Part
from thalweg.errors import DataError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PARTS: dict[str, Part] = {
    "train": "train", "t10k": "test", "test": "test",
    "validation": "validation", "valid": "validation", "val": "validation",
}  # fmt: skip
NAME = re.compile(
    rf"(?P<prefix>.*?)(?P<part>{'|'.join(PARTS)})[-_.](?P<what>images|labels)([-_.]idx\d)?([-_.]ubyte)?(\.gz)?",
    re.IGNORECASE,
)


def read_idx(path: Path) -> NDArray[Any]:
    """The array in an IDX file, unpacked where it ends in `.gz`.

    The header is two zero bytes, the type, the number of dimensions, and each dimension as a big-endian integer.

    Raises:
        DataError: for a file that is no IDX, or is shorter or longer than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The file {path} cannot be unpacked: {error}. Copy or download it again.") from error
    known = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in DTYPES and content[3] > 0
    size = 4 + 4 * content[3] if known else 0
    if not known or len(content) < size:
        raise DataError(
            f"The file {path} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, where 00 00, a type "
            "from 08 to 0e and the number of dimensions are expected. Copy or download it again."
        )
    shape = struct.unpack(f">{content[3]}I", content[4:size])
    dtype = np.dtype(DTYPES[content[2]])
    expected = size + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"The file {path} has {len(content):,} bytes, where its header, {list(shape)} of {dtype.name}, makes "
            f"{expected:,}. It is damaged or cut off; copy or download it again."
        )
    return np.frombuffer(content, dtype, offset=size).reshape(shape)


def find_idx(path: Path) -> dict[Part, dict[str, Path]]:
    """Which IDX files hold which part: those in a folder, those that begin with a prefix, or one file and its pair.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images.idx3-ubyte"):
    ...     (folder / name).touch()
    >>> {part: sorted(files) for part, files in find_idx(folder).items()}
    {'test': ['images'], 'train': ['images', 'labels']}
    """
    folder, start, only = (path, "", None) if path.is_dir() else (path.parent, path.name, None)
    if path.is_file():
        named = NAME.fullmatch(path.name)
        if named is None:
            return {}
        start, only = named["prefix"], PARTS[named["part"].lower()]
    found: dict[Part, dict[str, Path]] = {}
    prefixes = set()
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        named = NAME.fullmatch(file.name)
        if named is None or not file.is_file() or not file.name.startswith(start):
            continue
        part = PARTS[named["part"].lower()]
        if only in (None, part) and (only is None or named["prefix"] == start):
            prefixes.add(named["prefix"])
            found.setdefault(part, {}).setdefault(named["what"].lower(), file)  # its packed form would be the same
    if len(prefixes) > 1:
        raise DataError(
            f"{path} holds several data sets, whose files begin with {', '.join(map(repr, sorted(prefixes)))}. Say "
            f"which: {str(folder / max(prefixes))!r}."
        )
    return found


def read_idx_parts(files: dict[Part, dict[str, Path]]) -> Parts:
    """The parts of such files as `(images, labels)`, pictures with a dimension for their channel."""
    parts: dict[Part, Any] = {}
    notes: list[str] = []
    for part, pair in files.items():
        for missing in {"images", "labels"} - set(pair):
            there = next(iter(pair.values()))
            raise DataError(
                f"Beside {there} there is no file of the {missing}, "
                f"{there.name.replace('images', '#').replace('labels', 'images').replace('#', 'labels')!r} or its "
                "like. Put both into one folder."
            )
        images, labels = read_idx(pair["images"]), read_idx(pair["labels"])
        if len(images) != len(labels):
            raise DataError(
                f"{pair['images']} has {len(images):,} rows and {pair['labels']} {len(labels):,}. They do not belong "
                "together, or one is damaged."
            )
        images, note = as_pictures(images)
        parts[part] = images, labels.astype(labels.dtype.newbyteorder("="))
        notes += [note] if note and note not in notes else []
    return Parts(parts, notes)
