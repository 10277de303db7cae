"""DeTraC's decomposition and composition on data that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines import Recipe, get_baseline
from baselines.decomposition import Composed, decompose, principal_components, split
from baselines.detrac import DeTraC, phases
from search_spaces.errors import InputError

# class 0: two clumps around (0, 0) and (10, 0); class 1: two around (0, 5) and (0, −5)
FEATURES = np.array([[0, 0], [10, 0], [0.1, 0], [10.1, 0], [0, 5], [0, -5], [0, 5.1]], dtype=float)
LABELS = np.array([0, 0, 0, 0, 1, 1, 1])


def test_each_class_is_split_into_its_clumps() -> None:
    assert decompose(FEATURES, LABELS, 2).tolist() == [0, 1, 0, 1, 2, 3, 2]
    assert decompose(FEATURES, LABELS, 2, reduce=False).tolist() == [0, 1, 0, 1, 2, 3, 2]


def test_composition_is_the_integer_quotient_and_undoes_decomposition() -> None:
    for depth in (1, 2):
        assert (decompose(FEATURES, LABELS, 2, depth=depth) // 2**depth).tolist() == LABELS.tolist()


def test_recursion_splits_the_clumps_again() -> None:
    rows = np.array([[0.0], [1.0], [100.0], [101.0]])
    assert decompose(rows, np.zeros(4, dtype=np.int64), 1, depth=2).tolist() == [0, 1, 2, 3]
    assert split(rows, 4, 1, 0).tolist() == [0, 1, 2, 3]


def test_a_class_with_fewer_images_than_clusters_leaves_numbers_unused() -> None:
    labels = np.array([0, 0, 0, 1])
    rows = np.array([[0.0], [5.0], [9.0], [1.0]])
    assert decompose(rows, labels, 3, k=3).tolist() == [0, 1, 2, 3]  # class 1: only 3 of 3, 4, 5; class 2: none
    assert decompose(np.ones((3, 2)), np.zeros(3, dtype=np.int64), 1).tolist() == [0, 0, 0]  # three times the same image


def test_copies_of_an_image_are_one_image() -> None:
    """Three pictures, 24 rows: no fourth cluster (of which k-means would warn), and no copy parted from another further down."""
    rows = np.repeat(np.random.default_rng(0).normal(size=(3, 512)), [9, 8, 7], axis=0)
    for k, depth in ((4, 1), (2, 3)):
        found = decompose(rows, np.zeros(24, dtype=np.int64), 1, k=k, depth=depth)
        assert [len(set(part)) for part in np.split(found, [9, 17])] == [1, 1, 1]
        assert len(set(found)) == 3


def test_components_keep_the_asked_share_of_the_variance() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3)) * np.array([10.0, 10.0, 0.1])
    kept = principal_components(rows)
    assert kept.shape == (200, 2)
    assert kept.var(axis=0).sum() / rows.var(axis=0).sum() > 0.95


class Fixed(nn.Module):
    """Answers with the logits that it is given."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1)


def test_the_composed_prediction_is_the_best_sub_class_divided() -> None:
    model = Composed(Fixed(torch.tensor([[1.0, 4.0, 3.0, 3.5]])), classes=2, per_class=2)
    assert model.train()(torch.zeros(1, 1, 2, 2)).tolist() == [[1.0, 4.0, 3.0, 3.5]]
    assert model.eval()(torch.zeros(1, 1, 2, 2)).tolist() == [[4.0, 3.5]]
    model.used[1] = False  # no training image belongs to it, so it may not win
    assert model(torch.zeros(1, 1, 2, 2)).tolist() == [[1.0, 3.5]]


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="k ≥ 2 and depth ≥ 1, but got k = 1"):
        decompose(FEATURES, LABELS, 2, k=1)
    for options, message in {
        "k=1": "k must be a whole number of at least 2",
        "backbone=lenet": "unknown backbone 'lenet'; known: resnet18",
        "tuning=half": "number of layers",
        "order=any": "must be one of fold, published",
        "size=3": "no option 'size'",
    }.items():
        with pytest.raises(InputError, match=message):
            get_baseline(f"detrac:{options}")


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "squeezenet"])
def test_variants_build(name: str) -> None:
    baseline = get_baseline(f"detrac:backbone={name}+k=3+tuning=shallow")
    with torch.device("meta"):
        model = baseline.build(3, 3, 64)
    assert isinstance(model, Composed)
    assert model.per_class == 3
    assert baseline.recipe.name == "paper"


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg19"])
def test_large_variants_take_their_smallest_size(name: str) -> None:
    baseline = get_baseline(f"detrac:backbone={name}")
    with torch.device("meta"), torch.no_grad():
        model = baseline.build(3, 3, baseline.minimum_size).eval()
        assert model(torch.empty(1, 1, baseline.minimum_size, baseline.minimum_size)).shape == (1, 3)


class Fold:
    """Six images to train on, three to validate on; brightness tells both class and sub-class."""

    images = torch.tensor([0, 50, 100, 150, 200, 250], dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 32, 32)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    validation_images = images[:3]
    validation_labels = torch.tensor([0, 1, 2])


class Recorder:
    """A training function that trains nothing and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Recipe, Tensor | None, int | None]] = []

    def __call__(
        self,
        model: nn.Module,
        recipe: Recipe,
        *,
        labels: Tensor | None = None,
        n_classes: int | None = None,
        image_size: int | None = None,
    ) -> float:
        self.calls.append((recipe, labels, n_classes))
        return 1.0


def test_the_two_phases_share_the_epochs_and_the_second_sees_sub_classes() -> None:
    train = Recorder()
    method = DeTraC(backbone="squeezenet")
    method.fit(train, Fold(), classes=3, image_size=32, recipe=Recipe(epochs=5), seed=0)
    (first, none, _), (second, labels, n_classes) = train.calls
    assert (first.epochs, second.epochs, none, n_classes) == (2, 3, None, 6)
    assert labels is not None
    assert (labels // 2).tolist() == Fold.labels.tolist()


def test_the_published_order_uses_validation_images_and_says_that_it_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(features: np.ndarray, labels: np.ndarray, classes: int, **_: object) -> np.ndarray:
        seen.append(len(features))
        return labels * 2

    monkeypatch.setattr("baselines.detrac.decompose", spy)
    for order, images in (("fold", 6), ("published", 9)):
        DeTraC("squeezenet", order=order).fit(Recorder(), Fold(), classes=3, image_size=32, recipe=Recipe(), seed=0)
        assert seen.pop() == images
        assert bool(get_baseline(f"detrac:order={order}").leaks) == (order == "published")


def test_the_papers_second_phase_has_its_own_values() -> None:
    first, second = phases(get_baseline("detrac").recipe)
    assert (first.epochs, first.momentum, first.weight_decay, first.step_epochs) == (100, 0.9, 1e-3, 3)
    assert (second.epochs, second.momentum, second.weight_decay, second.step_epochs) == (100, 0.95, 1e-4, 5)
