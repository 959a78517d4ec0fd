"""Page: the quarterly report of one business line, piece by piece; nothing is computed here.

Each method is what one cell of ``notebooks/business_line.ipynb`` displays. The order of the methods is the page's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqmodel.index.actions import Actions
from sqmodel.index.gaps import Gaps
from sqmodel.index.outcomes import Outcomes
from sqmodel.index.priorities import Priorities
from sqmodel.index.scoring import Index
from sqmodel.index.trend import Trend
from sqmodel.measurement.differences import GroupDifferences
from sqmodel.measurement.exploratory import Exploration
from sqmodel.measurement.measure import Measure
from sqmodel.measurement.reliability import Reliability
from sqmodel.reporting import evidence, findings, opening, performance
from sqmodel.reporting.blocks import Block
from sqmodel.reporting.operations import Operations
from sqmodel.reporting.payload import Payload, payload
from sqmodel.reporting.sections import actions, complaints, drivers, people, process, warnings
from sqmodel.reporting.study import Study
from sqmodel.survey.responses import Reading
from sqmodel.survey.screening import Screening


@dataclass(frozen=True, repr=False)
class Page:
    """All results of one report, ready to be displayed in both languages.

    Parameters
    ----------
    study, reading, screening, reliability, exploration, measure, index, gaps, outcomes, priorities, ranking
        The results of the analysis.
    differences : tuple of GroupDifferences, optional
        Tests of group differences to mention.
    operations : Operations, optional
        What the lender did; a section is there for the records that the params name.
    history : Trend, optional
        Changes from quarter to quarter; None where there is one quarter.
    """

    study: Study
    reading: Reading
    screening: Screening
    reliability: Reliability
    exploration: Exploration
    measure: Measure
    index: Index
    gaps: Gaps
    outcomes: Outcomes
    priorities: Priorities
    ranking: Actions
    differences: tuple[GroupDifferences, ...] = field(default=())
    operations: Operations = field(default_factory=Operations)
    history: Trend | None = None

    def __repr__(self) -> str:
        return f"<Page {self.study.business_line} {self.index.quarter}>"

    def headline(self) -> Block:
        """Title, index with interval, change, verdict, recent quarters."""
        return opening.headline(self)

    def actions(self) -> Block:
        """What to do first, of items, drivers and standards, with evidence."""
        return actions.actions(self)

    def dimensions(self) -> Block:
        """Scores of the dimensions and their change."""
        return findings.dimensions(self)

    def expectations(self) -> Block:
        """Expectation against performance."""
        return performance.expectations(self)

    def items(self) -> Block:
        """Distribution of the answers, and importance against performance."""
        return performance.items(self)

    def results(self) -> Block:
        """Satisfaction, recommendation, effort, loyalty."""
        return findings.outcomes(self)

    def groups(self) -> Block:
        """Client groups, small ones withheld."""
        return findings.groups(self)

    def process(self) -> Block | None:
        """Where time goes, and which limits of the service standard are kept."""
        return process.process(self)

    def complaints(self) -> Block | None:
        """Complaints, how they were handled, what changed."""
        return complaints.complaints(self)

    def warnings(self) -> Block | None:
        """Risk grades and early warnings."""
        return warnings.warnings(self)

    def people(self) -> Block | None:
        """Advisers: knowledge, training, conduct, and what their clients feel."""
        return people.people(self)

    def drivers(self) -> Block | None:
        """Which waits, rework and breaches go with which scores."""
        return drivers.drivers(self)

    def trend(self) -> Block:
        """The index over the quarters, sure changes and signals."""
        return findings.trend(self)

    def trust(self) -> Block:
        """The ledger, reliability and number of factors."""
        return evidence.trust(self)

    def quality(self) -> Block:
        """What happened to the data on the way in."""
        return evidence.quality(self)

    def provenance(self) -> Block:
        """Method, settings, digests and versions."""
        return evidence.provenance(self)

    def record(self) -> Payload:
        """The numbers of the page for machines: results.json and tables.xlsx are made of it."""
        return payload(self)
