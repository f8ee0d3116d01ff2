"""A file hashed while it is written: what was counted is what is read."""

import gzip
import hashlib
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage


@pytest.mark.parametrize("size", [0, 3, (12 << 20) + 1])
def test_size_and_hash_are_those_of_the_file(root: str, size: int) -> None:
    uri, data = storage.join(root, "file"), os.urandom(size)
    with storage.open_hashed(uri) as stream:
        for start in range(0, size, 1 << 20):
            stream.write(memoryview(data)[start : start + (1 << 20)])
        assert stream.tell() == size
    assert (stream.size_bytes, stream.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert storage.content_hash(uri) == stream.sha256
    assert [info.size_bytes for info in storage.list_files(root)] == [size]


def test_a_parquet_writer_writes_to_it(root: str) -> None:
    table = pa.table({"tokens": pa.array([os.urandom(1000) for _ in range(7000)])})
    uri = storage.join(root, "part.parquet")
    with (
        storage.open_hashed(uri) as stream,
        pq.ParquetWriter(stream, table.schema, compression="zstd") as writer,
    ):
        for batch in table.to_batches(1000):
            writer.write_batch(batch)
    assert stream.size_bytes == len(storage.read_bytes(uri)) > 7_000_000
    assert stream.sha256 == storage.content_hash(uri)
    assert pq.read_table(io.BytesIO(storage.read_bytes(uri))).equals(table)


def test_text_and_compression_write_through_it(root: str) -> None:
    uri = storage.join(root, "rows.jsonl.gz")
    with (
        storage.open_hashed(uri) as stream,
        gzip.open(stream, "wt", encoding="utf-8") as rows,
    ):
        json.dump({"text": "Größe"}, rows)
    assert json.loads(gzip.decompress(storage.read_bytes(uri))) == {"text": "Größe"}
    assert stream.sha256 == storage.content_hash(uri)


def test_an_exception_leaves_what_was_there(root: str) -> None:
    uri = storage.join(root, "file")
    storage.write_bytes(uri, b"before")
    with pytest.raises(RuntimeError), storage.open_hashed(uri) as stream:
        stream.write(b"after" * (2 << 20))
        raise RuntimeError
    assert storage.read_bytes(uri) == b"before"
    assert [info.path for info in storage.list_files(root)] == ["file"]


def test_numbers_count_in_bytes(root: str) -> None:
    uri = storage.join(root, "ids")
    with storage.open_hashed(uri) as stream:
        assert stream.write(memoryview(bytes(8)).cast("I")) == 8
    assert stream.size_bytes == 8


def test_a_file_of_several_blocks_is_hashed_whole(root: str) -> None:
    uri, data = storage.join(root, "file"), os.urandom(storage.BLOCK_BYTES + 10)
    storage.write_bytes(uri, data)
    assert storage.content_hash(uri) == hashlib.sha256(data).hexdigest()
