"""A safetensors file written tensor by tensor: no copy of the whole is made, and its SHA-256 is known at the end.

The format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes, little-endian and row-major.
The library's own writer refuses tensors that share memory or are not contiguous, and would be read again for the hash.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import BinaryIO

import torch
from torch import Tensor

from thalweg.errors import StoreError

CHUNK_BYTES = 2**20  # hashed, then written while it is still in the processor's cache
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.complex64: "C64",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


def header_of(tensors: Mapping[str, Tensor]) -> tuple[bytes, list[str]]:
    """The file's first bytes, and the order of the tensors: large items first, so that each lies at a multiple of its
    item size and can be used mapped.

    Raises:
        StoreError: for a tensor that the format has no word for, naming it.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    entries: dict[str, object] = {}
    end = 0
    for name in names:
        value = tensors[name]
        if value.dtype not in DTYPES or value.layout is not torch.strided:
            raise StoreError(
                f"The tensor {name!r} is {value.dtype}, {value.layout}; a checkpoint holds dense tensors of "
                f"{', '.join(str(d).removeprefix('torch.') for d in DTYPES)}. Keep it in one of these types."
            )
        start, end = end, end + value.numel() * value.element_size()
        entries[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names


def raw_bytes(tensor: Tensor) -> memoryview:
    """A tensor's values in row-major order: its own memory where it lies so on the CPU, else a copy of this one tensor.

    Synchronizes with the device.
    """
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if plain.numel() == 1:  # counts as contiguous with any stride, and `view` wants that of 1
        plain = plain.clone(memory_format=torch.contiguous_format)
    return plain.reshape(-1).view(torch.uint8).numpy().data


def size_of(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of the file."""
    return len(header_of(tensors)[0]) + sum(v.numel() * v.element_size() for v in tensors.values())


def write_tensors(stream: BinaryIO, tensors: Mapping[str, Tensor]) -> str:
    """Writes the file and returns its SHA-256 in hexadecimal digits.

    >>> import io
    >>> from safetensors.torch import load
    >>> stream = io.BytesIO()
    >>> digest = write_tensors(stream, {"weight": torch.arange(6.0).reshape(2, 3).T})
    >>> load(stream.getvalue())["weight"]
    tensor([[0., 3.],
            [1., 4.],
            [2., 5.]])
    """
    head, names = header_of(tensors)
    sha = hashlib.sha256(head)
    stream.write(head)
    for name in names:
        content = raw_bytes(tensors[name])
        for start in range(0, len(content), CHUNK_BYTES):
            chunk = content[start : start + CHUNK_BYTES]
            sha.update(chunk)
            stream.write(chunk)
    return sha.hexdigest()
