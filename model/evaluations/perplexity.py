"""Loss, perplexity and bits per byte on the validation split, whole and by source of its documents.

Each token is predicted from those before it in its window of context_tokens; windows do not
overlap. Bits per byte is the total information of the targets in bits, divided by the UTF-8 bytes
of their text: unlike loss and perplexity it compares models with different tokenizers (Gao et al.
2020, The Pile, arXiv:2101.00027, section 3.1). With a cap on the tokens, bytes are counted in
proportion to them.
"""

import math

import torch

from model.data.split import TokenSplit
from model.data.validation import ValidationWindows
from model.evaluations.subject import Outcome, Subject
from model.objectives.causal import token_losses


@torch.no_grad()
def evaluate(subject: Subject) -> Outcome:
    """details: val_loss, perplexity, val_bits_per_byte, val_tokens, val_bytes, and per_source, the
    same for each; all into scores.json too."""
    split = TokenSplit(subject.tokens, "val")
    windows = ValidationWindows(
        split,
        subject.config.context_tokens,
        subject.parameters.batch_sequences,
        cap_tokens=subject.parameters.validate_tokens,
        with_sources=True,
    )
    nats = torch.zeros(len(windows.sources), dtype=torch.float64)  # [sources]
    counts = torch.zeros(len(windows.sources), dtype=torch.float64)  # [sources]
    for number, window in enumerate(windows):
        subject.told(number, windows.batches_per_rank, "batches")
        losses = (
            token_losses(subject.model, window.tokens.to(subject.device))
            .cpu()[window.real]
            .double()
        )  # [real targets]
        owners = window.sources[window.real]  # [real targets]
        nats.index_add_(0, owners, losses)
        counts.index_add_(0, owners, torch.ones_like(losses))
    measured = windows.targets / (split.tokens - 1)
    whole = scores(float(nats.sum()), int(counts.sum()), split.bytes * measured)
    per_source = {
        name: scores(float(nats[index]), int(counts[index]), windows.source_bytes[name] * measured)
        for index, name in enumerate(windows.sources)
        if counts[index]
    }
    details = {**whole, "per_source": per_source}
    return Outcome(details, windows.targets, {"scores.json": details})


def scores(nats: float, tokens: int, text_bytes: float) -> dict[str, float]:
    """The numbers of `tokens` targets with `nats` in total, whose text has `text_bytes`."""
    loss = nats / tokens
    return {
        "val_loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "val_bits_per_byte": nats / math.log(2) / text_bytes,
        "val_tokens": tokens,
        "val_bytes": round(text_bytes),
    }
