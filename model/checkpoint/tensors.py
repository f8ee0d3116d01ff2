"""A safetensors file through `infra.storage`, a tensor at a time: no pickle, no local copy.

The format is that of https://huggingface.co/docs/safetensors: 8 bytes with the header's length, the
header (JSON: name -> dtype, shape, data_offsets), then the raw little-endian data of the tensors.
The header comes first, so types and shapes must be known before the first tensor is; in return only
one tensor is in memory at once.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import torch
from torch import Tensor

from infra import storage

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}
Spec = tuple[str, torch.dtype, tuple[int, ...]]


def write_tensors(
    stream: IO[bytes], specs: Sequence[Spec], tensors: Iterable[Tensor]
) -> list[tuple[int, int]]:
    """Write a file of `specs` (name, dtype, shape), its data as the tensors come, in their order.

    Returns for each tensor where its data is in the file: (first byte, bytes).
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    ends = [0]
    for name, dtype, shape in specs:
        ends.append(ends[-1] + dtype.itemsize * math.prod(shape))
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": ends[-2:]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8 bytes
    stream.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors:
        stream.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return [(8 + len(text) + start, end - start) for start, end in itertools.pairwise(ends)]


def read_header(uri: str) -> dict[str, Any]:
    """Name -> dtype (code), shape, data_offsets (first byte and end, counted in the file)."""
    size = int.from_bytes(storage.read_range(uri, 0, 8), "little")
    header: dict[str, Any] = json.loads(storage.read_range(uri, 8, 8 + size))
    header.pop("__metadata__", None)
    for entry in header.values():
        entry["data_offsets"] = [8 + size + offset for offset in entry["data_offsets"]]
    return header


def read_tensors(uri: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a file by name, in its order, on the CPU."""
    for name, entry in read_header(uri).items():
        data = storage.read_range(uri, *entry["data_offsets"])
        yield name, as_tensor(data, DTYPES[entry["dtype"]], entry["shape"])


def as_tensor(data: bytes, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    """The tensor whose raw little-endian values are `data`."""
    if not data:
        return torch.empty(tuple(shape), dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(tuple(shape))
