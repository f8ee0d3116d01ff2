"""The division of parameters between the optimizers, and their rates."""

import torch

from model.architectures import build_model, init_weights
from model.config import ModelConfig, OptimizerParameters, TrainParameters
from model.objectives import OBJECTIVES
from model.optim import build_optimizers, set_rate

SMALL = ModelConfig(
    vocab_size=20,
    context_tokens=8,
    layers=1,
    heads=2,
    width=16,
    ffn_width=24,
    tied=False,
    conv_tokens=2,
)


def test_matrices_of_the_blocks_go_to_muon_and_all_else_to_adamw() -> None:
    model = build_model(SMALL)
    muon, adamw = build_optimizers(model, TrainParameters(model=SMALL))
    names = {p: name for name, p in model.named_parameters()}
    in_muon = {names[p] for group in muon.param_groups for p in group["params"]}
    in_adamw = {names[p] for group in adamw.param_groups for p in group["params"]}
    parts = (
        "attention.query",
        "attention.key",
        "attention.value",
        "attention.output",
        "feed_forward.gate",
        "feed_forward.up",
        "feed_forward.down",
    )
    assert in_muon == {f"blocks.0.{part}.weight" for part in parts}
    assert in_muon | in_adamw == set(names.values()) and not in_muon & in_adamw


def test_gains_and_taps_do_not_decay() -> None:
    model = build_model(SMALL)
    parameters = TrainParameters(model=SMALL, optimizer=OptimizerParameters(weight_decay=0.1))
    for optimizer in build_optimizers(model, parameters):
        for group in optimizer.param_groups:
            assert {p.ndim == 2 for p in group["params"]} == {group["weight_decay"] > 0}


def test_two_steps_on_one_batch_lower_its_loss() -> None:
    model = build_model(SMALL)
    init_weights(model, SMALL, 1)
    optimizers = build_optimizers(model, TrainParameters(model=SMALL))
    tokens = torch.randint(20, (4, 9), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(3):
        nats, count = OBJECTIVES["causal"](model, tokens)
        losses.append(nats.item() / count)
        torch.autograd.backward(nats)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[0] > losses[1] > losses[2]


def test_set_rate_scales_every_groups_peak() -> None:
    chosen = OptimizerParameters(muon_lr=0.04, adamw_lr=0.01, head_lr=0.002)
    optimizers = build_optimizers(
        build_model(SMALL), TrainParameters(model=SMALL, optimizer=chosen)
    )
    set_rate(optimizers, 0.5)
    set_rate(optimizers, 0.25)
    assert [group["lr"] for optimizer in optimizers for group in optimizer.param_groups] == [
        0.01,
        0.0025,
        0.0005,
        0.0025,
    ]
