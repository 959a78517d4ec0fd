"""One figure of every kind, and a notebook that shows them: what the tests of publishing look at."""

from __future__ import annotations

from typing import Any

import nbformat.v4 as v4
import numpy as np
import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting import charts
from sqmodel.result import Estimate

PAYLOADS = (
    "<script>fetch('https://evil.example')</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><circle r=1 /></svg>",
    "</text></svg><script>alert(1)</script>",
    '"><iframe src="https://evil.example"></iframe>',
    "<style>body{background:url(https://evil.example/a.png)}</style>",
    "<p style=\"background:url('https://evil.example')\">x</p>",
    "<a href=\"javascript:alert(1)\">x</a><a href='https://evil.example'>y</a>",
    "<form action='https://evil.example'><input autofocus onfocus=alert(1)></form>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<svg><use href='https://evil.example/a.svg#x'/><rect fill='url(https://evil.example#a)'/></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a><foreignObject><b>x</b></foreignObject></svg>",
    "<link rel=stylesheet href=https://evil.example/a.css><base href=https://evil.example>",
    "<img src='data:text/html,<script>alert(1)</script>'>",
    "<input type=radio name=sq-lang id=sq-en checked>",
)
ALT = Text(zh="效率得分最低", en="Efficiency scores lowest")
CAPTION = Text(zh="得分 0–100；n = 412", en="Scores 0–100; n = 412")
DIMENSIONS = (
    Text(zh="客户服务体验与流程优化", en="Client experience and process optimisation"),
    Text(zh="服务效率与响应速度", en="Efficiency and speed of response"),
    Text(zh="专业能力", en="Competence"),
)
QUARTERS = ("2026Q1", "2026Q2", "2026Q3")


def estimate(value: float, half: float = 2.0) -> Estimate:
    return Estimate(value, value - half, value + half, n=412)


def interval_rows() -> list[charts.Row]:
    return [
        charts.Row(Text(zh="按维度", en="By dimension"), heading=True),
        charts.Row(DIMENSIONS[0], estimate(68.24), previous=67.0, band=(62.0, 72.0)),
        charts.Row(DIMENSIONS[1], estimate(58.93), previous=62.6, highlight=True, note=Text(zh="低于预期", en="below")),
        charts.Row(DIMENSIONS[2], None),
    ]


def interval_figure(**texts: Text) -> charts.Figure:
    return charts.interval_chart("dimensions", interval_rows(), **({"alt": ALT, "caption": CAPTION} | texts))


def gap_figure() -> charts.Figure:
    rows = [
        charts.GapRow(d, estimate(p), estimate(80.5), Estimate(p - 80.5, p - 82.5, p - 78.5, n=400), highlight=i == 1)
        for i, (d, p) in enumerate(zip(DIMENSIONS, (68.2, 58.9, 82.7), strict=True))
    ]
    return charts.gap_chart("gaps", rows, alt=ALT, caption=CAPTION)


def trend_figure() -> charts.Figure:
    values = (63.4, None, 67.4)
    points = [charts.TrendPoint(q, None if v is None else estimate(v)) for q, v in zip(QUARTERS, values, strict=True)]
    return charts.trend_chart("trend", points, alt=ALT, caption=CAPTION)


def series_figure() -> charts.Figure:
    points = [
        charts.TrendPoint(q, estimate(60 + 2 * j + k), series=d, highlight=j == 1)
        for j, d in enumerate(DIMENSIONS)
        for k, q in enumerate(QUARTERS)
    ]
    return charts.trend_chart("series", points, alt=ALT, caption=CAPTION)


def map_figure(count: int = 26) -> charts.Figure:
    rng = np.random.default_rng(7)
    importance, performance = rng.normal(0.45, 0.05, count), rng.normal(68, 3, count)
    points = [
        charts.Point(
            Text(zh=f"第{i}项服务内容", en=f"Statement number {i}"), estimate(x, 0.1), estimate(y), highlight=i < 2
        )
        for i, (x, y) in enumerate(zip(importance, performance, strict=True))
    ]
    return charts.priority_map("map", points, alt=ALT, caption=CAPTION)


def distribution_figure() -> charts.Figure:
    shares = ((0.02, 0.08, 0.2, 0.3, 0.4), (0.31, 0.29, 0.2, 0.15, 0.05), None)
    rows = [charts.DistributionRow(d, s, n=400 + i) for i, (d, s) in enumerate(zip(DIMENSIONS, shares, strict=True))]
    ends = (Text(zh="很不满意", en="Very dissatisfied"), Text(zh="很满意", en="Very satisfied"))
    categories = ["1", "2", "3", "4", "5"]
    return charts.distribution_chart("answers", rows, categories=categories, ends=ends, alt=ALT, caption=CAPTION)


def scree_figure() -> charts.Figure:
    observed = [8.4, 1.6, 0.9, *np.linspace(0.4, -0.2, 12)]
    frame = pd.DataFrame({"factors": observed, "factors_normal_quantile": np.linspace(0.8, -0.1, 15)})
    return charts.scree_plot(frame, alt=ALT, caption=CAPTION)


def funnel_figure(count: int = 20) -> charts.Figure:
    rng = np.random.default_rng(11)
    sizes = np.geomspace(60, 3000, count)
    values = 20 + rng.normal(0, 100 / np.sqrt(sizes))
    places = ["far above", "below", *["within"] * (count - 2)]
    points = [
        charts.FunnelPoint(Text(zh=f"第{i}家机构", en=f"Institution {i}"), n, v + 60 * (i == 0) - 25 * (i == 1), p)
        for i, (n, v, p) in enumerate(zip(sizes, values, places, strict=True))
    ]
    grid = np.geomspace(60, 3000, 40)
    reach = {"inner": 1.96, "outer": 3.09}
    limits = pd.DataFrame({"size": grid} | {
        f"{k}_{side}": 20 + sign * z * 100 / np.sqrt(grid)
        for k, z in reach.items() for side, sign in (("low", -1), ("high", 1))
    })  # fmt: skip
    titles = {"x_title": Text(zh="业务量", en="Cases"), "y_title": Text(zh="占比", en="Share")}
    return charts.funnel_chart("funnel", points, limits, 20.0, alt=ALT, caption=CAPTION, unit="%", **titles)


def rank_figure() -> charts.Figure:
    sets = ((1, 2, 1, 1), (1, 7, 2, 5), (6, 24, 9, 20))
    rows = [charts.RankRow(d, *s, highlight=i == 0) for i, (d, s) in enumerate(zip(DIMENSIONS, sets, strict=True))]
    return charts.rank_chart("sets", rows, 24, alt=ALT, caption=CAPTION)


def waiting_figure() -> charts.Figure:
    hours = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 40.0, 80.0)
    shares = (1.0, 0.98, 0.9, 0.7, 0.4, 0.2, 0.1, 0.01)
    low, high = (tuple(min(max(s + d, 0.0), 1.0) for s in shares) for d in (-0.05, 0.05))
    every = charts.Curve(hours, shares, low, high)
    own = charts.Curve(hours, tuple(s**2 for s in shares))
    panels = [charts.Panel(d, every, own if i else None) for i, d in enumerate(DIMENSIONS)]
    return charts.waiting_chart("waiting", panels, alt=ALT, caption=CAPTION, own=Text(zh="本机构", en="this one"))


def all_figures() -> list[charts.Figure]:
    makers = (interval_figure, gap_figure, trend_figure, series_figure, map_figure, distribution_figure, scree_figure,
              funnel_figure, rank_figure, waiting_figure)  # fmt: skip
    return [make() for make in makers]


def shown(content: dict[str, Any] | str, count: int = 1, source: str = "show()") -> Any:
    data = {"text/html": content, "text/plain": "…"} if isinstance(content, str) else content
    output = v4.new_output("execute_result", data=data, execution_count=count)
    return v4.new_code_cell(source, id=f"cell{count}", execution_count=count, outputs=[output])


def prose(text: str, name: str = "prose") -> Any:
    return v4.new_markdown_cell(text, id=name)


def notebook(*cells: Any) -> Any:
    return v4.new_notebook(cells=list(cells))


def gallery() -> Any:
    head = (
        '<div class="head"><div><div class="big">67.4</div><div class="int">65.6–69.2</div></div>'
        '<div><p class="chg"><b>−1.5</b></p><p><span class="badge w">可发布</span></p></div></div>'
    )
    cells = [prose("# 服务质量季报 | Service quality report", "title"), shown(head)]
    for i, figure in enumerate(all_figures(), start=2):
        text = f"## 第{i}节 | Section {i}\n\n效率低于预期。\n\nEfficiency lies below its expected range."
        cells += [prose(text, f"prose{i}"), shown(figure._repr_html_(), i)]
    return notebook(*cells)
