"""Storage for torch.distributed.checkpoint that reads and writes safetensors and JSON through `infra.storage`: no pickle, no local copy.

A checkpoint folder holds

    shard-00000.safetensors ...   one file a rank: the chunks of tensors it owns, streamed one after another
    metadata.json                 tensor -> dtype, shape, chunks (offsets, sizes, file, first byte, bytes)
    trainer.json                  what the trainer needs besides tensors
    COMPLETE                      written last, by one rank, after all ranks have finished; without it the folder does not count

Any number of ranks can read what any number wrote: DCP plans which chunks a rank needs, and of a chunk cut along its first dimension
only the needed rows are fetched. The format of the shards is that of https://huggingface.co/docs/safetensors (header, then raw
little-endian data). Only tensors are stored; DCP's own bytes items, which are pickles, are refused.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import Metadata, StorageReader, StorageWriter
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from infra import storage
from infra.errors import GristmillError

COMPLETE = "COMPLETE"
METADATA = "metadata.json"
TRAINER = "trainer.json"
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}
Spec = tuple[str, torch.dtype, tuple[int, ...]]


def write_tensors(
    stream: IO[bytes], specs: Sequence[Spec], tensors: Iterable[Tensor]
) -> list[tuple[int, int]]:
    """Write a safetensors file of (name, dtype, shape) as the tensors come, one in memory at a time; (first byte, bytes) of each."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    ends = [0]
    for name, dtype, shape in specs:
        ends.append(ends[-1] + dtype.itemsize * math.prod(shape))
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": ends[-2:]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors:
        stream.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return [(8 + len(text) + start, end - start) for start, end in itertools.pairwise(ends)]


def read_header(uri: str) -> dict[str, Any]:
    """The header of a safetensors file: name -> dtype, shape, data_offsets (relative to the end of the header)."""
    size = int.from_bytes(storage.read_range(uri, 0, 8), "little")
    header: dict[str, Any] = json.loads(storage.read_range(uri, 8, 8 + size))
    header.pop("__metadata__", None)
    for entry in header.values():
        entry["data_offsets"] = [8 + size + offset for offset in entry["data_offsets"]]
    return header


def read_tensors(uri: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a safetensors file, one in memory at a time."""
    for name, entry in read_header(uri).items():
        start, end = entry["data_offsets"]
        yield (
            name,
            _tensor(storage.read_range(uri, start, end), DTYPES[entry["dtype"]], entry["shape"]),
        )


def _tensor(data: bytes, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    if not data:
        return torch.empty(tuple(shape), dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(tuple(shape))


class SafetensorsWriter(StorageWriter):
    """Writes one checkpoint folder. `extra`: small JSON files, written by the coordinator before the marker."""

    def __init__(self, folder: str, extra: Mapping[str, Any]) -> None:
        self.folder = folder
        self.extra = extra

    def reset(self, checkpoint_id: Any = None) -> None:
        """Nothing is kept between checkpoints."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Folders need no preparation in any store."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """The plans as they are."""
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Stream this rank's chunks into its shard. Raises GristmillError for anything that is not a tensor."""
        specs = [_spec(item) for item in plan.items]
        name = f"shard-{dist.get_rank():05d}.safetensors"
        with storage.open_write(storage.join(self.folder, name)) as stream:
            places = write_tensors(stream, specs, (_resolved(planner, item) for item in plan.items))
        results = [
            WriteResult(index=item.index, size_in_bytes=size, storage_data=(name, start, size))
            for item, (start, size) in zip(plan.items, places, strict=True)
        ]
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Called on the coordinator once all ranks have written: metadata, the extra files, the marker."""
        placed = {
            result.index: result.storage_data
            for results_of_rank in results
            for result in results_of_rank
        }
        tensors = {}
        for name, entry in metadata.state_dict_metadata.items():
            assert isinstance(entry, TensorStorageMetadata)  # `_spec` has refused everything else
            chunks = []
            for chunk in entry.chunks:
                file, start, size = placed[MetadataIndex(name, chunk.offsets)]
                chunks.append(
                    {
                        "offsets": [*chunk.offsets],
                        "sizes": [*chunk.sizes],
                        "file": file,
                        "start": start,
                        "bytes": size,
                    }
                )
            tensors[name] = {
                "dtype": CODES[entry.properties.dtype],
                "shape": [*entry.size],
                "chunks": chunks,
            }
        for name, content in {METADATA: {"tensors": tensors}, **self.extra}.items():
            storage.write_bytes(
                storage.join(self.folder, name), (json.dumps(content, indent=1) + "\n").encode()
            )
        storage.write_bytes(storage.join(self.folder, COMPLETE), b"complete\n")

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """DCP's ids are not used: the folder is given to the constructor."""
        return checkpoint_id is None


def _resolved(planner: SavePlanner, item: WriteItem) -> Tensor:
    data = planner.resolve_data(item)
    assert isinstance(data, Tensor)
    return data


def _spec(item: WriteItem) -> Spec:
    if item.type == WriteItemType.BYTE_IO or item.tensor_data is None:
        raise GristmillError(
            f"checkpoint: {item.index.fqn} is not a tensor; put it into {TRAINER} instead"
        )
    offsets = item.index.offset or ()
    name = item.index.fqn + ("@" + ",".join(map(str, offsets)) if any(offsets) else "")
    return name, item.tensor_data.properties.dtype, tuple(item.tensor_data.chunk.sizes)


class SafetensorsReader(StorageReader):
    """Reads a checkpoint folder into tensors of any sharding."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._places: dict[MetadataIndex, tuple[str, int, list[int], torch.dtype]] = {}

    def reset(self, checkpoint_id: Any = None) -> None:
        """Nothing is kept between checkpoints."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The tensors of the checkpoint and where their chunks are."""
        tensors = json.loads(storage.read_bytes(storage.join(self.folder, METADATA)))["tensors"]
        entries: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {}
        for name, entry in tensors.items():
            dtype = DTYPES[entry["dtype"]]
            chunks = [
                ChunkStorageMetadata(torch.Size(c["offsets"]), torch.Size(c["sizes"]))
                for c in entry["chunks"]
            ]
            entries[name] = TensorStorageMetadata(
                TensorProperties(dtype), torch.Size(entry["shape"]), chunks
            )
            for chunk in entry["chunks"]:
                self._places[MetadataIndex(name, chunk["offsets"])] = (
                    chunk["file"],
                    chunk["start"],
                    chunk["sizes"],
                    dtype,
                )
        return Metadata(entries)

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """`read_metadata` has kept what reading needs."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """The plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """The plans as they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Fetch the needed rows of each chunk into the tensors that the planner names."""
        for item in plan.items:
            target = planner.resolve_tensor(item).detach()
            target.copy_(self._read(item))
            planner.commit_tensor(item, target)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _read(self, item: ReadItem) -> Tensor:
        file, start, sizes, dtype = self._places[item.storage_index]
        if not sizes:
            return _tensor(
                storage.read_range(storage.join(self.folder, file), start, start + dtype.itemsize),
                dtype,
                (),
            )
        row_bytes = dtype.itemsize * math.prod(sizes[1:])
        first, rows = item.storage_offsets[0], item.lengths[0]
        data = storage.read_range(
            storage.join(self.folder, file),
            start + first * row_bytes,
            start + (first + rows) * row_bytes,
        )
        tensor = _tensor(data, dtype, [rows, *sizes[1:]])
        for dimension in range(1, len(sizes)):
            tensor = tensor.narrow(
                dimension, item.storage_offsets[dimension], item.lengths[dimension]
            )
        return tensor

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """DCP's ids are not used: the folder is given to the constructor."""
        return checkpoint_id is None
