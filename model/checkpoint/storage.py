"""Storage for torch.distributed.checkpoint (DCP) in safetensors and JSON, through `infra.storage`.

A checkpoint folder holds

    shard-00000.safetensors ...   one file a rank: the chunks of tensors it owns, streamed in turn
    metadata.json                 tensor -> dtype, shape, chunks (offsets, sizes, file, place)
    trainer.json                  what the trainer needs besides tensors
    COMPLETE                      written last, by one rank, after all ranks have finished; without
                                  it the folder does not count

Any number of ranks can read what any number wrote: DCP plans which chunks a rank needs, and of a
chunk cut along its first dimension only the needed rows are fetched. Nothing is copied to a local
disk. Only tensors are stored: DCP's own bytes items, which are pickles, are refused.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
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
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from infra import storage
from infra.errors import GristmillError
from model.checkpoint.tensors import CODES, DTYPES, Spec, as_tensor, write_tensors

COMPLETE = "COMPLETE"
METADATA = "metadata.json"
TRAINER = "trainer.json"


class SafetensorsWriter(StorageWriter):
    """Writes one checkpoint folder.

    extra   small JSON files by name, written by the coordinator before COMPLETE
    """

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
        """Stream this rank's chunks into its shard. Raises GristmillError for what is no tensor."""
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
        """Write metadata, the extra files and COMPLETE, in this order.

        DCP calls it on the coordinator alone, after it has gathered every rank's results: nobody is
        still writing, so COMPLETE is true when it appears.
        """
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
            return as_tensor(
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
        tensor = as_tensor(data, dtype, [rows, *sizes[1:]])
        for dimension in range(1, len(sizes)):
            tensor = tensor.narrow(
                dimension, item.storage_offsets[dimension], item.lengths[dimension]
            )
        return tensor

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """DCP's ids are not used: the folder is given to the constructor."""
        return checkpoint_id is None
