"""What the model writes after each prompt: samples.json, a list of {prompt, text, seed}.

The same seed gives the same text.
"""

from model.evaluations.subject import Outcome, Subject
from model.generate import continue_text


def evaluate(subject: Subject) -> Outcome:
    """One continuation for each prompt; prompt number i is sampled with seed + i."""
    p = subject.parameters
    written = []
    for number, prompt in enumerate(p.prompts):
        subject.told(number, len(p.prompts), "texts")
        text = continue_text(
            subject.model,
            subject.tokenizer,
            prompt,
            p.sample_tokens,
            context_tokens=subject.config.context_tokens,
            temperature=p.temperature,
            top_k=p.top_k,
            seed=p.seed + number,
        )
        written.append({"prompt": prompt, "text": text, "seed": p.seed + number})
    return Outcome({}, len(written), {"samples.json": written})
