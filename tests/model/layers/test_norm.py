"""RMSNorm: unit mean square times the gain, computed in fp32 whatever the input."""

import torch

from model.layers.norm import RMSNorm


def test_the_mean_square_becomes_that_of_the_gain() -> None:
    layer = RMSNorm(64, 1e-6)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        out = layer(torch.randn(5, 64, generator=torch.Generator().manual_seed(0)) * 100)
    torch.testing.assert_close(out.square().mean(-1), torch.full((5,), 9.0))


def test_half_precision_comes_back_as_half_precision_computed_in_full() -> None:
    layer = RMSNorm(64, 1e-6).to(torch.bfloat16)
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    whole = x.float() * (x.float().square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    with torch.no_grad():
        assert torch.equal(layer(x), whole.to(torch.bfloat16))
