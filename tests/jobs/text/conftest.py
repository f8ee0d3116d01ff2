"""Real texts in many languages."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def texts(shared: Path) -> dict[str, str]:
    """The 388 texts of nltk's udhr2, by the name of the file."""
    with tarfile.open(shared / "data" / "text" / "text-en.tar.xz") as archive:
        member = archive.extractfile("nltk/udhr2.zip")
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as files:
            return {
                Path(name).stem: files.read(name).decode()
                for name in sorted(files.namelist())
                if name.endswith(".txt")
            }
