"""Sampling from a language model, one token after another.

The whole context is computed again for each token (no cache of keys and values). Deterministic: the
same model, prompt, settings and seed write the same tokens, on the CPU, whatever ran before.

    python -m model.generate REQUEST.json

reads {"checkpoint": [lake root, kind, name, digest], "prompt", "max_tokens", "temperature",
"top_k", "seed"}, continues the prompt with the model of that checkpoints artifact and the tokenizer
it was trained with, and answers with events: `progress`, and `generated` (text) at the end.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from infra import storage
from infra.errors import GristmillError, UsageError
from infra.lake import Artifact, Lake
from infra.owner import die_with_parent
from infra.process import emit, emit_failure
from model.checkpoint.final import read_model


@torch.no_grad()
def generate(
    model: nn.Module,
    tokens: torch.Tensor,
    count: int,
    *,
    context_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    stop_id: int = -1,
    told: Callable[[int], None] = lambda written: None,
) -> torch.Tensor:
    """Continue the prompt `tokens`, int64 [T] with T >= 1, by at most `count`: int64 [T + written].

    context_tokens  the model sees that many last tokens
    temperature     0: the likeliest token
    top_k           > 0: sample among that many likeliest (Fan et al. 2018, arXiv:1805.04833)
    stop_id         ends the text and is not written
    told            called with how many are written
    """
    generator = torch.Generator().manual_seed(seed)
    written = tokens
    for done in range(count):
        told(done)
        logits = (
            model(written[None, -context_tokens:])[0, -1].float().cpu()
        )  # [V], the last token's
        chosen = choose(logits, temperature, top_k, generator)
        if chosen == stop_id:
            break
        written = torch.cat([written, written.new_tensor([chosen])])
    return written


def choose(logits: torch.Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    """One token out of logits [V], on the CPU."""
    if temperature == 0:
        return int(logits.argmax())
    if 0 < top_k < logits.numel():
        limit = logits.topk(top_k).values[-1]
        logits = logits.masked_fill(logits < limit, -torch.inf)
    return int(
        torch.multinomial(torch.softmax(logits / temperature, dim=0), 1, generator=generator)
    )


def continue_text(
    model: nn.Module,
    tokenizer: Artifact,
    prompt: str,
    count: int,
    *,
    context_tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
    told: Callable[[int], None] = lambda written: None,
) -> str:
    """The text that follows `prompt`, up to the end-of-text token.

    An empty prompt stands for the beginning of a document: the end-of-text token, or a line break
    where the tokenizer has none.

    Raises UsageError for a prompt that the tokenizer has no token for.
    """
    codec = Tokenizer.from_str(storage.read_bytes(tokenizer.file("tokenizer.json")).decode())
    eos_id = int(json.loads(storage.read_bytes(tokenizer.file("config.json")))["eos_id"])
    ids = [eos_id] if not prompt and eos_id >= 0 else codec.encode(prompt or "\n").ids
    if not ids:
        raise UsageError(f"prompt {prompt!r}: the tokenizer has no token for it; give other text")
    tokens = torch.tensor(ids, device=next(model.parameters()).device)  # int64 [T]
    whole = generate(
        model,
        tokens,
        count,
        context_tokens=context_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        stop_id=eos_id,
        told=told,
    )
    return str(codec.decode(whole[len(ids) :].tolist()))


def answer(request: dict[str, Any]) -> str:
    """The continuation that a request file asks for."""
    checkpoint = Artifact(*request["checkpoint"])
    tokenizer = Lake(checkpoint.lake_root).find(
        checkpoint.require().inputs["tokenizer"], "tokenizer"
    )
    model, config = read_model(checkpoint)
    return continue_text(
        model,
        tokenizer,
        request["prompt"],
        request["max_tokens"],
        context_tokens=config.context_tokens,
        temperature=request["temperature"],
        top_k=request["top_k"],
        seed=request["seed"],
        told=partial(tell, request["max_tokens"]),
    )


def tell(count: int, written: int) -> None:
    """How much is written."""
    emit("progress", done=written, total=count, unit="tokens")


def main() -> None:
    """Entry point of the child process."""
    die_with_parent()
    try:
        emit("generated", text=answer(json.loads(Path(sys.argv[1]).read_bytes())))
    except GristmillError as error:
        emit_failure(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
