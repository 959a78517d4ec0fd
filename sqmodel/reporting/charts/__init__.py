"""The charts of a page, in one place.

Each function takes a name, rows or points, an alternative text and a caption, and returns a `Figure`: four small
drawings (Chinese and English, wide and narrow), of which the page shows one, and the numbers behind them.
"""

from sqmodel.reporting.charts.distribution import DistributionRow, distribution_chart
from sqmodel.reporting.charts.figure import Figure
from sqmodel.reporting.charts.priority import Point, priority_map
from sqmodel.reporting.charts.rows import (
    GapRow,
    Row,
    gap_chart,
    interval_chart,
)
from sqmodel.reporting.charts.scree import scree_plot
from sqmodel.reporting.charts.trend import TrendPoint, sparkline, trend_chart

__all__ = [
    "DistributionRow",
    "Figure",
    "GapRow",
    "Point",
    "Row",
    "TrendPoint",
    "distribution_chart",
    "gap_chart",
    "interval_chart",
    "priority_map",
    "scree_plot",
    "sparkline",
    "trend_chart",
]
