"""The whole way with the crawl and the lake on S3: workers, children and flows all through one
storage, on moto's server."""

from pathlib import Path

from infra import storage
from infra.lake import Lake
from tests.e2e.whole import finish, manifests, parameters


def test_the_lake_can_be_a_bucket_for_every_step(
    crawl: list[str], s3_root: str, tmp_path: Path
) -> None:
    remote = [storage.join(s3_root, "crawl", Path(file).name) for file in crawl]
    for local, uri in zip(crawl, remote):
        storage.write_bytes(uri, Path(local).read_bytes())
    values = parameters(
        storage.join(s3_root, "lake"), [storage.join(s3_root, "crawl", "*.warc.gz")]
    )
    assert not any(finish(values, tmp_path / "logs"))
    found = manifests(values)
    assert found["extract"].counts.rows_in > 120
    assert found["train"].details["steps"] == values["train"]["steps"]
    names = [info.path for info in storage.list_files(values["root"])]
    assert not [name for name in names if "/_work/" in name or name.endswith(".claim")]
    assert len(Lake.at(values["root"]).artifacts()) == len(found)
    assert all(finish(values, tmp_path / "logs"))
