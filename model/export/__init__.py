"""Export formats: released model classes that other tools load.

EXPORTERS is tried in order; the first without objection is used.
"""

from infra.errors import UsageError
from model.config import ModelConfig
from model.export.exporter import Exporter
from model.export.llama import LLAMA
from model.export.qwen3 import QWEN3

__all__ = ["EXPORTERS", "Exporter", "exporter_for"]

EXPORTERS: list[Exporter] = [LLAMA, QWEN3]


def exporter_for(config: ModelConfig) -> Exporter:
    """The format for a model of this shape.

    Raises UsageError that names the field which no released class can express.
    """
    for exporter in EXPORTERS:
        if exporter.objection(config) is None:
            return exporter
    raise UsageError(
        f"export: no released model class can express {EXPORTERS[0].objection(config)};"
        " train with another value to export"
    )
