"""Spark with real executors, processes of their own as on a cluster: they get code and environment
by Spark's own means, and write the same artifacts as one process."""

import json
import sys
import tarfile
import venv
from pathlib import Path

from flows.chain.chain import chain
from flows.chain.parameters import parse
from tests.e2e.whole import REPO, finish, parameters, printed

ASK = """
import json, sys
from jobs.spark.places import answers_at
from jobs.spark.session import Session

def where(place):
    import infra, jobs, pyarrow, sys
    return [jobs.__file__, infra.__file__, sys.prefix]

session = Session.start(sys.argv[1])
print(json.dumps(answers_at(session, 1, where)[0]))
session.stop()
"""


def test_executors_write_what_one_process_writes(crawl: list[str], tmp_path: Path) -> None:
    contents = []
    for master in ("local[1]", "local-cluster[2,1,1024]"):
        values = parameters(str(tmp_path / master.partition("[")[0]), crawl)
        finish(values, tmp_path / "logs", "tokenize", master)
        contents.append([t.artifact.require().content for t in chain(parse(values), "tokenize")])
    assert contents[0] == contents[1]


def test_executors_import_the_shipped_code_in_the_shipped_environment(tmp_path: Path) -> None:
    archive = packed_environment(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {
        "PYTHONPATH": str(REPO),
        "SPARK_MASTER": "local-cluster[1,1,1024]",
        "GRISTMILL_SPARK_ENVIRONMENT": str(archive),
    }
    said = printed(["-c", ASK, str(tmp_path / "lake")], elsewhere, **environment)
    jobs, infra, prefix = json.loads(said.splitlines()[-1])
    assert jobs.endswith("/gristmill_code/jobs/__init__.py")
    assert infra.endswith("/gristmill_code/infra/__init__.py")
    assert prefix.endswith("/gristmill_environment")


def packed_environment(folder: Path) -> Path:
    """A Python environment as an archive, as venv-pack makes one; its packages are those of this
    process."""
    venv.create(folder / "environment", symlinks=True)
    (site,) = (folder / "environment").glob("lib/python*/site-packages")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (site / "packages.pth").write_text("\n".join(packages) + "\n")
    with tarfile.open(folder / "environment.tar.gz", "w:gz") as archive:
        archive.add(folder / "environment", ".")
    return folder / "environment.tar.gz"
