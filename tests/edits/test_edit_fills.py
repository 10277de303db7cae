"""Fills: inside the region only, plausible values, the harmonic one exact on a ramp."""

import pytest
import torch

from nas.edits import FILLS, get_fill, lung_region
from search_spaces.errors import InputError


@pytest.mark.parametrize("name", sorted(FILLS))
def test_a_fill_touches_its_region_only(batch, name):
    region = lung_region(batch.masks)
    filled = get_fill(name)(batch.images, region, batch.generator())
    assert filled.shape == batch.images.shape
    assert torch.equal(filled[~region], batch.images[~region])
    assert not torch.equal(filled[region], batch.images[region])
    assert 0 <= filled.min() <= filled.max() <= 1
    assert torch.equal(filled, get_fill(name)(batch.images, region, batch.generator()))


@pytest.mark.parametrize("name", sorted(FILLS))
def test_empty_and_full_regions_are_survived(batch, name):
    nothing, everything = torch.zeros_like(batch.masks), torch.ones_like(batch.masks)
    assert torch.equal(get_fill(name)(batch.images, nothing, batch.generator()), batch.images)
    assert get_fill(name)(batch.images, everything, batch.generator()).isfinite().all()


def test_ring_mean_takes_the_mean_and_the_grain_of_the_ring():
    generator = torch.Generator().manual_seed(1)
    images = 0.5 + 0.05 * torch.randn(2, 1, 64, 64, generator=generator)
    region = torch.zeros_like(images, dtype=torch.bool)
    region[:, :, 20:44, 20:44] = True
    images = torch.where(region, torch.zeros_like(images), images)
    inside = get_fill("ring")(images, region, generator)[region]
    assert abs(inside.mean() - 0.5) < 0.01
    assert abs(inside.std() - 0.05) < 0.02


def test_laplace_continues_a_ramp():
    ramp = torch.linspace(0, 1, 48)[None, None, None, :].expand(1, 1, 48, 48).contiguous()
    region = torch.zeros_like(ramp, dtype=torch.bool)
    region[:, :, 12:36, 12:36] = True
    filled = get_fill("laplace")(torch.where(region, torch.zeros_like(ramp), ramp), region, torch.Generator())
    assert (filled - ramp).abs().max() < 0.02


def test_an_unknown_fill_is_named():
    with pytest.raises(InputError, match="'snow'"):
        get_fill("snow")
