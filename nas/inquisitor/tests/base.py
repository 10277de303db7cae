"""The interface of an audit test, and the machinery that all donor swaps share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nas.inquisitor.context import Case, Level
from nas.inquisitor.design import SwapDesign
from nas.inquisitor.effects import Effect, contrasts, split_half_share, swap_effect, two_way_error
from nas.inquisitor.engine import margins
from nas.inquisitor.judge import agree, also_by_flips, result, rounded, test_number
from nas.inquisitor.margins import Margin
from nas.records import TestResult
from search_spaces.registry import Registry


class AuditTest(ABC):
    """One question put to a model: a statistic with its null, margins and cost, on one-vs-rest for every auditable class.

    A plug-in subclasses it, sets the class attributes, and registers with ``@register_audit_test``.
    """

    name: ClassVar[str]  # "T3"
    title: ClassVar[str]
    statistic: ClassVar[str]  # what the effect is
    null: ClassVar[str]  # what the effect is compared with
    cost: ClassVar[str]  # forward passes, in words
    levels: ClassVar[tuple[Level, ...]] = ("full",)
    can_fail: ClassVar[bool] = False  # its fail is a fail of the model
    needed: ClassVar[bool] = False  # a pass of the model needs its pass

    @abstractmethod
    def run(self, case: Case) -> Sequence[TestResult]:
        """One result for every auditable class, as ``nas.inquisitor.judge.result`` makes them from an effect and a margin."""


AUDIT_TESTS: Registry[type[AuditTest]] = Registry(
    "audit test", "pepx_nas.audits", lambda: import_module("nas.inquisitor.tests.ours")
)


def register_audit_test(test: type[AuditTest]) -> type[AuditTest]:
    """Class decorator that adds a test to every audit."""
    return AUDIT_TESTS.register(test.name)(test)


def audit_descriptions() -> dict[str, str]:
    """Every test in a line: what it asks, at which levels, what it costs."""
    return {
        name: f"{test.title}: {test.statistic} against {test.null} ({', '.join(test.levels)}; {test.cost})"
        for name, test in sorted(AUDIT_TESTS.items(), key=lambda item: test_number(item[0]))
    }


class SwapTest(AuditTest):
    """A test that carries something over from donors and compares donors of a class with the others, on the same recipients.

    Both arms bear the same artefacts, so their difference is the class evidence in what was carried over.
    """

    null = "donor labels shuffled within matched blocks (exact); two-way interval over donors and recipients"
    can_fail = True
    needed = True
    fills_matter: ClassVar[bool] = False
    flips_count: ClassVar[bool] = True  # donors that turn too many decisions fail a model, however wide its log-odds spread

    @abstractmethod
    def edit(self, case: Case, recipients: Tensor, donors: Tensor, fill: str) -> Tensor:
        """Edited images, float (b, 1, H, W), from positions of recipients (b,) and numbers of donors in use (b,)."""

    @abstractmethod
    def margin(self, case: Case) -> Margin:
        """The margins of this test."""

    def design(self, case: Case) -> SwapDesign:
        """Who gives to whom."""
        return case.design

    def run(self, case: Case) -> Sequence[TestResult]:
        fills = case.settings.fills if self.fills_matter else case.settings.fills[:1]
        return [agree([self._judged(case, index, fill) for fill in fills]) for index in case.auditable]

    def responses(self, case: Case, fill: str) -> NDArray[np.float64]:
        """Log-odds of every class with every donor, float64 (entries, slots, classes); computed once an audit."""
        return self._answers(case, fill)[0]

    def decisions(self, case: Case, fill: str) -> NDArray[np.int64]:
        """The class decided for with every donor, int64 (entries, slots): by the networks' own logits."""
        return self._answers(case, fill)[1]

    def _answers(self, case: Case, fill: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        return case.once((self.name, "responses", fill), lambda: self._respond(case, fill))

    def _respond(self, case: Case, fill: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        design = self.design(case)
        positions, given = design.pairs()
        recipients, donors, rows = case.tensor(positions), case.numbers(given), case.exhibits.rows[positions]
        logits = case.engine.logits(
            lambda numbers: self.edit(case, recipients[numbers], donors[numbers], fill),
            len(recipients),
            case.exhibits.image_size,
            rows,
        )
        odds = case.engine.comparable(margins(logits), rows)
        return odds.reshape(*design.donors.shape, -1), logits.argmax(axis=1).reshape(design.donors.shape)

    def effect(self, case: Case, index: int, fill: str) -> Effect:
        """The class's signed effect in units of σ."""
        design, codes = self.design(case), case.exhibits.group_codes
        return swap_effect(
            self.responses(case, fill)[:, :, index], design.slot(index), codes[design.recipient], design.block, design.blocks,
            case.rng(self.name, index, fill, "permutation"), case.settings.permutations,
        ).scaled(float(case.sigma[index]))  # fmt: skip

    def flips(self, case: Case, index: int, fill: str) -> Effect:
        """Decisions for the class with its own donors minus those with the others': −1 … 1, 0 where donors decide nothing."""
        design, codes = self.design(case), case.exhibits.group_codes
        decided = (self.decisions(case, fill) == index).astype(np.float64)
        turned = contrasts(decided, design.slot(index))
        return Effect(float(turned.mean()), *two_way_error(turned, codes[design.recipient], design.block))

    def _judged(self, case: Case, index: int, fill: str) -> TestResult:
        design = self.design(case)
        item = result(
            test=self.name, title=self.title, class_name=case.classes[index], statistic=self.statistic,
            effect=self.effect(case, index, fill), margin=self.margin(case), n=len(np.unique(design.recipient)),
            groups=min(design.blocks, len(np.unique(case.exhibits.groups[design.recipient]))),
            fill=fill if self.fills_matter else "", details=self.details(case, index, fill),
        )  # fmt: skip
        return also_by_flips(item, self.flips(case, index, fill), case.margins.flips) if self.flips_count else item

    def details(self, case: Case, index: int, fill: str) -> dict[str, object]:
        """What else a person wants to know; information, no evidence."""
        design = self.design(case)
        responses = self.responses(case, fill)[:, :, index]
        lungs = lung_effect(case, design, responses, index)
        return {
            "donor_blocks": design.blocks,
            "donors_per_recipient": round(design.entries / max(len(np.unique(design.recipient)), 1), 2),
            "forward_passes": design.entries * design.slots,
            "lungs": rounded(lungs),
            "share": rounded(
                split_half_share(
                    responses, design.slot(index), design.block, lungs * float(case.sigma[index]),
                    case.rng(self.name, index, "halves"),
                )
            ),
        }  # fmt: skip


def lung_effect(case: Case, design: SwapDesign, responses: NDArray[np.float64], index: int) -> float:
    """What the recipients' own content does, in σ: class recipients minus the others, averaged over donors."""
    own = case.exhibits.labels[design.recipient] == index
    if own.all() or not own.any():
        return 0.0
    means = responses.mean(axis=1)
    return float((means[own].mean() - means[~own].mean()) / case.sigma[index])
