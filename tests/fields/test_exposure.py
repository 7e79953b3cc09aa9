"""Gain and offset a view: the gauge, the views that are not trained with, clipped colours."""

from __future__ import annotations

import torch

from nto3d.fields.exposure import Exposure

TRAIN = torch.tensor([True, True, False, True])


def made() -> Exposure:
    """Four views, with an estimate and corrections drawn at random; the third is held out."""
    generator = torch.Generator().manual_seed(2)
    gain = 0.7 + 0.7 * torch.rand(4, 3, generator=generator)
    gain /= gain[TRAIN].log().mean(dim=0).exp()
    offset = 0.1 * torch.rand(4, 3, generator=generator)
    exposure = Exposure(gain, offset - offset[TRAIN].mean(dim=0), TRAIN)
    with torch.no_grad():
        exposure.log_gain.normal_(0.0, 0.2, generator=generator)
        exposure.offset.normal_(0.0, 0.1, generator=generator)
    return exposure


def test_the_mean_over_the_training_views_stays_identity() -> None:
    gain, offset = made().values()
    torch.testing.assert_close(gain[TRAIN].log().mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0.0)
    torch.testing.assert_close(offset[TRAIN].mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0.0)


def test_a_held_out_view_keeps_its_estimate() -> None:
    exposure = made()
    gain, offset = exposure.values()
    assert torch.equal(gain[2], exposure.start_gain[2])
    assert torch.equal(offset[2], exposure.start_offset[2])
    assert not torch.equal(gain[1], exposure.start_gain[1])


def test_every_ray_is_seen_as_its_view_sees_it() -> None:
    exposure, rgb, view = made(), torch.full((3, 3), 0.4), torch.tensor([3, 0, 3])
    gain, offset = exposure.values()
    torch.testing.assert_close(exposure(rgb, view, rgb), gain[view] * 0.4 + offset[view])


def test_clipped_pictures_clip_what_is_compared_with_them() -> None:
    exposure = Exposure(torch.full((1, 3), 2.0), torch.full((1, 3), -0.5), torch.tensor([True]))
    rgb = torch.tensor([[0.9, 0.1, 0.9]], requires_grad=True)
    picture = torch.tensor([[1.0, 0.0, 0.8]])
    seen = exposure(rgb, torch.tensor([0]), picture)
    torch.testing.assert_close(seen, torch.tensor([[1.0, 0.0, 1.3]]))
    (gradient,) = torch.autograd.grad((seen - picture).abs().sum(), rgb)
    assert gradient.tolist() == [[0.0, 0.0, 2.0]]  # only where the picture could have said more
    torch.testing.assert_close(exposure(rgb, torch.tensor([0])), torch.tensor([[1.0, 0.0, 1.0]]))


def test_corrections_are_learnt_and_their_size_is_known() -> None:
    exposure = Exposure(torch.ones(2, 3), torch.zeros(2, 3), torch.ones(2, dtype=torch.bool))
    assert exposure.departure() == 0.0
    truth = torch.tensor([0.8, 1.25])[:, None] * torch.rand(2, 200, generator=torch.Generator().manual_seed(0))
    view = torch.arange(2).repeat_interleave(200)
    source = torch.rand(2, 200, generator=torch.Generator().manual_seed(0)).reshape(-1, 1).expand(-1, 3)
    optimizer = torch.optim.Adam(exposure.parameters(), lr=0.02)
    for _ in range(300):
        loss = (exposure(source, view) - truth.reshape(-1, 1).clamp(max=1.0)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gain, offset = exposure.values()
    torch.testing.assert_close(gain[:, 0], torch.tensor([0.8, 1.25]), atol=0.03, rtol=0.0)
    torch.testing.assert_close(offset, torch.zeros(2, 3), atol=0.02, rtol=0.0)
    assert exposure.departure() > 0.01
