"""The charts of a page, in one place.

Each function takes a name, rows or points, an alternative text and a caption, and returns a `Figure`: four small
drawings (Chinese and English, wide and narrow), of which the page shows one, and the numbers behind them.
"""

from sqmodel.reporting.charts.distribution import DistributionRow, distribution_chart
from sqmodel.reporting.charts.figure import Figure
from sqmodel.reporting.charts.funnel import FunnelPoint, funnel_chart
from sqmodel.reporting.charts.priority import Point, priority_map
from sqmodel.reporting.charts.ranks import RankRow, rank_chart
from sqmodel.reporting.charts.rows import (
    GapRow,
    Row,
    gap_chart,
    interval_chart,
)
from sqmodel.reporting.charts.scree import scree_plot
from sqmodel.reporting.charts.steps import Curve, Panel, waiting_chart
from sqmodel.reporting.charts.trend import TrendPoint, sparkline, trend_chart

__all__ = [
    "Curve",
    "DistributionRow",
    "Figure",
    "FunnelPoint",
    "GapRow",
    "Panel",
    "Point",
    "RankRow",
    "Row",
    "TrendPoint",
    "distribution_chart",
    "funnel_chart",
    "gap_chart",
    "interval_chart",
    "priority_map",
    "rank_chart",
    "scree_plot",
    "sparkline",
    "trend_chart",
    "waiting_chart",
]
