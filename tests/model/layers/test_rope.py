"""Rotary positions: a rotation of pairs, after which only distances matter."""

import torch

from model.layers.rope import apply_rope, rope_tables

WIDTH, THETA = 8, 100.0


def turned(x: torch.Tensor) -> torch.Tensor:
    return apply_rope(x, *rope_tables(x.shape[-2], WIDTH, THETA, x.device))


def test_each_pair_is_turned_by_its_own_angle() -> None:
    x = torch.randn(2, 3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    plane = torch.complex(x[..., :4], x[..., 4:])
    angles = torch.arange(5.0)[:, None] * THETA ** (-2 * torch.arange(4.0) / WIDTH)
    expected = plane * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned(x), torch.cat([expected.real, expected.imag], dim=-1))


def test_the_first_position_is_not_turned() -> None:
    x = torch.randn(1, 1, 1, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(turned(x), x)


def test_queries_and_keys_meet_by_their_distance_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(WIDTH, generator=generator).expand(1, 1, 9, WIDTH) for _ in range(2))
    scores = (turned(query) @ turned(key).transpose(-1, -2))[0, 0]
    for distance in range(5):
        along = scores.diagonal(-distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-4, atol=1e-5)
