"""One decision's examination as lines for a person."""

from __future__ import annotations

from typing import Any


def decision_text(record: dict[str, Any]) -> str:
    """What carried a decision, what flips it, and what a single image cannot say."""
    shares = ", ".join(f"{name} {share:.3f}" for name, share in record["probabilities"].items())
    lines = [f"decision: {record['decision']} ({shares})"]
    if record["trained_on"]:
        lines.append("the model trained on this image: its decision there tells little")
    if record["carried"]:
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
    return "\n".join(lines)


def _flips(found: dict[str, Any]) -> str:
    flips = found["flips"]
    if isinstance(flips, bool):
        return "flips" if flips else "does not flip"
    return f"flips {flips:.0%} of {found['donors']} donors"
