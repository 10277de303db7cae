"""Schedules, parameter groups and frozen parts, by hand."""

import pytest
import torch
from torch import nn

from baselines.recipe import Recipe
from nas.evaluation.optimisation import frozen, make_optimiser, parameter_groups, rate_factor, set_rate, set_training
from nas.evaluation.step import clip_gradients
from search_spaces.errors import InputError
from search_spaces.modules import Network
from search_spaces.operations import Block


def factors(steps=100, per_epoch=10, **changes):
    recipe = Recipe(**changes)
    return [rate_factor(recipe, step, steps, step // per_epoch) for step in range(steps)]


def test_cosine_warms_up_then_falls_to_nothing():
    values = factors(schedule="cosine", warmup=0.1)
    assert values[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert values[10] == 1.0
    assert values[55] == pytest.approx(0.5)
    assert 0 < values[-1] < 0.001
    assert values[10:] == sorted(values[10:], reverse=True)


def test_step_constant_and_one_cycle():
    assert factors(schedule="step", warmup=0, step_factor=0.5, step_epochs=3)[::10] == [
        1,
        1,
        1,
        0.5,
        0.5,
        0.5,
        0.25,
        0.25,
        0.25,
        0.125,
    ]
    assert set(factors(schedule="constant", warmup=0)) == {1.0}
    cycle = factors(schedule="one_cycle")
    assert cycle[0] == pytest.approx(1 / 25)
    assert max(cycle) == cycle[30] == pytest.approx(1.0)
    assert cycle[-1] < 0.001


def test_decay_spares_biases_and_normalisation_and_rates_follow_depth(tiny):
    model = tiny()
    groups = parameter_groups(model, Recipe(layer_rates=(0.1, 1.0), weight_decay=0.3))
    by_parameter = {id(p): group for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        group = by_parameter[id(parameter)]
        assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
        assert group["rate"] == (0.1 if name.startswith(("features.0", "features.1", "features.3")) else 1.0), name
    optimiser = make_optimiser(groups, Recipe(), torch.device("cpu"))
    set_rate(optimiser, 0.5)
    assert {group["lr"] for group in optimiser.param_groups} == {0.05, 0.5}


@pytest.mark.parametrize(
    ("optimiser", "most", "expected"), [("adamw", 64, 0.25), ("rmsprop", 64, 0.25), ("adam", 0, 1.0), ("sgd", 64, 1.0)]
)
def test_wide_linear_layers_learn_slower(optimiser, most, expected):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 3))
    groups = parameter_groups(model, Recipe(optimiser=optimiser, linear_inputs=most))
    rates = {id(p): group["rate"] for group in groups for p in group["params"]}
    assert [rates[id(layer.weight)] for layer in (model[0], model[2], model[4])] == [1.0, expected, 1.0]


def plain_network(blocks: int, shortcut_at: int | None = None) -> nn.Module:
    """A stem, so many blocks of two steps each, one of them residual if asked, and a head: all of our spaces' operations."""
    step = ("step", 4, 4, 3, 1, 1, False)
    middle = [Block(f"block{i}", (step, step), () if i == shortcut_at else None) for i in range(blocks)]
    return Network(
        [Block("stem", (("conv", 1, 4, 3, 1, 1, False),)), *middle, Block("head", (("gap",), ("linear", 4, 3, True)))], 1
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"plain_depth": 16}, 16 / 40), ({"plain_depth": 50}, 1.0), ({"plain_depth": 0}, 1.0), ({"optimiser": "sgd"}, 1.0)],
)
def test_long_stretches_without_a_shortcut_learn_slower(changes, expected):
    groups = parameter_groups(plain_network(20), Recipe(**changes))
    assert {group["rate"] for group in groups} == {expected}


def test_a_shortcut_cuts_a_stretch_and_its_branch_is_one_of_its_own():
    model = plain_network(20, shortcut_at=4)
    rates = {id(p): group["rate"] for group in parameter_groups(model, Recipe(plain_depth=4)) for p in group["params"]}
    by_block = {name: {rates[id(p)] for p in model.get_submodule(name).parameters()} for name in model.block_names}
    assert by_block["stem"] == by_block["block0"] == by_block["block3"] == {4 / 8}
    assert by_block["block4"] == {1.0}  # two steps
    assert by_block["block5"] == by_block["block19"] == by_block["head"] == {4 / 30}


def test_a_wrapped_network_keeps_its_rates_and_other_models_have_none():
    assert {group["rate"] for group in parameter_groups(nn.Sequential(plain_network(20)), Recipe())} == {24 / 40}
    deep = nn.Sequential(*(layer for _ in range(40) for layer in (nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.ReLU())))
    assert {group["rate"] for group in parameter_groups(deep, Recipe())} == {1.0}


def test_hidden_units_behind_many_positive_inputs_survive():
    """One common push a step: 1,536 inputs of about one move a unit by 1,536 rates, as far as the units lie apart."""
    alive = {}
    for most in (0, 64):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(1536, 32), nn.ReLU(), nn.Linear(32, 2))
        nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
        recipe = Recipe(learning_rate=3e-3, linear_inputs=most)
        optimiser = make_optimiser(parameter_groups(model, recipe), recipe, torch.device("cpu"))
        set_rate(optimiser, recipe.learning_rate)
        for _ in range(30):
            inputs, labels = 1 + 0.1 * torch.randn(16, 1536), torch.randint(2, (16,))
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        alive[most] = float((model[1](model[0](1 + 0.1 * torch.randn(64, 1536))) > 0).any(0).float().mean())
    assert alive[64] > alive[0] + 0.1, alive


def test_shared_parameters_are_counted_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert sum(len(group["params"]) for group in parameter_groups(model, Recipe())) == 3


def test_the_last_layers_alone(tiny):
    model = tiny()
    with frozen(model, Recipe(trainable="last", trainable_layers=2)):
        assert {name for name, p in model.named_parameters() if p.requires_grad} == {
            "features.3.weight", "features.4.weight", "features.4.bias", "head.weight", "head.bias",
        }  # fmt: skip
        set_training(model)
        assert not model.features[1].training
        assert model.features[4].training
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(InputError, match="at least 1"), frozen(model, Recipe(trainable="last")):
        pass


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(trainable="last", trainable_layers=1)])
def test_what_the_network_itself_froze_stays_so(tiny, recipe):
    model = tiny()
    model.features[3].requires_grad_(False)
    with frozen(model, recipe):
        assert not any(p.requires_grad for p in model.features[3].parameters())
        assert model.head.weight.requires_grad
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {"features.3.weight"}


def test_nothing_to_train_is_an_error(tiny):
    model = tiny().requires_grad_(False)
    with pytest.raises(InputError, match="no trainable parameters"):
        parameter_groups(model, Recipe())


def test_clipping_equals_the_librarys(tiny):
    for scale in (0.01, 10.0):
        ours, theirs = ([nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(5))] for _ in range(2))
        for first, second in zip(ours, theirs, strict=True):
            first.grad = torch.randn(first.shape, generator=torch.Generator().manual_seed(1)) * scale
            second.grad = first.grad.clone()
        clip_gradients(ours, 1.0)
        nn.utils.clip_grad_norm_(theirs, 1.0)
        for first, second in zip(ours, theirs, strict=True):
            torch.testing.assert_close(first.grad, second.grad)
