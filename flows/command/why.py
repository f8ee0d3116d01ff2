"""WIP"""

from typing import Any

from infra.lake import Lake


def why(lake: Lake, document: str, reference: str | None) -> list[dict[str, Any]]:
    raise NotImplementedError
