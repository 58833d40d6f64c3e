"""Images as PNG, and a grid of them as HTML."""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thalweg.show.report.html import Html, element

Pixels = NDArray[np.uint8]
TILE = 56  # pixels that an image is shown wide, at least
GAP = 2


def png(pixels: Pixels) -> bytes:
    """A PNG file of `[H, W]` gray or `[H, W, 3]` colors.

    >>> png(np.zeros((2, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'

    Source: W3C, "Portable Network Graphics Specification", third edition.
    """
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], 1)  # filter 0 before each
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def strip(images: Sequence[Pixels]) -> Pixels:
    """Images of one size side by side, with a white gap."""
    gap = np.full((images[0].shape[0], GAP, *images[0].shape[2:]), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], 1)


def data_url(file: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(file).decode()


def image_grid(rows: Sequence[tuple[str, str, int]]) -> Html:
    """A row for each (label, data URL of a strip, images in it)."""
    lines = []
    for label, url, count in rows:
        style = f"width:{count * (TILE + GAP)}px;max-width:100%;image-rendering:pixelated;vertical-align:middle"
        said = f"{count} training images under {label}"
        picture = element("img", attributes={"src": url, "alt": said, "style": style})
        lines.append(element("tr", element("th", label, attributes={"scope": "row"}), element("td", picture)))
    return element("div", element("table", element("tbody", *lines)), cls="scroll")
