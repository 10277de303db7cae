"""Spaces of many decisions, of which a search sees a handful of networks: it goes on looking around."""

import numpy as np
from scipy.stats import spearmanr

from nas.generator.beliefs import Beliefs
from nas.generator.costs import Costs
from nas.generator.generator import Generator
from nas.generator.history import History, Observation
from nas.generator.options import GeneratorOptions
from nas.generator.representation import Representation
from search_spaces import Architecture, Budget, get_space

BUDGET = Budget(flops=400_000, image_size=32)
SPACE = get_space("pepx", classes=2, image_size=32)


def differing(a: Architecture, b: Architecture) -> int:
    """Decisions that matter in either of two networks and differ."""
    return sum(a[name] != b[name] for name in SPACE.active(a) | SPACE.active(b))


def told(networks: list[Architecture], scores: np.ndarray) -> History:
    observations = tuple(Observation(a, (float(s),)) for a, s in zip(networks, scores, strict=True))
    return History(observations, (), frozenset(a.key for a in networks))


def test_it_does_not_stay_beside_the_best_of_a_few() -> None:
    rng = np.random.default_rng(0)
    networks = SPACE.sample_many(12, rng, BUDGET)
    generator = Generator(SPACE, BUDGET, seed=0)
    apart = np.median([differing(a, b) for a in networks for b in networks if a is not b])
    proposed = [generator.propose(told(networks, rng.normal(size=12)), index) for index in range(3)]
    nearest = [min(differing(network, seen) for seen in networks) for network in proposed]
    assert min(nearest) >= apart / 2
    assert all(SPACE.cost(network, 32).flops <= BUDGET.flops for network in proposed)


def test_its_first_networks_are_no_outliers() -> None:
    history = told(SPACE.sample_many(1, np.random.default_rng(1), BUDGET), np.zeros(1))
    starts = {
        start: Generator(SPACE, BUDGET, seed=0, options=GeneratorOptions(start=start)).propose(history, 1).key
        for start in ("diverse", "edge")
    }
    assert starts["diverse"] == starts["edge"]


def test_with_few_scores_the_expected_score_decides_and_later_what_it_may_improve_by() -> None:
    rng = np.random.default_rng(0)
    networks = SPACE.sample_many(230, rng, BUDGET)
    depths = [sum(network[f"stage{number}.depth"] for number in range(1, 5)) for network in networks]
    scores = np.array(depths) + 4.0 * np.array([network["long_range"] == "add" for network in networks])
    representation = Representation(Costs(SPACE, BUDGET), networks)
    beliefs = Beliefs(representation, GeneratorOptions(refit_every=60))
    points = representation.encode(networks[200:])
    for seen, follows_mean in ((20, True), (len(SPACE.decisions) + 1, False)):
        history = told(networks[:seen], scores[:seen])
        worth = beliefs.worth(history, points, np.ones(1))
        posterior, targets, _ = beliefs._posterior("score", history, points, np.ones(1))
        mean, _ = posterior.predict(targets)
        assert (spearmanr(worth, mean)[0] > 0.99) == follows_mean
        assert spearmanr(worth, mean)[0] > 0.3
