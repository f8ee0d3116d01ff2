"""The causal convolution: its definition, and that it begins as nothing at all."""

import torch

from model.layers.convolution import CausalConvolution


def test_each_channel_adds_a_mix_of_its_own_last_tokens() -> None:
    torch.manual_seed(0)
    layer = CausalConvolution(3, 4)
    with torch.no_grad():
        layer.taps.normal_()
    x = torch.randn(2, 6, 3)
    expected = x.clone()
    for t in range(6):
        for i in range(min(4, t + 1)):
            expected[:, t] += layer.taps[:, 0, 3 - i].detach() * x[:, t - i]
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)


def test_it_begins_as_the_identity() -> None:
    x = torch.randn(1, 5, 3)
    assert torch.equal(CausalConvolution(3, 4)(x), x)
