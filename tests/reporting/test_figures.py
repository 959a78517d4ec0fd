"""The charts: every number is there, nothing from the data is code, and each text can be read."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pandas as pd
import pytest

from sqmodel.definitions import Text
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Cell, table
from sqmodel.reporting.charts.layout import scale
from sqmodel.reporting.charts.writer import el, text_width, wrap
from sqmodel.reporting.sanitize import clean
from tests.reporting import gallery as g

FIGURES = {f.name: f for f in g.all_figures()}
OURS = set(
    re.findall(
        r"\w+",
        "figure svg g path line rect circle text use figcaption span details summary div table thead tbody tr th td",
    )
)
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


@pytest.fixture(params=sorted(FIGURES))
def figure(request: pytest.FixtureRequest) -> charts.Figure:
    return FIGURES[request.param]


def drawings(figure: charts.Figure) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in SVG.findall(figure.html)]


def words(svg: ElementTree.Element) -> list[str]:
    return ["".join(t.itertext()) for t in svg.iter("text")]


def test_a_chart_has_four_drawings_with_the_authors_words(figure: charts.Figure) -> None:
    found = [(d.get("lang"), d.get("class"), d.get("aria-label")) for d in drawings(figure)]
    zh, en = g.ALT["zh"], g.ALT["en"]
    assert found == [("zh-CN", "w", zh), ("zh-CN", "n", zh), ("en", "w", en), ("en", "n", en)]
    assert all(d.get("role") == "img" for d in drawings(figure))


def test_widths_are_those_at_which_the_page_shows_them(figure: charts.Figure) -> None:
    assert [d.get("viewBox", "").split()[2] for d in drawings(figure)] == ["720", "320", "720", "320"]


def test_no_text_is_smaller_than_11_pixels_where_it_is_shown(figure: charts.Figure) -> None:
    # Wide drawings are shown from 660 px on, narrow ones from 288 px (a phone of 320 px less its margins).
    for drawing in drawings(figure):
        least = 660 / 720 if drawing.get("class") == "w" else 288 / 320
        assert min(sizes(drawing)) * least >= 11


def sizes(element: ElementTree.Element, inherited: float | None = None) -> list[float]:
    own = float(element.get("font-size", inherited or 0)) or None
    found = [own or 0.0] if element.tag == "text" else []
    return found + [s for child in element for s in sizes(child, own)]


def test_only_presentation_attributes_and_references_within_the_page(figure: charts.Figure) -> None:
    assert not re.search(r"style=|<style|<script|http|\son\w+=|xlink|<image", figure.html)
    ids = set(re.findall(r'\bid="([^"]+)"', figure.html))
    assert set(re.findall(r'href="#([^"]+)"', figure.html)) <= ids
    assert len(re.findall(r'\bid="', figure.html)) == len(ids)


def test_the_page_keeps_the_whole_chart(figure: charts.Figure) -> None:
    # Cleaning may reorder nothing but the spelling of empty elements.
    before, after = figure._repr_html_(), clean(figure._repr_html_())
    for tag in ("svg", "text", "path", "circle", "rect", "use", "g", "table", "details", "figcaption"):
        assert after.count(f"<{tag}") == before.count(f"<{tag}"), tag


def test_same_input_same_bytes(figure: charts.Figure) -> None:
    again = next(f for f in g.all_figures() if f.name == figure.name)
    assert again._repr_html_() == figure._repr_html_()


def test_caption_and_numbers_stand_below_in_both_languages(figure: charts.Figure) -> None:
    html = figure._repr_html_()
    assert f'<span lang="zh-CN">{g.CAPTION["zh"]}</span><span lang="en">{g.CAPTION["en"]}</span>' in html
    assert "查看数字" in html
    assert "Show the numbers" in html
    assert html.count("<tr>") == len(figure.data) + 1
    assert repr(figure) == f"<Figure {figure.name}: Efficiency scores lowest>"


def test_interval_chart_prints_value_interval_note_and_what_is_withheld() -> None:
    figure = FIGURES["dimensions"]
    shared = " ".join(words(drawings(figure)[0]))
    for text in (
        "68.2",
        "66.2–70.2",
        "58.9",
        "56.9–60.9",
        "低于预期",
        "按维度",
        "样本不足",
        "本季",
        "上期",
        "预期范围",
    ):
        assert text in shared
    assert "95% 区间" in shared
    english = " ".join(words(drawings(figure)[3]))
    for text in ("too few answers", "below", "this quarter", "before", "expected range", "95% interval"):
        assert text in english
    assert figure.data["value"].tolist()[:2] == [68.24, 58.93]
    assert figure.data["previous"].tolist()[:2] == [67.0, 62.6]


def test_a_suppressed_row_leaves_no_number_anywhere() -> None:
    figure = FIGURES["dimensions"]
    assert figure.data.iloc[2][["value", "low", "high", "n"]].isna().all()
    row = figure._repr_html_().split("<tr>")[-1]
    assert not re.search(r"\d", re.sub(r"<[^>]*>", "", row))


def test_gap_chart_prints_the_gap_with_its_interval() -> None:
    zh, _, en, _ = (" ".join(words(d)) for d in drawings(FIGURES["gaps"]))
    for text in ("−12.3", "−21.6", "+2.2"):
        assert text in zh
    assert "−14.3 至 −10.3" in zh
    assert "−14.3 to −10.3" in en


def test_trend_chart_prints_the_last_value_and_breaks_at_a_gap() -> None:
    wide = drawings(FIGURES["trend"])[0]
    assert {"67.4", "65.4–69.4", "26Q1", "26Q2", "26Q3"} <= set(words(wide))
    assert [p.get("d", "").count("L") for p in wide.iter("path") if p.get("stroke-width") == "2.4"] == [0, 0]


def test_lines_are_named_at_their_ends_without_overlap() -> None:
    for drawing in drawings(FIGURES["series"]):
        height = float(drawing.get("viewBox", "").split()[3])
        ends = sorted(float(t.get("y", 0)) for t in drawing.iter("text") if t.get("font-weight") == "700")
        assert min(b - a for a, b in itertools.pairwise(ends)) >= 15
        assert ends[-1] < height


def test_every_point_of_the_map_has_its_name_and_no_label_hides_another() -> None:
    for drawing in drawings(FIGURES["map"]):
        language = "zh" if drawing.get("lang") == "zh-CN" else "en"
        joined = "".join(words(drawing)).replace(" ", "")
        for i in range(26):
            name = f"第{i}项服务内容" if language == "zh" else f"Statementnumber{i}"
            assert name in joined
        halo = next(e for e in drawing.iter("g") if e.get("class") == "halo")
        size = float(halo.get("font-size", 0))
        boxes = [box(t, size) for t in halo.iter("text")]
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if overlap(a, b)]


def box(text: ElementTree.Element, size: float) -> tuple[float, float, float, float]:
    x, y, width = float(text.get("x", 0)), float(text.get("y", 0)), text_width(text.text or "", size)
    return x - width / 2, y - size * 0.8, x + width / 2, y


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_distribution_prints_shares_that_fit_and_names_the_ends() -> None:
    zh = " ".join(words(drawings(FIGURES["answers"])[0]))
    for text in ("40", "30", "31", "n = 400", "1 很不满意", "5 很满意", "样本不足"):
        assert text in zh
    rows = [charts.DistributionRow(g.DIMENSIONS[0], (0.5, 0.5))]
    texts = {"ends": (g.ALT, g.ALT), "alt": g.ALT, "caption": g.CAPTION}
    with pytest.raises(ValueError, match="expected 3 shares a row"):
        charts.distribution_chart("x", rows, categories=["1", "2", "3"], **texts)


def test_bars_fill_the_width() -> None:
    wide = drawings(FIGURES["answers"])[0]
    steps = "".join(p.get("d", "") for p in wide.iter("path") if (p.get("class") or "").startswith("k"))
    widths = [float(w) for w in re.findall(r"h([\d.]+)", steps)]
    assert len(widths) == 10
    assert sum(widths[0::2]) == pytest.approx(sum(widths[1::2]), abs=0.6)


def test_scree_plot_is_drawn_by_seaborn_and_obeys_the_page() -> None:
    figure = FIGURES["scree"]
    for drawing, text in zip(drawings(figure), ("实际数据", "实际数据", "Observed", "Observed"), strict=True):
        assert text in words(drawing)
    assert not re.search(r'(fill|stroke)="#', figure.html)
    assert figure.data["observed"].iloc[0] == 8.4


def coordinates(svg: ElementTree.Element, look: str) -> list[tuple[float, float]]:
    found = [p.get("d", "") for p in svg.iter("path") if p.get("class") == look and p.get("stroke-linecap") == "round"]
    return [(float(x), float(y)) for x, y in re.findall(r"M(-?[\d.]+),(-?[\d.]+)h0", "".join(found))]


def test_a_funnel_shows_every_point_and_names_those_outside() -> None:
    figure = FIGURES["funnel"]
    wide = drawings(figure)[0]
    assert (len(coordinates(wide, "sb")), len(coordinates(wide, "so"))) == (18, 2)
    assert {"第0家机构", "第1家机构"} <= set(words(wide))
    assert not [w for w in words(wide) if w.startswith("第") and w not in ("第0家机构", "第1家机构")]
    # Those outside come first in the table, and the larger an institution, the farther right it stands.
    assert figure.data["place_en"].tolist()[:3] == ["above 99.8%", "below 95%", "within"]
    across = sorted(x for look in ("sb", "so") for x, _ in coordinates(wide, look))
    assert across[-1] - across[0] > 500


def test_a_funnels_limits_stay_inside_the_drawing() -> None:
    for drawing in drawings(FIGURES["funnel"])[:2]:
        curves = [
            p.get("d", "") for p in drawing.iter("path") if p.get("class") == "sm" and p.get("d", "").count("L") > 3
        ]
        assert len(curves) == 4
        heights = [float(y) for d in curves for y in re.findall(r",(-?[\d.]+)", d)]
        assert min(heights) >= 33
        assert max(heights) <= 361


@pytest.mark.parametrize("least_first", [True, False])
def test_a_funnel_narrows_to_the_right(least_first: bool) -> None:
    points = [charts.FunnelPoint(g.ALT, s, 50.0 + i) for i, s in enumerate((1.0, 2.0, 3.0))]
    wanted = {"x_title": g.ALT, "y_title": g.ALT, "alt": g.ALT, "caption": g.CAPTION}
    low, high = [40.0, 45.0], [60.0, 55.0]
    sides = {f"{k}_{side}": v for k in ("inner", "outer") for side, v in (("low", low), ("high", high))}
    limits = pd.DataFrame({"size": [1.0, 3.0], **sides})
    figure = charts.funnel_chart("f", points, limits, 50.0, least_first=least_first, **wanted)
    placed = sorted(coordinates(drawings(figure)[0], "sb"), key=lambda at: -at[1])
    across = [x for x, _ in placed]
    assert across == sorted(across, reverse=not least_first)


def test_a_thousand_points_cost_little() -> None:
    figure = g.funnel_figure(1000)
    html = figure._repr_html_()
    assert len(html) < 60_000
    assert html.count("<tr>") == 21
    assert "tables.xlsx" in html
    assert len(figure.data) == 1000


def test_ranks_are_told_as_sets_and_never_as_points() -> None:
    wide = drawings(FIGURES["sets"])[0]
    assert {"1–2", "1–7", "6–24", "1", "24"} <= set(words(wide))
    assert list(wide.iter("circle")) == []
    assert len([r for r in wide.iter("rect") if r.get("class") == "fp"]) == 4
    sure = charts.rank_chart("one", [charts.RankRow(g.ALT, 1, 1)], 1000, alt=g.ALT, caption=g.CAPTION)
    assert {"200", "400", "600", "800", "1000"} <= set(words(drawings(sure)[0]))


def test_waiting_falls_in_steps_to_the_hour_when_half_is_done() -> None:
    figure = FIGURES["waiting"]
    wide = drawings(figure)[0]
    assert words(wide).count("≤ 16 h") == 1
    assert words(wide).count("≤ 8 h") == 2
    stairs = next(p.get("d", "") for p in wide.iter("path") if p.get("class") == "sb" and "V" in p.get("d", ""))
    heights = [float(y) for y in re.findall(r"V(-?[\d.]+)", stairs)]
    assert heights == sorted(heights)
    assert figure.data["16 h"].tolist() == pytest.approx([40, 16, 40, 16, 40])


def test_a_reference_is_drawn_down_all_rows_and_explained() -> None:
    figure = charts.interval_chart("r", g.interval_rows(), alt=g.ALT, caption=g.CAPTION, reference=(66.0, g.ALT))
    for drawing in drawings(figure):
        dashed = [p for p in drawing.iter("path") if p.get("stroke-dasharray") == "4 3"]
        assert dashed
    assert g.ALT["zh"] in words(drawings(figure)[0])


def test_sparkline_is_one_small_drawing() -> None:
    svg = charts.sparkline([63.0, None, g.estimate(66), g.estimate(67.4)], alt=g.ALT)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == f"{g.ALT['zh']} {g.ALT['en']}"
    assert len(svg) < 700
    assert ElementTree.fromstring(charts.sparkline([], alt=g.ALT)).tag == "svg"


@pytest.mark.parametrize("payload", g.PAYLOADS)
def test_labels_notes_and_captions_are_text(payload: str) -> None:
    text = Text(zh="中" + payload, en=payload)
    rows = [charts.Row(text, g.estimate(60), note=text), charts.Row(text, None, note=text)]
    figures = [
        charts.interval_chart("a", rows, alt=text, caption=text, unit=payload[:3]),
        charts.trend_chart("b", [charts.TrendPoint("2026Q3", g.estimate(60), series=text)], alt=text, caption=text),
        charts.priority_map("c", [charts.Point(text, g.estimate(0.5), g.estimate(60))], alt=text, caption=text),
    ]
    for figure in figures:
        html = figure._repr_html_()
        assert payload not in html
        assert set(re.findall(r"<([a-zA-Z]+)", html)) <= OURS


def test_the_writer_refuses_what_the_policy_forbids() -> None:
    with pytest.raises(ValueError, match="expected a presentation attribute, found 'style'"):
        el("text", "x", style="fill:red")
    with pytest.raises(ValueError, match="onload"):
        el("svg", onload="alert(1)")
    assert el("text", "<b>", x=1.26, class_='a"b') == '<text x="1.3" class="a&#34;b">&lt;b&gt;</text>'


def test_lines_break_where_typesetting_allows() -> None:
    lines = wrap("首次答复的速度，以及资料一次性告知（含附件）", 80, 13)
    assert "".join(lines) == "首次答复的速度，以及资料一次性告知（含附件）"
    assert not [line for line in lines if line[0] in "，）"]
    assert all(text_width(line, 13) <= 80 + 13 for line in lines)
    assert "".join(wrap("incomprehensibilities", 50, 13)) == "incomprehensibilities"


@pytest.mark.parametrize("values", [[52.1, 83.9], [0.31, 0.33], [-4.0, 7.0], [5.0, 5.0], [], [1e-4, 3e4]])
def test_axes_are_round_and_cover_the_data(values: list[float]) -> None:
    axis = scale(values, 0, 100, most=7)
    assert 2 <= len(axis.ticks) <= 7
    assert all(axis.low <= v <= axis.high for v in values)
    assert len({axis.label(t) for t in axis.ticks}) == len(axis.ticks)


def test_a_table_says_once_which_columns_hold_numbers() -> None:
    def row(*right: bool, tone: str = "") -> list[Cell]:
        return [Cell(g.ALT, right=r, tone=tone) for r in right]

    head = [g.ALT, g.ALT, g.ALT]
    plain = table(head, [row(False, True, True), row(False, True, True, tone="ok")])
    assert '<table class="r1">' in plain
    assert re.findall(r'<t[dh][^>]*class="([^"]*)"', plain) == ["ok"] * 3
    mixed = table(head, [row(False, True, False)])
    assert "<table>" in mixed
    assert re.findall(r'<(t[dh])[^>]*class="r"', mixed) == ["th", "td"]
    assert '<table class="r2">' in table(head, [row(True, False, True)])
    assert "<table>" in table(head, [])
