"""A child process that renders the documentation of Python modules to HTML with `pydoc`.

    python -m jobs.page.rendering REQUEST.json

In: a file with a JSON list of module names. Out: one event a module, in order, on standard output:
`page` with module, file (beside the request) and bytes, or `rejected` with the module. Importing a
module runs its code: output is muted, the environment empty, time stands still, and a module has
20 seconds. What would show this process (addresses, paths, code objects, arguments, warnings given
so far) is taken out.
"""

import json
import os
import pydoc
import re
import signal
import sys
import sysconfig
import time
import warnings
from pathlib import Path
from types import ModuleType

from infra.owner import die_with_parent

ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,16}\b")
CODE = re.compile(r"^.*&lt;code object.*\n", re.MULTILINE)
MODULE_SECONDS = 20
ENVIRONMENT = {"PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
"""What the process must be started with; modules see this, PATH and HOME alone."""


def render(request: Path) -> None:
    """Render all modules of the request, then end the process: some modules leave threads."""
    signal.signal(signal.SIGALRM, _give_up)
    warnings.simplefilter("ignore")
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.clear()
    os.environ.update({"PATH": "/usr/bin:/bin", "HOME": "/", **ENVIRONMENT})
    sys.argv[:] = ["python"]
    time.time = lambda: 0.0
    for number, name in enumerate(json.loads(request.read_text(encoding="utf-8"))):
        signal.alarm(MODULE_SECONDS)
        try:
            page = page_of(name)
            signal.alarm(0)
        except (Exception, SystemExit):
            events.write(json.dumps({"event": "rejected", "module": name}) + "\n")
            continue
        file = request.with_suffix(f".{number}.html")
        file.write_text(page, encoding="utf-8", errors="replace")
        done = {"module": name, "file": str(file), "bytes": file.stat().st_size}
        events.write(json.dumps({"event": "page", **done}) + "\n")
    events.flush()
    os._exit(0)


def page_of(name: str) -> str:
    """The documentation of a module as an HTML page. Raises whatever its import raises."""
    found = pydoc.resolve(name)
    if found is None:
        raise ImportError(name)
    if isinstance(found[0], ModuleType):  # a package may hide its module behind a class
        vars(found[0]).pop("__warningregistry__", None)
    html = pydoc.HTMLDoc()
    page = html.page(pydoc.describe(found[0]), html.document(found[0], name))
    page = CODE.sub("", ADDRESS.sub("0x0", page))
    folders = {sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")}
    for folder in sorted(folders, key=len, reverse=True):
        page = page.replace(folder, "/usr/lib/python3")
    return page


def _give_up(number: int, frame: object) -> None:
    raise TimeoutError("module took too long")


if __name__ == "__main__":
    die_with_parent()
    render(Path(sys.argv[1]))
