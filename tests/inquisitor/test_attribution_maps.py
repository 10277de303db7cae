"""Attribution: sign and scale are kept, regions are comparable, invalid maps are void, the search finds what matters."""

from __future__ import annotations

from threading import Lock

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from inquisitor_models import SETTINGS, Reader, small_net
from torch import nn

from nas.inquisitor import Engine, Margins, audit_model
from nas.inquisitor.attribution.critical import critical_regions
from nas.inquisitor.attribution.grid import CELLS, cells_in, connected, elsewhere, enlarge, from_map, neighbours
from nas.inquisitor.attribution.impact import coverage, impact, impact_scores
from nas.inquisitor.attribution.localisation import excess_mass, localisation_auc, mass_outside
from nas.inquisitor.attribution.methods import (
    METHODS,
    Maps,
    UnavailableError,
    differentiable,
    grad_cam,
    last_map,
    log_odds,
    maps_by,
)
from nas.inquisitor.attribution.occlusion import occlude
from nas.inquisitor.attribution.validity import completeness, randomised, survival, verdict_on

SIZE = 48
ONES = torch.ones(6, dtype=torch.int64)


class Spot(nn.Module):
    """Evidence for the second class is the brightness of one known spot: 8 × 8 pixels at (16, 32)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        evidence = 6 * images[:, 0, 16:24, 32:40].mean((1, 2)) - 3
        return torch.stack([-evidence, evidence], 1)


@pytest.fixture
def spotted() -> torch.Tensor:
    """Six noisy pictures with the spot alight."""
    images = 0.3 + 0.1 * torch.rand(6, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    images[:, :, 16:24, 32:40] += 0.5
    return images


@pytest.mark.parametrize("name", ["integrated_gradients", "gradient_shap", "occlusion"])
def test_maps_point_at_the_spot_with_the_right_sign(spotted, name):
    for model, sign in ((Spot(), 1), (Reader(lambda images: 2 - 6 * images[:, 0, 16:24, 32:40].mean((1, 2))), -1)):
        values = maps_by(name, Engine(model), spotted, ONES, 0).values
        assert values.shape == (6, SIZE, SIZE)
        inside = values[:, 16:24, 32:40].mean()
        assert sign * inside > 10 * values.mean().abs() / SIZE


def test_integrated_gradients_add_up_and_a_broken_map_is_void(spotted):
    maps = METHODS.get("integrated_gradients")(Engine(Spot()), spotted, ONES)
    assert completeness(maps) < 0.01
    broken = Maps("integrated_gradients", maps.values * 0.5, maps.gap)
    other = Maps("integrated_gradients", torch.rand(6, SIZE, SIZE))
    assert verdict_on(broken, other, 1.0)["status"] == "void"
    assert verdict_on(maps, other, 1.0)["status"] == "valid"


def test_a_map_that_survives_randomisation_is_void(spotted):
    edges = Maps("edges", spotted[:, 0] - spotted.mean())
    different = Maps("other", torch.rand(6, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    assert "survives" in verdict_on(different, different, 1.0)["reason"]
    assert verdict_on(edges, different, 0.0)["status"] == "void"  # its region matters no more than a random one
    own, chance = survival(different.values, different.values)
    assert own == pytest.approx(1.0)
    assert abs(chance) < 0.1


def test_a_map_that_is_the_same_for_every_image_is_void_only_where_it_survives():
    one, other = torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    noise = 0.02 * torch.rand(6, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    fixed = Maps("fixed", one + noise)
    assert survival(fixed.values, fixed.values)[1] > 0.99
    assert "survives" in verdict_on(fixed, Maps("fixed", one + noise.flip(0)), 1.0)["reason"]
    assert verdict_on(fixed, Maps("fixed", other + noise), 1.0)["status"] == "valid"  # a network may look at one place always


def test_randomised_copy_leaves_the_model_alone_and_differs():
    model = small_net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin = randomised(model, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not torch.equal(twin.head[2].weight, model.head[2].weight)
    assert torch.equal(randomised(model, 0).head[2].weight, twin.head[2].weight)


def test_grad_cam_uses_the_last_map_and_says_where_it_cannot(spotted):
    engine = Engine(small_net())
    assert last_map(engine, spotted[:1]) is engine.model.stage1.block2[0]
    assert grad_cam(engine, spotted, ONES).values.shape == (6, SIZE, SIZE)
    with pytest.raises(UnavailableError, match="convolution"):
        grad_cam(Engine(Spot()), spotted, ONES)


def test_gradients_are_known_to_be_missing(spotted):
    class Exported(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(Spot()(images).detach().numpy())

    assert differentiable(Engine(Spot()), spotted[:1])
    assert not differentiable(Engine(Exported()), spotted[:1])


def test_log_odds_are_those_of_the_softmax():
    logits = torch.tensor([[1.0, 2.0, -0.5]])
    p = logits.softmax(1)
    torch.testing.assert_close(log_odds(lambda x: x)(logits), (p / (1 - p)).log())


def test_attribution_leaves_no_gradients_modes_or_random_state_behind(spotted):
    model = small_net().train()
    state, drawn = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    for name in METHODS.names():
        maps_by(name, Engine(model), spotted, ONES, 5)
    assert model.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], drawn)


@pytest.mark.parametrize("name", METHODS.names())
def test_maps_are_the_same_for_the_same_seed_whatever_was_drawn_before(spotted, name):
    found = []
    for seed in (3, 3, 4):
        np.random.rand(7)
        torch.rand(7)
        found.append(maps_by(name, Engine(small_net()), spotted, ONES, seed).values)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2]) == (name != "gradient_shap")


def test_our_occlusion_equals_captums(spotted):
    model = small_net().eval()
    ours = occlude(Engine(model), spotted, ONES, window=8, stride=4, reference=0.25)
    theirs = Occlusion(log_odds(model)).attribute(
        spotted, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4), baselines=0.25, target=ONES
    )
    assert (ours - theirs[:, 0]).abs().max() < 1e-4


def test_mass_and_localisation_do_not_depend_on_scale_and_count_empty_maps():
    values = torch.zeros(3, 10, 10)
    values[0, :2, :2], values[1, 8:, 8:] = 1.0, 5.0
    inside = torch.zeros(3, 10, 10, dtype=torch.bool)
    inside[:, :5] = True
    assert mass_outside(values, inside)[:2].tolist() == [0.0, 1.0]
    assert mass_outside(values, inside)[2].isnan()
    assert mass_outside(values * 7, inside)[1] == 1.0
    noise = torch.rand(40, 30, 30, generator=torch.Generator().manual_seed(0))
    small = torch.zeros(40, 30, 30, dtype=torch.bool)
    small[:, :6, :6] = True
    assert localisation_auc(noise, small).mean() == pytest.approx(0.5, abs=0.03)
    assert excess_mass(noise, small).abs().max() < 1e-5  # the same region for all: no excess over other patients'


def test_regions_from_maps_are_connected_of_equal_area_and_where_the_mass_is():
    values = torch.rand(5, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    values[:, 24:36, 4:16] += 5
    regions = from_map(values, cells_in())
    assert connected(regions).all()
    assert (regions.flatten(1).sum(1) == cells_in()).all()
    assert (enlarge(regions, SIZE)[:, 0, 24:36, 4:16].flatten(1).float().mean(1) > 0.8).all()


def test_control_regions_keep_area_and_shape():
    regions = from_map(torch.rand(20, SIZE, SIZE, generator=torch.Generator().manual_seed(2)), cells_in())
    moved = elsewhere(regions, torch.Generator().manual_seed(0))
    assert torch.equal(moved.flatten(1).sum(1), regions.flatten(1).sum(1))
    assert connected(moved).all()
    assert not torch.equal(moved, regions)


def test_connected_and_neighbours_on_small_regions():
    grid = torch.zeros(3, 4, 4, dtype=torch.bool)
    grid[0, 0, :3] = True
    grid[1, 0, 0] = grid[1, 1, 1] = True  # touch at a corner only
    assert connected(grid).tolist() == [True, False, False]
    assert int(neighbours(grid[:1]).sum()) == 4


def test_the_search_finds_the_spot_without_gradients(spotted):
    regions, odds = critical_regions(Engine(Spot()), spotted, ONES)
    assert connected(regions).all()
    assert (regions.flatten(1).sum(1) == cells_in(cells=CELLS)).all()
    pixels = enlarge(regions, SIZE)[:, 0]
    assert (pixels[:, 16:24, 32:40].flatten(1).float().mean(1) > 0.95).all()
    assert (odds < 0).all()


def test_impact_counts_changes_and_weakenings_and_subtracts_the_control(spotted):
    engine = Engine(Spot())
    regions, _ = critical_regions(engine, spotted, ONES)
    found = impact(engine, spotted, ONES, regions, "ring")
    assert found.weakened.all()
    assert (found.drop > 1).all()
    scores = impact_scores(engine, spotted, ONES, regions, fill="ring")
    assert scores["impact"]["score"] == 1.0
    assert scores["impact"]["excess"] == scores["impact"]["score"] - scores["impact"]["random"]
    assert scores["drop"]["low"] > 0
    nothing = impact_scores(engine, spotted, ONES, torch.zeros_like(regions), fill="ring")
    assert nothing["empty"] == 6  # counted, not averaged in


def test_coverage_is_intersection_over_union():
    regions = torch.zeros(2, 4, 4, dtype=torch.bool)
    regions[:, :2, :2] = True
    truth = torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[0, :4, 2:6] = True
    values, absent = coverage(regions, truth)
    assert absent == 1
    np.testing.assert_allclose(values, [8 / 24])


def test_localisation_counts_equal_values_half_and_a_map_of_no_numbers_is_none():
    inside = torch.zeros(3, 10, 10, dtype=torch.bool)
    inside[:, 6:, :4] = True
    values = torch.zeros(3, 10, 10)
    values[1, 5:] = 1.0  # all 16 pixels inside, 34 of the 84 outside
    values[2, 0, 0] = torch.nan
    even, half, none = localisation_auc(values, inside)
    assert even == 0.5
    assert half == pytest.approx((50 + 34 / 2) / 84)
    assert none.isnan()


def test_a_map_of_no_numbers_is_void_whichever_network_it_is_of(spotted):
    good, other = (Maps("m", torch.rand(6, SIZE, SIZE, generator=torch.Generator().manual_seed(k))) for k in (0, 1))
    holed = Maps("m", torch.where(spotted[:, 0] > 0.7, torch.nan, other.values))
    assert verdict_on(good, other, 1.0)["status"] == "valid"
    assert "no numbers" in verdict_on(holed, other, 1.0)["reason"]
    assert verdict_on(holed, other, 1.0)["survival"] is None
    assert "no numbers" in verdict_on(good, holed, 1.0)["reason"]


class Headed(nn.Module):
    """A linear layer behind features (n, 8) of any kind."""

    def __init__(self, features):
        super().__init__()
        self.features, self.head = features, nn.Linear(8, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


def _pooled():
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _weight_normed():
    features = _pooled()
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(features[0])
    return Headed(features)


def _locked():
    model = Headed(_pooled())
    model.lock = Lock()  # a thread's lock cannot be copied
    return model


def _exploding():
    """Sixteen normalisations of channels that were dead in training: weights drawn anew leave the range of float32."""
    layers = [nn.Conv2d(1, 8, 3, 2, 1)]
    for _ in range(16):
        layers += [nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU()]
    model = Headed(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    for layer in layers[1:]:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var[:2] = 1e-12
            layer.eps = 1e-12
        elif isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight[:2])
            nn.init.zeros_(layer.bias[:2])
    return model


class Bfloat16(nn.Module):
    """Half precision inside."""

    def __init__(self):
        super().__init__()
        self.inner = small_net().bfloat16()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images.bfloat16())


def _without_gradients():
    features = _pooled()
    return Headed(torch.no_grad()(features.forward))


@pytest.mark.parametrize(
    ("make", "status", "of_occlusion"),
    [
        (_weight_normed, {"valid", "void"}, {"valid", "void"}),
        (Bfloat16, {"valid", "void"}, {"valid", "void"}),
        (_locked, {"void"}, {"void"}),
        (_exploding, {"void"}, {"void"}),
        (_without_gradients, {"unavailable"}, {"valid", "void"}),
        (lambda: Headed(lambda images: (images > 0.5).float().mean((1, 2)).unflatten(1, (8, -1)).mean(2)), {"unavailable"}, {"valid", "void"}),
    ],
    ids=["weight norm", "bfloat16", "a lock", "dead channels", "frozen backbone", "thresholds"],
)  # fmt: skip
def test_a_full_audit_of_anyones_network_ends_with_its_maps_void_or_unavailable(plain, make, status, of_occlusion):
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = make()
    finding = audit_model(
        model,
        plain.subset(np.arange(200)),
        settings=SETTINGS,
        margins=Margins(competence=0.01),
        tests=("T1",),
        attribution=True,
    )
    found = {item["method"]: item["status"] for item in finding.attributions}
    assert {found["integrated_gradients"], found["gradient_shap"]} <= status
    assert found["occlusion"] in of_occlusion
