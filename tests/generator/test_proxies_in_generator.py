"""Zero-cost proxies in the generator: features whose weight is learnt."""

import numpy as np
import pytest

from nas.generator.costs import Costs
from nas.generator.generator import Generator
from nas.generator.history import History, Observation
from nas.generator.options import GeneratorOptions
from nas.generator.representation import PARTS, Representation
from search_spaces import Architecture, Budget, get_space

BUDGET = Budget(flops=400_000, image_size=32)
SPACE = get_space("pepx", classes=2, image_size=32)


def worth(network: Architecture) -> float:
    """A score that no decision tells by itself: a number drawn from the network's key."""
    return float(np.random.default_rng(int(network.key.rpartition("-")[2], 16)).normal())


def proposals(proxies, options: GeneratorOptions) -> list[float]:
    networks = SPACE.sample_many(16, np.random.default_rng(0), BUDGET)
    observed = tuple(Observation(network, (worth(network),)) for network in networks)
    history = History(observed, (), frozenset(network.key for network in networks))
    generator = Generator(SPACE, BUDGET, seed=0, proxies=proxies, options=options)
    return [worth(generator.propose(history, index)) for index in range(3)]


def test_a_proxy_that_tells_is_followed_and_a_constant_or_none_does_no_harm() -> None:
    asked: list[str] = []

    def telling(network: Architecture) -> dict[str, float]:
        asked.append(network.key)
        return {"telling": 100.0 + 5.0 * worth(network), "constant": 7.0}

    assert min(proposals(telling, GeneratorOptions())) > 1.0  # of 24 normal numbers the largest is about 2
    assert len(set(asked)) <= 16 + 3 * 24  # computed of the shortlist only
    without = tuple(part for part in PARTS if part != "proxies")
    plain = proposals(None, GeneratorOptions())
    assert proposals(telling, GeneratorOptions(parts=without)) == plain
    assert proposals(lambda network: {}, GeneratorOptions()) == plain


def test_proxies_are_standardised_and_a_missing_or_infinite_one_is_the_mean() -> None:
    networks = SPACE.sample_many(5, np.random.default_rng(0), BUDGET)
    scores = dict(zip((network.key for network in networks), (1.0, 3.0, 5.0, None, -np.inf), strict=True))

    def proxies(network: Architecture) -> dict[str, float]:
        found = scores[network.key]
        return {} if found is None else {"a": found, "b": -found, "none": np.nan}

    plain = Representation(Costs(SPACE, BUDGET), networks)
    seen = plain.with_proxies(proxies, networks)
    assert [part.name for part in seen.parts] == [*(part.name for part in plain.parts), "proxies"]
    column = np.array([-np.sqrt(1.5), 0.0, np.sqrt(1.5), 0.0, 0.0])
    assert seen.encode(networks)[-1] == pytest.approx(np.stack([column, -column], axis=1))
    for one, other in zip(plain.encode(networks), seen.encode(networks), strict=False):
        assert (one == other).all()
