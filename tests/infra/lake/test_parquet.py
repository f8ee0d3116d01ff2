"""Parquet files of a lake: hashed while written, the same bytes for the same rows, read in part."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.lake import parquet
from infra.lake.parquet import RowsFile, batches, read
from infra.manifest import FileEntry

SCHEMA = pa.schema(
    [("pair", pa.struct([("x", pa.int64()), ("y", pa.int64())])), ("shard", pa.int64())]
)
PATH = "shards/map/ab-1.parquet"


def rows(shard: int, count: int) -> pa.RecordBatch:
    """So many rows of a shard; the pair comes first, so that columns and leaves count apart."""
    made = [{"pair": {"x": shard, "y": n}, "shard": shard} for n in range(count)]
    return pa.RecordBatch.from_pylist(made, SCHEMA)


def written(root: str, *groups: pa.RecordBatch) -> FileEntry:
    """A file with these row groups."""
    with RowsFile(root, PATH, SCHEMA, grouped=True) as file:
        for group in groups:
            file.write(group)
            file.end_group()
    assert file.entry is not None
    return file.entry


def groups_of(root: str) -> list[int]:
    """Rows of each row group."""
    with storage.open_read(storage.join(root, PATH)) as stream:
        metadata = pq.ParquetFile(stream).metadata
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


def test_a_file_knows_its_size_hash_and_rows(root: str) -> None:
    entry = written(root, rows(0, 2), rows(1, 3))
    uri = storage.join(root, PATH)
    data = storage.read_bytes(uri)
    assert entry == FileEntry(PATH, len(data), storage.content_hash(uri), 5)
    assert written(root, rows(0, 2), rows(1, 3)) == entry
    assert written(root, rows(0, 2), rows(1, 2)).sha256 != entry.sha256


def test_a_file_without_rows_is_a_file(root: str) -> None:
    assert written(root).rows == 0
    assert read(root, PATH, ["shard"]).num_rows == 0
    assert read(root, PATH, ["pair"], ("shard", 0)).num_rows == 0
    assert list(batches(root, PATH, ["shard"], 10)) == []


def test_a_group_ends_at_so_many_rows_or_bytes(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 4)
    with RowsFile(root, PATH, SCHEMA) as file:
        for count in (3, 0, 3, 4, 1):
            file.write(rows(0, count))
    assert groups_of(root) == [6, 4, 1]
    monkeypatch.setattr(parquet, "BYTES_PER_GROUP", 2 * rows(0, 1).nbytes)
    with RowsFile(root, PATH, SCHEMA) as file:
        for _ in range(5):
            file.write(rows(0, 1))
    assert groups_of(root) == [2, 2, 1]
    assert [batch.num_rows for batch in batches(root, PATH, ["shard"], 10)] == [2, 2, 1]


def test_other_columns_are_left_out_and_types_are_the_schemas(root: str) -> None:
    schema = pa.schema([("n", pa.int64())])
    with RowsFile(root, PATH, schema) as file:
        file.write(pa.RecordBatch.from_pydict({"more": ["x"], "n": pa.array([7], pa.int32())}))
    assert read(root, PATH, ["n", "more"]).to_pylist() == [{"n": 7}]
    assert read(root, PATH, ["n"]).schema == schema


def test_after_an_error_there_is_no_file(root: str) -> None:
    with pytest.raises(RuntimeError), RowsFile(root, PATH, SCHEMA) as file:
        file.write(rows(0, 1))
        raise RuntimeError
    assert file.entry is None
    assert storage.list_files(root) == []


class Breaks(RowsFile):
    """Cannot write its last group."""

    def end_group(self) -> None:
        """As where the disk is full."""
        raise OSError("full")


def test_after_an_error_at_the_end_there_is_no_file(root: str) -> None:
    with pytest.raises(OSError, match="full"), Breaks(root, PATH, SCHEMA) as file:
        file.write(rows(0, 1))
    assert file.entry is None
    assert storage.list_files(root) == []


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
def test_only_the_rows_that_have_a_value_are_read(root: str, wanted: int) -> None:
    written(root, rows(0, 2), rows(2, 3), rows(2, 1), rows(3, 1))
    found = read(root, PATH, ["pair"], ("shard", wanted)).to_pylist()
    counts = {0: [2], 1: [], 2: [3, 1], 3: [1]}[wanted]
    assert found == [{"pair": {"x": wanted, "y": n}} for count in counts for n in range(count)]


def test_row_groups_that_cannot_have_it_are_not_read(root: str) -> None:
    written(root, rows(0, 50), rows(1, 50))
    spoil(root, group=0)
    assert read(root, PATH, ["pair", "shard"], ("shard", 1)).num_rows == 50
    with pytest.raises(OSError):
        read(root, PATH, ["pair", "shard"], ("shard", 0))


def spoil(root: str, group: int) -> None:
    """Overwrite the pages of a row group."""
    uri = storage.join(root, PATH)
    data = bytearray(storage.read_bytes(uri))
    with storage.open_read(uri) as stream:
        metadata = pq.ParquetFile(stream).metadata.row_group(group)
    for place in range(metadata.num_columns):
        chunk = metadata.column(place)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    storage.write_bytes(uri, bytes(data))


def test_batches_are_in_order_and_of_these_columns(root: str) -> None:
    written(root, rows(0, 3), rows(1, 4))
    found: Iterator[pa.RecordBatch] = batches(root, PATH, ["shard", "pair"], 2)
    made = list(found)
    assert all(batch.schema.names == ["shard", "pair"] for batch in made)
    assert all(batch.num_rows <= 2 for batch in made)
    assert [row["shard"] for batch in made for row in batch.to_pylist()] == [0] * 3 + [1] * 4
