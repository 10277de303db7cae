"""One decision in words: what flips it, what the removal of its critical region does, and no heading over nothing."""

from pathlib import Path

from nas.report.decision import decision_text

RECORD = {
    "decision": "covid",
    "probabilities": {"normal": 0.1, "covid": 0.9},
    "trained_on": False,
    "carried": {
        "frame swap": {"normal": {"change": -0.5, "spread": 0.1, "flips": 0.25, "donors": 16}},
        "marker transplant": {
            "normal": {"change": -2.5, "spread": 0.1, "flips": 0.94, "donors": 16},
            "covid": {"change": 0.1, "spread": 0.1, "flips": 0.0, "donors": 16},
        },
        "lungs removed": {"ring": {"change": -1.5, "flips": True}},
    },
    "region": {
        "place": "upper left", "share_of_image": 0.08, "outside_chest": 0.4,
        "ring": {"flips": True, "log_odds_lost": 6.35}, "laplace": {"flips": False, "log_odds_lost": 1.54},
    },
    "unsaid": ["whether the decision is right"],
    "pictures": [{"path": "chest/flips.png", "title": "", "caption": ""}],
}  # fmt: skip


def test_every_effect_is_told():
    assert decision_text(RECORD, Path("audits")).splitlines() == [
        "decision: covid (normal 0.100, covid 0.900)",
        "what flips it, with most donors of a class: marker transplant (normal), lungs removed (ring)",
        "what leaves it with most: frame swap",
        "change of its log-odds, in σ of other images:",
        "  frame swap, normal: -0.50, flips 25% of 16 donors",
        "  marker transplant, normal: -2.50, flips 94% of 16 donors",
        "  marker transplant, covid: +0.10, flips 0% of 16 donors",
        "  lungs removed, ring: -1.50, flips",
        "critical region: upper left, 8.0% of the image, 40% of it outside the chest",
        "  removed, ring fill: -6.35 log-odds, flips",
        "  removed, laplace fill: -1.54 log-odds, does not flip",
        "not said by one image: whether the decision is right",
        f"picture: {Path('audits/chest/flips.png')}",
    ]


def test_nothing_is_announced_that_does_not_follow():
    bare = {**RECORD, "carried": {}, "region": {**RECORD["region"], "outside_chest": None}}
    assert "σ" not in decision_text(bare)
    assert "what" not in decision_text(bare)
    assert "outside the chest" not in decision_text(bare)
    assert decision_text({**bare, "trained_on": True}).splitlines()[1].startswith("the model trained on this image")
