"""The pages: one file, nothing fetched, nothing injected, every figure labelled, contrast sufficient."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise, product

import pytest
from report_factories import audit_record, benchmark_record, data_summary, search_record, write_pictures

from nas.records import AuditRecord, BenchmarkRecord, SearchRecord
from nas.report import render_page, write_page
from nas.report.page import _assets
from search_spaces import get_space

EVIL = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    empty = tmp_path_factory.mktemp("pages")
    return {
        "search": render_page(search_record(), empty),
        "unmet": render_page(search_record(9, winner=False), empty),
        "audit": render_page(audit_record(), empty),
        "benchmark": render_page(benchmark_record(), empty),
    }


class Collector(HTMLParser):
    """Tags with attributes, and whether they balance."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"


@pytest.mark.parametrize("name", ["search", "unmet", "audit", "benchmark"])
def test_a_page_is_one_balanced_file_that_fetches_nothing(pages, name):
    page = pages[name]
    collected = Collector(page)
    assert collected.open == []
    for _tag, attributes in collected.tags:
        for key in ("src", "href", "action", "xlink:href"):
            target = attributes.get(key)
            assert target is None or target.startswith(("data:", "#")), target
        assert not any(key.startswith("on") for key in attributes)
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", ["search", "audit", "benchmark"])
def test_anchors_lead_somewhere_and_headings_do_not_skip(pages, name):
    collected = Collector(pages[name])
    ids = [attributes["id"] for _, attributes in collected.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for tag, a in collected.tags if tag == "a"]
    assert set(targets) <= set(ids)
    levels = [int(tag[1]) for tag, _ in collected.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_names_from_data_are_inert(tmp_path):
    classes = (EVIL, "pneu\x1b[31mmonia", "co\u202evid")
    record = benchmark_record(classes)
    audit = audit_record().model_copy(update={"model": EVIL, "command": EVIL, "data": data_summary(classes, spec=EVIL)})
    search = search_record().model_copy(update={"data": data_summary(classes, spec=f"folder:{EVIL}"), "command": EVIL})
    for page in (render_page(record, tmp_path), render_page(audit, tmp_path), render_page(search, tmp_path)):
        collected = Collector(page)
        assert [tag for tag, _ in collected.tags].count("script") == 1
        assert not any("onerror" in attributes for _, attributes in collected.tags)
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "&lt;script&gt;" in page


def test_the_security_policy_names_exactly_our_script(pages):
    import base64
    import hashlib

    page = pages["audit"]
    script = re.search("<script>(.*)</script>", page, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_a_picture_is_embedded_and_a_missing_one_is_named(tmp_path):
    write_pictures(tmp_path)
    path = write_page(audit_record(), tmp_path)
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert "Picture missing" in page
    assert "gone.png" in page


def test_a_search_page_says_what_was_found(pages):
    page = pages["search"]
    for text in (
        "winner-of-run",
        "candidates/winner-of-run",
        "✓ pass",
        "✕ fail",
        "Trivial features alone",
        "nas search --data",
        "0f1e2d3c4b5a6978",
        "within noise",
    ):
        assert text in page
    unmet = pages["unmet"]
    assert "No winner:" in unmet
    assert "about 190 images would settle it" in unmet


def test_the_audit_that_a_page_offers_names_all_of_the_data(tmp_path):
    record = search_record().model_copy(update={"data": data_summary().model_copy(update={"spec": ("folder:a b", "nih14:c")})})
    assert "--data &#39;folder:a b&#39; --data nih14:c\n" in render_page(record, tmp_path)


def test_a_confusion_matrix_of_several_trainings_is_not_told_as_images(pages):
    assert "Sealed test part, all trainings together; percentages" in pages["benchmark"]
    assert "predicted class (decisions)" in pages["benchmark"]


def test_a_search_page_calls_the_objective_by_its_name(pages, tmp_path):
    record = search_record()
    for objective, name in (("auroc", "1 − AUROC"), ("balanced_accuracy", "1 − balanced accuracy")):
        page = render_page(record.model_copy(update={"settings": {**record.settings, "objective": objective}}), tmp_path)
        assert f"{name} {record.trials[0].quality:.3f} ± 0.030" in page
        assert f"standard errors of the validation {name}" in page
        assert f"coloured by its {name}" in page
        assert 3 * page.count("class-balanced log-loss (nats)") == pages["search"].count("class-balanced log-loss (nats)")


def test_the_winner_is_drawn_from_its_space(tmp_path):
    space = get_space("pepx")
    page = render_page(search_record(12, space=space), tmp_path)
    assert "stage1.block1" in page
    assert "cost of each block, one image" in page


@pytest.mark.parametrize("name", ["search", "benchmark"])
def test_every_plot_with_axes_carries_two_axis_labels(pages, name):
    page = pages[name]
    for title in ("Balanced accuracy on", "Best so far", "Reliability"):
        for chart in re.findall(rf'<svg [^>]*aria-label="{title}[^"]*"[^>]*>.*?</svg>', page, re.S):
            labels = re.findall(r'<text x="[^"]*" y="[^"]*" class="lab"', chart)
            assert len(labels) >= 2


def test_records_with_nothing_in_them_still_make_pages(tmp_path):
    search = search_record(0 + 3).model_copy(
        update={"trials": (), "front": (), "best": None, "winner": None, "comparisons": (), "controls": ()}
    )
    benchmark = benchmark_record().model_copy(update={"rows": (), "comparisons": ()})
    audit = audit_record()
    empty = audit.finding.model_copy(
        update={"tests": (), "gates": (), "attributions": (), "block_importances": {}, "pictures": ()}
    )
    for record in (search, benchmark, audit.model_copy(update={"finding": empty, "metrics": ()})):
        assert Collector(render_page(record, tmp_path)).open == []


def test_records_read_back_from_json_make_the_same_page(tmp_path):
    for record, kind in ((search_record(), SearchRecord), (audit_record(), AuditRecord), (benchmark_record(), BenchmarkRecord)):
        again = kind.model_validate_json(record.model_dump_json())
        assert render_page(again, tmp_path) == render_page(record, tmp_path)


def _luminance(colour: str) -> float:
    colour = "#" + "".join(2 * c for c in colour[1:]) if len(colour) == 4 else colour
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_keep_the_contrast_of_wcag_aa(scheme):
    root = re.findall(r":root\{([^}]*--bg[^}]*)\}", str(_assets()["style"]))[scheme]
    colours = dict(re.findall(r"--([a-z0-9]+):(#[0-9a-f]{3,6})", root))
    for text, ground in product(("ink", "muted", "accent"), ("bg", "panel")):
        assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for verdict in ("pass", "fail", "und"):
        assert _contrast(colours[verdict], colours[f"{verdict}bg"]) >= 4.5
        assert _contrast(colours["ink"], colours[f"{verdict}bg"]) >= 4.5
    for mark in ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "pass", "fail", "und", "axis"):
        assert _contrast(colours[mark], colours["bg"]) >= 3, mark


def test_reports_import_no_torch():
    import subprocess
    import sys

    code = "import nas.report, nas.report.live, nas.report.terminal, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_impact_scores_stand_beside_those_of_random_regions(pages):
    _, _, table = pages["audit"].partition('aria-label="Attribution maps"')
    cells = re.findall(r'<td role="cell" data-label="(.*?)".*?>(.*?)</td>', table.partition("</table>")[0])
    found = [(title, re.sub("<.*?>", " ", text).strip()) for title, text in cells if title in ("Impact score", "Log-odds lost")]
    assert found == [
        ("Impact score", "0.830 random region 0.120"), ("Log-odds lost", "3.640 random region 0.770"),
        *[("Impact score", "–"), ("Log-odds lost", "–")] * 2,
    ]  # fmt: skip


def test_a_page_says_which_answer_takes_another_search(pages):
    assert "<li>crop_body (search again with --crop lungs)</li>" in pages["audit"]


def test_a_screen_says_how_many_of_its_images_it_asked_about(tmp_path):
    record = audit_record()
    some = record.finding.model_copy(
        update={"level": "screen", "tests": tuple(t.model_copy(update={"n": 100, "groups": 88}) for t in record.finding.tests)}
    )
    assert "screen audit on 100 of 300 images, 88 of 251 groups" in render_page(
        record.model_copy(update={"finding": some}), tmp_path
    )
    assert "full audit on 300 images of 251 groups" in render_page(record, tmp_path)
