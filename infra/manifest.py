"""The manifest: what an artifact is, what it holds and where it came from.

Nobody else hashes an identity. An artifact's digest is taken over *declared* fields alone: step,
step version, parameters that change the result, digests of the inputs, versions of the libraries
that shape the result. Paths, hosts, secrets, times and core counts never enter it, so the same
declaration has the same digest everywhere.
"""

import dataclasses
import hashlib
import json
import math
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from infra.errors import DamagedError, GristmillError
from infra.process import output_of
from infra.show import well_formed

MANIFEST_NAME = "_MANIFEST.json"
INLINE_FILES = 1000
"""So many files are listed in the manifest itself; a longer list stands in a file beside it."""
SHARDS = "shards"
"""The folder of a lake that holds the shards of all artifacts."""
REJECTED = "_rejected"
"""The folder of an artifact, or of a map's shards, below which files hold rejected rows."""
REJECTED_ROWS = f"{REJECTED}/__rejected"
"""Where those files lie: as data, pyarrow, pandas and Spark read no folder that begins with `_`,
`datasets` none that begins with `__`."""
NOT_IN_PATHS = re.compile(r"[\\\0]|^[^/]*:")
"""What no path of a lake has: backslashes, NUL, a scheme."""
FORMAT = 3
SHORT = 12
TOOLS = (
    "pyspark",
    "pyarrow",
    "fastwarc",
    "resiliparse",
    "tokenizers",
    "torch",
    "mlflow",
    "prefect",
)


def canonical(value: Any) -> str:
    """One JSON text per value: sorted keys, no spaces.

    Nothing is folded: 1, 1.0 and true differ, so do 0.0 and -0.0, and strings that differ in code
    points (Unicode normal forms). A tuple is a list. Raises TypeError for anything but None, bool,
    int, finite float, well-formed str, list, tuple and dict with string keys.
    """
    _check(value, "$")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _check(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        if value != well_formed(value):
            raise TypeError(f"{where}: {value!r} is not valid Unicode text")
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value} cannot be part of an identity")
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or key != well_formed(key):
                raise TypeError(f"{where}: the key {key!r} is not a string of valid Unicode text")
            _check(item, f"{where}.{key}")
        return
    raise TypeError(f"{where}: a {type(value).__name__} cannot be part of an identity")


def digest_of(value: Any) -> str:
    """SHA-256 (64 hexadecimal digits) of the canonical form."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True)
class Identity:
    """What a step declares about the artifact it will write.

    kind        folder below the lake's root, as `documents` or `tokens`; not part of the digest
    step        the step's name
    version     of the step, raised whenever its result changes
    parameters  plain data, only what changes the result (`infra.parameters.identity_of`)
    inputs      role -> full digest of each input artifact
    libraries   name -> version of what shapes the result (`versions_of`)
    """

    kind: str
    step: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, str]
    libraries: dict[str, str] = field(default_factory=dict)

    def declared(self) -> dict[str, Any]:
        """The fields that the digest is taken over; `libraries` where there are any."""
        fields = {
            "step": self.step,
            "version": self.version,
            "parameters": self.parameters,
            "inputs": self.inputs,
        }
        return {**fields, "libraries": self.libraries} if self.libraries else fields

    @property
    def digest(self) -> str:
        """64 hexadecimal digits; the artifact's folder is named by the first 12."""
        return digest_of(self.declared())


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact.

    path    below the lake's root: a shard's (`shards/extract/...`), or one in an artifact's folder,
            its own or that of one it was made from; what lies below a folder `_rejected` holds
            rejected rows
    rows    0 for files that are not Parquet
    shard   for rows of documents: which shard of the artifact the file belongs to, -1 for a file
            that belongs to none
    layer   its place in the shard's stack: the columns of a later layer come before those of an
            earlier one; -1 for what was made of the shard's rows on the way (signatures, encoded
            texts) and is kept for the next run

    Raises ValueError for any other path: a manifest's digest does not vouch for its list of files,
    and what is damaged is removed by its path.
    """

    path: str
    size_bytes: int
    sha256: str
    rows: int = 0
    shard: int = -1
    layer: int = 0

    def __post_init__(self) -> None:
        if not _is_in_a_lake(self.path):
            raise ValueError(f"{self.path!r} is no file of a lake")

    @property
    def is_shard(self) -> bool:
        """Whether the file belongs to a shard, not to the artifact itself."""
        return self.path.startswith(f"{SHARDS}/")

    @property
    def is_rejected(self) -> bool:
        """Whether the file holds rejected rows."""
        return REJECTED in _folders_within(self.path)


@dataclass(frozen=True)
class Counts:
    """Rows in = rows out + all rejected, or the artifact is not written.

    rejected  rows by reason
    extra     tokens, bytes and the like, by name
    """

    rows_in: int = 0
    rows_out: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)

    def check(self, step: str) -> None:
        """Raises GristmillError when a row was lost or invented."""
        dropped = sum(self.rejected.values())
        if self.rows_in != self.rows_out + dropped:
            raise GristmillError(
                f"{step}: {self.rows_in} rows in but {self.rows_out} out + {dropped} rejected;"
                " nothing was written, please report this"
            )

    def __add__(self, other: "Counts") -> "Counts":
        """Both together, name by name."""
        return Counts(
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            _sum(self.rejected, other.rejected),
            _sum(self.extra, other.extra),
        )


def _sum(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {key: left.get(key, 0) + right.get(key, 0) for key in sorted(left.keys() | right.keys())}


@dataclass(frozen=True)
class Manifest:
    """The content of `_MANIFEST.json`.

    files    in memory always all of them; more than INLINE_FILES are stored in a file beside
    content  a hash over the files' hashes without their names: equal results are equal here
    """

    format: int
    kind: str
    name: str
    step: str
    version: int
    digest: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    files: list[FileEntry]
    content: str
    counts: Counts
    libraries: dict[str, str] = field(default_factory=dict)
    schema: list[dict[str, str]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    revision: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    started_at: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    flow_run_id: str = ""
    spark_application_id: str = ""
    mlflow_run_id: str = ""

    def to_json(self, files_beside: str = "") -> bytes:
        """Indented JSON, keys in the order of the fields.

        files_beside  the name of the file that lists the files instead
        """
        if files_beside:
            fields = dataclasses.asdict(dataclasses.replace(self, files=[]))
            fields["files"] = files_beside
        else:
            fields = dataclasses.asdict(self)
        return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(
        cls, data: bytes, where: str, read_beside: Callable[[str], list[FileEntry]]
    ) -> "Manifest":
        """The manifest of a text that is at `where`.

        `read_beside` reads the list of files where it is not in the text; it raises ValueError for
        one that is damaged. Raises DamagedError when the text is damaged or not what its digest
        was taken over, GristmillError when it is of another format.
        """
        try:
            raw = json.loads(data)
            if raw.get("format") != FORMAT:
                raise GristmillError(
                    f"{where}: manifest format {raw.get('format')}, this version reads {FORMAT}:"
                    " remove this lake, or name another --root, and build it again"
                )
            listed = raw["files"]
            raw["files"] = (
                read_beside(listed)
                if isinstance(listed, str)
                else [FileEntry(**entry) for entry in listed]
            )
            raw["counts"] = Counts(**raw["counts"])
            found = cls(**raw)
            if found.identity.digest != found.digest:
                raise ValueError("its fields do not have its digest")
            return found
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedError(
                f"{where}: damaged manifest ({error}); `gristmill run`, or the step that wrote it,"
                " builds the artifact again"
            ) from None

    @property
    def identity(self) -> Identity:
        """What the artifact's digest is taken over."""
        return Identity(
            self.kind, self.step, self.version, self.parameters, self.inputs, self.libraries
        )

    def data_files(self) -> list[FileEntry]:
        """The files of the result itself, without rejected rows and what was made on the way."""
        return [entry for entry in self.files if not entry.is_rejected and entry.layer >= 0]


def content_of(files: list[FileEntry]) -> str:
    """Hash over (kind of file, content hash) of all files.

    Independent of names and order, so that a rerun can be compared.
    """
    return digest_of(sorted([_kind_of(entry.path), entry.sha256] for entry in files))


def _kind_of(path: str) -> str:
    """`shards/extract` of a shard's file; of an artifact's file, the folder in the artifact's."""
    folders = path.split("/")[:-1]
    return "/".join(folders if folders[:1] == [SHARDS] else folders[3:])


def _is_in_a_lake(path: object) -> bool:
    """Whether a path stays below the lake's root, in a map's or an artifact's folder, and names a
    file of a result there: no folder of notes or rejected rows, no manifest."""
    if not isinstance(path, str) or NOT_IN_PATHS.search(path):
        return False
    parts = path.split("/")
    folders = 2 if parts[0] == SHARDS else 3
    steps = {"", ".", ".."}.intersection(parts)
    return len(parts) > folders and not steps and parts[-1][0] not in "_."


def _folders_within(path: str) -> list[str]:
    """The folders of a file within its map's folder, or within its artifact's."""
    folders = path.split("/")[:-1]
    return folders[2:] if folders[:1] == [SHARDS] else folders[3:]


@cache
def revision() -> str:
    """The commit of this code, with `+` where the tree has changes; empty outside a checkout."""
    here = Path(__file__).parent
    return output_of(
        ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    )


PYTHON = "python"


def versions_of(libraries: tuple[str, ...]) -> dict[str, str]:
    """Name -> installed version, `missing` for what is not installed.

    `python` is the language's version without its last number: it decides the Unicode tables and
    the codecs. Builds of a version (`2.13.0+cpu`) are one.
    """
    return {name: _version_of(name) for name in libraries}


@cache
def _version_of(library: str) -> str:
    if library == PYTHON:
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return metadata.version(library).partition("+")[0]
    except metadata.PackageNotFoundError:
        return "missing"


@cache
def tool_versions() -> dict[str, str]:
    """Python and the libraries that shape results, for the manifest."""
    found = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            found[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return found
