"""One decision's examination as lines for a person."""

from __future__ import annotations

from typing import Any


def decision_text(record: dict[str, Any]) -> str:
    """What carried a decision, what flips it, and what a single image cannot say."""
    shares = ", ".join(f"{name} {share:.3f}" for name, share in record["probabilities"].items())
    lines = [f"decision: {record['decision']} ({shares})", "change of its log-odds, in σ of other images:"]
    for question, arms in record["carried"].items():
        for arm, found in arms.items():
            flips = found["flips"]
            how = (
                ("flips" if flips else "does not flip")
                if isinstance(flips, bool)
                else f"flips {flips:.0%} of {found['donors']} donors"
            )
            lines.append(f"  {question}, {arm}: {found['change']:+.2f}, {how}")
    region = record["region"]
    outside = region["outside_chest"]
    where = "" if outside is None else f", {outside:.0%} of it outside the chest"
    lines.append(f"critical region: {region['place']}, {region['share_of_image']:.1%} of the image{where}")
    lines += [f"not said by one image: {text}" for text in record["unsaid"]]
    return "\n".join(lines)
