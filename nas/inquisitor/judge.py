"""From numbers to words: one effect against its margin, many tests to one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scipy import stats

from nas.inquisitor.effects import Effect
from nas.inquisitor.margins import Margin
from nas.records import Interval, TestResult, Verdict
from nas.statistics import holm

DETECTABLE = 2.8  # standard errors: seen with 80 % power at 5 %, two-sided
_Z = 1.96
_BROAD = frozenset({"T13"})  # its donors bring their bodies along, so where another test fails, that one says more


def rounded(value: float | None) -> float | None:
    """A float for the record: six significant digits, or ``None``, also for NaN, which JSON does not know."""
    return None if value is None or value != value else float(f"{value:.6g}")


@dataclass(frozen=True)
class Judgement:
    """What a margin says about an effect."""

    verdict: Verdict
    reason: str
    score: float  # (distance from the centre − fail margin) / fail margin
    p_fail: float  # one-sided: the effect does not exceed the fail margin
    minimum_detectable: float
    factor_needed: float | None  # times as many groups would settle it at this noise; None: they would not, or need not


def judge(effect: Effect, margin: Margin, interval: Interval | None = None) -> Judgement:
    """Three-way verdict by equivalence; ``interval`` replaces the effect's own Student interval.

    An effect passes only if its minimum detectable size is at most the pass margin: few images never pass.
    """
    low, high = (interval.low, interval.high) if interval else effect.bounds()
    offset = effect.value - margin.centre
    away = offset if margin.upper_only else abs(offset)
    detectable = DETECTABLE * effect.standard_error
    score = (away - margin.failing) / margin.failing
    p_fail = _exceeds(away, margin.failing, effect)
    above = low > margin.centre + margin.failing
    below = not margin.upper_only and high < margin.centre - margin.failing
    if above or below:
        return Judgement("fail", "", score, p_fail, detectable, None)
    inside = high <= margin.centre + margin.passing and (margin.upper_only or low >= margin.centre - margin.passing)
    if inside and detectable <= margin.passing:
        return Judgement("pass", "", score, p_fail, detectable, None)
    reason, factor = _undecided(away, detectable, effect.standard_error, margin)
    return Judgement("undecided", reason, score, p_fail, detectable, factor)


def _exceeds(away: float, bound: float, effect: Effect) -> float:
    if effect.standard_error == 0:
        return 0.0 if away > bound else 1.0
    return float(stats.t.sf((away - bound) / effect.standard_error, max(effect.degrees, 1)))


def _undecided(away: float, detectable: float, error: float, margin: Margin) -> tuple[str, float | None]:
    if away > margin.failing:
        return "beyond the fail margin, but the interval reaches back over it", (_Z * error / (away - margin.failing)) ** 2
    if away >= margin.passing:
        return (
            f"between the margins ({margin.passing:g} and {margin.failing:g} {margin.unit}): more images need not settle it",
            None,
        )
    needed = max((detectable / margin.passing) ** 2, (_Z * error / (margin.passing - away)) ** 2)
    if detectable > margin.passing:
        return f"not precise enough: could miss {detectable:.2g} {margin.unit} where {margin.passing:g} counts", needed
    return "inside the pass margin, but the interval reaches over it", needed


def result(
    *, test: str, title: str, class_name: str, statistic: str, effect: Effect, margin: Margin, n: int, groups: int,
    fill: str = "", interval: Interval | None = None, details: dict[str, Any] | None = None,
) -> TestResult:  # fmt: skip
    """A judged effect as a record. ``details["p_fail"]`` is what Holm's correction over the failing family takes."""
    found = judge(effect, margin, interval)
    low, high = effect.bounds()
    shown = interval or Interval(low=low, high=high, method="two-way cluster-robust, t")
    needed = None if found.factor_needed is None else max(groups + 1, round(groups * found.factor_needed))
    return TestResult(
        test=test, title=title, class_name=class_name, statistic=statistic, unit=margin.unit,
        effect=rounded(effect.value), interval=shown.model_copy(update={"low": rounded(shown.low), "high": rounded(shown.high)}),
        pass_margin=margin.passing, fail_margin=margin.failing, p_value=rounded(effect.p_value),
        verdict=found.verdict, reason=found.reason, n=n, groups=groups, fill=fill,
        minimum_detectable_effect=rounded(found.minimum_detectable), groups_needed=needed, score=rounded(found.score),
        details={"p_fail": rounded(found.p_fail), "centre": margin.centre, "upper_only": margin.upper_only, **(details or {})},
    )  # fmt: skip


def also_by_flips(item: TestResult, flips: Effect, margin: Margin) -> TestResult:
    """The result, failed as well where donors turn more decisions than the margin allows, with the whole interval.

    A fail by either counts, so the smaller p-value is doubled; the larger score leads. A pass stays a matter of σ alone: an
    effect too small to pass over in σ turns few decisions.
    """
    said, (low, high) = judge(flips, margin), flips.bounds()
    details = {
        **item.details, "net_flips": rounded(flips.value), "net_flips_low": rounded(low), "net_flips_high": rounded(high),
        "p_fail": rounded(min(1.0, 2 * min(said.p_fail, item.details["p_fail"]))),
    }  # fmt: skip
    found = item.model_copy(update={"details": details, "score": rounded(max(said.score, item.score or said.score))})
    if said.verdict != "fail" or item.verdict == "fail":
        return found
    text = f"it turns {abs(flips.value):.0%} of the decisions ({abs(flips.value) - (high - flips.value):.0%} at least), beyond {margin.failing:.0%}"
    return found.model_copy(update={"verdict": "fail", "reason": text, "groups_needed": None})


def unavailable(*, test: str, title: str, class_name: str, statistic: str, margin: Margin, reason: str) -> TestResult:
    """A test that could not be run: undecided, with the reason."""
    return TestResult(
        test=test, title=title, class_name=class_name, statistic=statistic, unit=margin.unit, effect=None, interval=None,
        pass_margin=margin.passing, fail_margin=margin.failing, verdict="undecided", reason=reason,
    )  # fmt: skip


def leading(results: Sequence[TestResult]) -> TestResult:
    """The result that speaks for several answers to one question: a fail before an undecided before a pass, of these the worst."""
    order = ("pass", "undecided", "fail")
    return max(results, key=lambda item: (order.index(item.verdict), float("-inf") if item.score is None else item.score))


def agree(results: Sequence[TestResult]) -> TestResult:
    """One result from the same test under several fills: the leading one, and a pass needs every fill.

    Fails where one fill fails and none passes; fills that contradict one another are undecided. The p-value is the largest:
    an effect is there if every fill shows it (intersection-union), and a p-value picked with the worst effect would be too small.
    """
    found = leading(results)
    fills = {item.fill: {"effect": item.effect, "verdict": item.verdict} for item in results}
    p_value = max((item.p_value for item in results if item.p_value is not None), default=None)
    found = found.model_copy(update={"details": {**found.details, "fills": fills}, "p_value": p_value})
    if {"pass", "fail"} <= {item.verdict for item in results}:
        return found.model_copy(update={"verdict": "undecided", "reason": "the fills disagree"})
    return found


@dataclass(frozen=True)
class Ruling:
    """The verdict over all tests and classes, and what binds it."""

    verdict: Verdict
    binding_reason: str
    failed: tuple[TestResult, ...] = ()
    adjusted: dict[tuple[str, str], float] = field(default_factory=dict)  # (test, class) → Holm's p of the failing family


def rule(
    results: Sequence[TestResult],
    *,
    failing: frozenset[str],
    passing: frozenset[str],
    obstacles: Sequence[str],
    not_auditable: Sequence[str] = (),
    alpha: float = 0.05,
) -> Ruling:
    """FAIL if any test of the failing family does (Holm over tests × classes); PASS only if every needed test does.

    Args:
        failing, passing: names of the tests that can fail a model, and of those that all must pass (intersection–union:
            no price for multiplicity).
        obstacles: gates that do not hold, as sentences; any of them keeps a verdict from being "pass", and gates that
            void the tests are kept out of ``results`` by the caller.
        not_auditable: classes with too few groups; they keep the whole undecided.
    """
    family = [item for item in results if item.test in failing and item.effect is not None]
    corrected = holm([item.details["p_fail"] for item in family])
    adjusted = {(item.test, item.class_name): p for item, p in zip(family, corrected, strict=True)}
    failed = [item for item in family if item.verdict == "fail" and adjusted[item.test, item.class_name] <= alpha]
    if failed:
        failed.sort(key=lambda item: (item.test in _BROAD, -(item.score or 0.0)))
        return Ruling("fail", sentence(failed[0]), tuple(failed), adjusted)
    if obstacles:
        return Ruling("undecided", obstacles[0], (), adjusted)
    needed = [item for item in results if item.test in passing]
    open_results = [item for item in needed if item.verdict != "pass"]
    if open_results:
        open_results.sort(key=lambda item: (item.test in _BROAD, -(item.score if item.score is not None else -1.0)))
        leading, said = open_results[0], sentence(open_results[0])
        if leading.verdict == "fail" and (leading.test, leading.class_name) in adjusted:
            corrected_p = adjusted[leading.test, leading.class_name]
            said += f", but among {len(family)} tests that is no proof (Holm's p = {corrected_p:.2g}, above {alpha:g})"
        return Ruling("undecided", said, (), adjusted)
    missing = sorted(passing - {item.test for item in needed})
    if missing:
        return Ruling("undecided", f"a pass needs {', '.join(missing)}, which this level does not run", (), adjusted)
    if not_auditable:
        return Ruling("undecided", f"not auditable: {', '.join(not_auditable)} (too few groups)", (), adjusted)
    return Ruling("pass", f"all of {', '.join(sorted(passing, key=test_number))} lie inside their pass margins", (), adjusted)


def sentence(item: TestResult) -> str:
    """A test result in words."""
    head = f"{item.test} {item.title}, class {item.class_name}"
    if item.effect is None or item.interval is None:
        return f"{head}: {item.reason}"
    figure = f"{item.statistic} {item.effect:+.2f} {item.unit} ({item.interval.low:+.2f} to {item.interval.high:+.2f})"
    if item.verdict == "fail" and not item.reason:
        region = item.details.get("region")
        place = f", mostly {region}" if region else ""
        centre, away = item.details.get("centre", 0.0), item.fail_margin or 0.0
        bound = centre + away if item.effect >= centre else centre - away
        return f"{head}: {figure} is beyond the fail margin of {bound:g}{place}"
    more = f"; about {item.groups_needed} groups would settle it" if item.groups_needed else ""
    return f"{head}: {figure}: {item.reason or item.verdict}{more}"


def test_number(name: str) -> int:
    """The number in a test's name: the order of printing."""
    return int("".join(letter for letter in name if letter.isdigit()) or 0)
