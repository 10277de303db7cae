import pytest

from nas.engine.requirements import check_reachable, judge, parse_requirement, violation
from nas.evaluation.metrics import metric_range
from nas.records import Interval, Metric
from search_spaces.errors import InputError


def metric(value, low, high, name="sensitivity[covid]", n=100):
    return Metric(name=name, value=value, interval=Interval(low=low, high=high, method="wilson"), n=n, groups=n)


@pytest.mark.parametrize(
    ("text", "low", "high", "verdict"),
    [
        ("sensitivity[covid]>=0.8", 0.81, 0.95, "pass"),
        ("sensitivity[covid]>=0.8", 0.71, 0.95, "undecided"),  # 27 of 31: the published claim
        ("sensitivity[covid]>=0.8", 0.60, 0.79, "fail"),
        ("sensitivity[covid]<=0.8", 0.60, 0.79, "pass"),
        ("sensitivity[covid]<=0.8", 0.81, 0.95, "fail"),
    ],
)
def test_bounds_of_the_interval_decide(text, low, high, verdict):
    assert judge(parse_requirement(text), [metric((low + high) / 2, low, high)]).verdict == verdict


def test_undecided_says_how_many_images_would_settle_it():
    # half-width 0.1 at n = 100, 0.05 from the threshold: the half-width must halve, so four times the images
    judgement = judge(parse_requirement("sensitivity[covid]>=0.8"), [metric(0.85, 0.75, 0.95)])
    assert "about 400 images" in judgement.text


def test_guidance_is_the_relative_distance_of_the_point_estimate():
    requirement = parse_requirement("sensitivity[covid]>=0.8")
    assert violation(requirement, [metric(0.6, 0.5, 0.7)]) == pytest.approx(0.25)
    assert violation(requirement, [metric(0.9, 0.8, 0.95)]) < 0
    assert violation(requirement, []) == 1.0


@pytest.mark.parametrize("text", ["sensitivity", "sensitivity>0.8", "sensitivity>=x", "a>=1e", ""])
def test_a_requirement_that_cannot_be_read_says_the_form(text):
    with pytest.raises(InputError, match="requirement"):
        parse_requirement(text)


def test_unknown_metric_lists_the_known_ones():
    with pytest.raises(InputError, match=r"known: sensitivity\[covid\]"):
        judge(parse_requirement("recall>=0.5"), [metric(0.9, 0.8, 0.95)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auroc>=80", r"auroc is a number between 0 and 1; write 80 % as 0\.8$"),
        ("sensitivity[covid]>=-0.1", r"between 0 and 1$"),
        ("mcc>=-2", r"between -1 and 1$"),
        ("latency<=-5", r"a number of 0 or more$"),
    ],
)
def test_what_no_figure_can_be_is_refused(text, said):
    requirement = parse_requirement(text)
    with pytest.raises(InputError, match=said):
        check_reachable(requirement, *metric_range(requirement.metric))


@pytest.mark.parametrize("text", ["auroc>=0.8", "mcc>=-0.5", "log_loss<=1.2", "latency<=20", "sensitivity[covid]<=1"])
def test_what_a_figure_can_be_is_taken(text):
    requirement = parse_requirement(text)
    check_reachable(requirement, *metric_range(requirement.metric))
