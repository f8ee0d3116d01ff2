"""A safetensors file holds what was written, also for the reference library."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load as safetensors_load

from infra import storage
from model.checkpoint.tensors import read_header, read_tensors, write_tensors
from tests.model.checkpoint.trained import same

DTYPES = [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_type_and_shape_survive(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
        "matrix": torch.arange(12).reshape(3, 4),
        "strided": torch.ones(4, 3).T,
    }
    typed = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    target = str(tmp_path / "x.safetensors")
    with storage.open_write(target) as stream:
        write_tensors(
            stream, [(name, dtype, tuple(t.shape)) for name, t in typed.items()], typed.values()
        )
    assert same(dict(read_tensors(target)), typed)
    assert same(safetensors_load(Path(target).read_bytes()), typed)


def test_the_writer_says_where_each_tensor_is(tmp_path: Path) -> None:
    target = str(tmp_path / "x.safetensors")
    specs = [("a", torch.int64, (2,)), ("b", torch.uint8, (3, 1))]
    with storage.open_write(target) as stream:
        places = write_tensors(
            stream, specs, [torch.tensor([5, 6]), torch.tensor([[1], [2], [3]]).to(torch.uint8)]
        )
    offsets = [entry["data_offsets"] for entry in read_header(target).values()]
    assert [(start, end - start) for start, end in offsets] == places
    assert [storage.read_range(target, start, end) for start, end in offsets] == [
        (5).to_bytes(8, "little") + (6).to_bytes(8, "little"),
        bytes([1, 2, 3]),
    ]
