"""Spark gets its settings from a file that only its user can read: none is on a command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.spark.settings import write_properties

SECRET = "5ecret that = nobody\\may: find #é😀"
KEY = "spark.hadoop.fs.s3a.secret.key"
STARTED = f"""
import json, sys
from pathlib import Path
import psutil
from jobs.spark.session import Session
session = Session.start(sys.argv[1])
jvms = [each for each in psutil.Process().children(recursive=True) if "java" in each.name()]
said = {{
    "value": session.spark.conf.get({KEY!r}),
    "master": session.spark.sparkContext.master,
    "default": session.spark.conf.get("spark.of.the.defaults", ""),
    "left": [str(path) for path in Path(session._folder.name).rglob("spark.properties")],
    "lines": [" ".join(each.cmdline()) for each in jvms],
}}
session.stop()
print("\\n" + json.dumps(said))
"""


def test_the_file_is_this_users_alone(tmp_path: Path) -> None:
    path = write_properties({"spark.a": "b c", KEY: "\n"}, str(tmp_path))
    assert path.read_text() == "spark.a=b\\u0020c\nspark.hadoop.fs.s3a.secret.key=\\u000a\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.timeout(300)
def test_a_password_among_sparks_settings_reaches_spark_and_no_command_line_and_no_log(
    tmp_path: Path,
) -> None:
    (tmp_path / "spark-defaults.conf").write_text(f"spark.of.the.defaults 7\n{KEY} other\n")
    environment = {
        **os.environ,
        "SPARK_MASTER": "local[1]",
        "SPARK_CONF_DIR": str(tmp_path),
        "GRISTMILL_SPARK_CONF": f"{KEY}={SECRET}",
    }
    command = [sys.executable, "-c", STARTED, str(tmp_path / "lake")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    *output, last = done.stdout.splitlines()
    said = json.loads(last)
    assert said["value"] == SECRET
    assert (said["master"], said["default"]) == ("local[1]", "7")
    assert len(said["lines"]) == 1 and said["left"] == []
    assert "--properties-file" in said["lines"][0] and "--conf" not in said["lines"][0]
    for place in (*said["lines"], *output, done.stderr):
        assert "5ecret" not in place
