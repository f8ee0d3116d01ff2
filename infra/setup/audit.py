"""Ask an advisory list about every locked package (`make audit`).

    python -m infra.setup.audit [URL]

Names and versions of requirements.lock, and torch's of prepare.sh, go to OSV
(https://google.github.io/osv.dev/post-v1-querybatch/) in one question; nothing else is sent. Exit
codes: 0 nothing is known against any of them, 1 something is, a line each, 2 the list cannot be
reached, so that nothing is known.
"""

import json
import re
import sys
import urllib.request
from pathlib import Path

OSV = "https://api.osv.dev"
TIMEOUT_SECONDS = 60
HERE = Path(__file__).parents[2]
PINNED = re.compile(r"""^(?:.*["' ])?([A-Za-z0-9][\w.-]*)==([\w.!+-]+)""", re.MULTILINE)
Pin = tuple[str, str]


def pins(*files: Path) -> list[Pin]:
    """(name, version) of every `name==version` in these files, sorted."""
    return sorted({pin for file in files for pin in PINNED.findall(file.read_text())})


def advisories(asked: list[Pin], url: str) -> dict[Pin, list[str]]:
    """Ids of the advisories on each package that has some. Raises OSError where the list cannot be
    reached, ValueError where its answer is none."""
    queries = [
        {"package": {"ecosystem": "PyPI", "name": name}, "version": version}
        for name, version in asked
    ]
    request = urllib.request.Request(
        f"{url}/v1/querybatch",
        json.dumps({"queries": queries}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        results = json.load(answer).get("results", [])
    if len(results) != len(asked):
        raise ValueError(f"{len(results)} answers to {len(asked)} questions")
    found = {
        pin: sorted(each["id"] for each in result.get("vulns", []))
        for pin, result in zip(asked, results)
    }
    return {pin: ids for pin, ids in found.items() if ids}


def main() -> None:
    """Print what is known against the locked packages."""
    url = sys.argv[1] if len(sys.argv) > 1 else OSV
    asked = pins(HERE / "requirements.lock", HERE / "infra" / "setup" / "prepare.sh")
    try:
        found = advisories(asked, url)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"audit: {url} cannot be asked ({error}); nothing is known\n")
        raise SystemExit(2) from None
    for (name, version), ids in found.items():
        sys.stdout.write(f"{name}=={version}: {', '.join(ids)} (https://osv.dev/{ids[0]})\n")
    sys.stdout.write(f"{len(asked)} packages, {len(found)} with advisories\n")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
