"""An export format: a released model class that computes the same logits from renamed weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

from model.config import ModelConfig


class Exporter(NamedTuple):
    """A class of `transformers`.

    architecture  name of the class, for config.json
    objection     the first field that the class cannot express, with the reason; None: it can all
    config        config.json without token ids and dtype
    rename        our parameter's fully qualified name -> the class's
    """

    architecture: str
    objection: Callable[[ModelConfig], str | None]
    config: Callable[[ModelConfig], dict[str, Any]]
    rename: Callable[[str], str]
