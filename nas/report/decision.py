"""One decision's examination as lines for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_MOST = 0.5  # of a class's donors: what flips with so many of them flips the decision


def decision_text(record: dict[str, Any], home: Path | None = None) -> str:
    """What flips a decision and what leaves it, what carried it in numbers, and what a single image cannot say.

    Args:
        record: as ``Explanation.record`` makes it. home: the directory that the paths of its pictures count from.
    """
    shares = ", ".join(f"{name} {share:.3f}" for name, share in record["probabilities"].items())
    lines = [f"decision: {record['decision']} ({shares})"]
    if record["trained_on"]:
        lines.append("the model trained on this image: its decision there tells little")
    if record["carried"]:
        lines += _summary(record["carried"])
        lines.append("change of its log-odds, in σ of other images:")
    for question, arms in record["carried"].items():
        for arm, found in arms.items():
            lines.append(f"  {question}, {arm}: {found['change']:+.2f}, {_flips(found)}")
    region = record["region"]
    outside = region["outside_chest"]
    where = "" if outside is None else f", {outside:.0%} of it outside the chest"
    lines.append(f"critical region: {region['place']}, {region['share_of_image']:.1%} of the image{where}")
    lines += [
        f"  removed, {fill} fill: {-found['log_odds_lost']:+.2f} log-odds, {_flips(found)}"
        for fill, found in region.items()
        if isinstance(found, dict)
    ]
    lines += [f"not said by one image: {text}" for text in record["unsaid"]]
    lines += [f"picture: {(home or Path()) / picture['path']}" for picture in record["pictures"]]
    return "\n".join(lines)


def _summary(carried: dict[str, dict[str, Any]]) -> list[str]:
    """Which questions flip the decision, by which arms (donors of a class, or fills), and which leave it."""
    arms = {
        question: [arm for arm, found in answers.items() if found["flips"] >= _MOST] for question, answers in carried.items()
    }
    flipping = [f"{question} ({', '.join(found)})" for question, found in arms.items() if found]
    leaving = [question for question, found in arms.items() if not found]
    told = {"what flips it, with most donors of a class": flipping, "what leaves it with most": leaving}
    return [f"{head}: {', '.join(questions)}" for head, questions in told.items() if questions]


def _flips(found: dict[str, Any]) -> str:
    flips = found["flips"]
    if isinstance(flips, bool):
        return "flips" if flips else "does not flip"
    return f"flips {flips:.0%} of {found['donors']} donors"
