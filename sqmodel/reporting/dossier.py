"""Dossier: does a questionnaire measure what it claims? The evidence of one line in one quarter, box by box of COSMIN.

Each method is what one cell of ``notebooks/validation.ipynb`` displays. Analyses run when they are first needed; one
that cannot be computed says why in its section, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sqmodel.measurement.comparability import SMALLEST_GROUP, Comparability, assess_comparability
from sqmodel.measurement.confirmatory import Confirmation
from sqmodel.measurement.exploratory import Exploration, explore
from sqmodel.measurement.invariance import Invariance
from sqmodel.measurement.items import ItemScreening, screen_items
from sqmodel.measurement.measure import Measure
from sqmodel.measurement.planning import SamplePlan
from sqmodel.measurement.reliability import Reliability, assess_reliability
from sqmodel.measurement.validity import Validity, assess_validity
from sqmodel.reporting import dossier_data, dossier_items, dossier_record, dossier_structure, validation
from sqmodel.reporting.blocks import Block
from sqmodel.reporting.payload import Payload
from sqmodel.reporting.study import Study
from sqmodel.reporting.validation import Failed, attempt, found
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses
from sqmodel.survey.screening import Screening


@dataclass(frozen=True, repr=False)
class Dossier:
    """The evidence for and against a measure, ready to be displayed in both languages.

    Parameters
    ----------
    study : Study
    answers : Responses
        As they came in.
    screening : Screening
        Of these answers.
    responses : Responses
        All quarters, screened and weighted: what is measured.
    parity_path : Path, optional
        A record of comparisons with other programs, in place of the one shipped with sqmodel.
    """

    study: Study
    answers: Responses
    screening: Screening
    responses: Responses
    parity_path: Path | None = None

    def __repr__(self) -> str:
        return f"<Dossier {self.study.business_line} {self.study.quarter}>"

    @cached_property
    def current(self) -> Responses:
        """The answers of the quarter."""
        return self.responses.of(self.study.quarter)

    @property
    def instrument(self) -> Instrument:
        """The questionnaire."""
        return self.responses.instrument

    @cached_property
    def items(self) -> list[str]:
        """Items that are scored."""
        return self.study.kept_items

    @cached_property
    def model(self) -> dict[str, list[str]]:
        """Dimensions of two items or more, as factors."""
        return validation.dimension_model(self.instrument, self.items)[0]

    @cached_property
    def single(self) -> list[str]:
        """Dimensions of one item, which are no factors."""
        return validation.dimension_model(self.instrument, self.items)[1]

    @property
    def smallest(self) -> int:
        """Respondents of the smallest group that is compared."""
        return max(SMALLEST_GROUP, self.study.minimum_n)

    @cached_property
    def reliability_found(self) -> Reliability | Failed:
        """Consistency of the dimensions."""
        options = {"items": self.items, "level": self.study.level, "rng": self.study.seed}
        return attempt(assess_reliability, self.current, **options)

    @cached_property
    def exploration(self) -> Exploration | Failed:
        """What the answers suggest about dimensions."""
        return attempt(explore, self.current, items=self.items, rng=self.study.seed)

    @cached_property
    def models(self) -> validation.Models | Failed:
        """Rival models."""
        return attempt(
            validation.compare_models, self.current, self.model, level=self.study.level, seed=self.study.seed
        )

    @property
    def confirmation(self) -> Confirmation | Failed:
        """The questionnaire's own model."""
        return self.models if isinstance(self.models, Failed) else self.models.main

    @cached_property
    def validity_found(self) -> Validity | Failed:
        """Whether the dimensions are distinct."""
        options = {"level": self.study.level, "draws": self.study.draws, "rng": self.study.seed}
        return attempt(assess_validity, self.current, self.model, **options)

    @cached_property
    def comparability(self) -> Comparability | Failed:
        """By which variables groups may be compared."""
        return attempt(assess_comparability, self.current, items=self.items, smallest_group=self.smallest)

    @cached_property
    def ladders(self) -> dict[str, Invariance | Failed]:
        """The steps of invariance by every variable that was tested."""
        if isinstance(self.comparability, Failed):
            return {}
        return validation.ladders(self.current, self.model, self.comparability, level=self.study.level)

    @cached_property
    def item_screening(self) -> ItemScreening | Failed:
        """What every item tells."""
        return attempt(screen_items, self.current, items=self.items, level=self.study.level)

    @cached_property
    def item_bias(self) -> dict[str, ItemScreening | Failed]:
        """Item bias by every grouping variable."""
        return validation.item_bias(self.current, self.items, level=self.study.level, smallest=self.smallest)

    @cached_property
    def error_table(self) -> pd.DataFrame | Failed:
        """Standard errors of measurement."""
        if isinstance(self.reliability_found, Failed):
            return self.reliability_found
        return attempt(validation.measurement_error, self.current, self.items, self.reliability_found)

    @cached_property
    def plan(self) -> SamplePlan | Failed:
        """What other sample sizes would show."""
        return attempt(validation.plan, self.confirmation, level=self.study.level, seed=self.study.seed)

    @cached_property
    def parity_found(self) -> dict[str, Any] | None:
        """The record of comparisons with other programs."""
        return validation.load_parity(self.parity_path)

    @cached_property
    def measure(self) -> Measure:
        """The ledger and its verdict."""
        return self.study.qualify(
            self.responses,
            screening=self.screening,
            reliability=found(self.reliability_found),
            exploration=found(self.exploration),
            confirmation=found(self.confirmation),
            comparability=found(self.comparability),
        )

    def headline(self) -> Block:
        """Verdict of the measure, n, questionnaire; the ledger a click away."""
        return dossier_data.headline(self)

    def quality(self) -> Block:
        """Screening, missing answers, sample of every item."""
        return dossier_data.quality(self)

    def reliability(self) -> Block:
        """Alpha and omega of every dimension."""
        return dossier_data.reliability(self)

    def error(self) -> Block:
        """Standard error of measurement of every dimension."""
        return dossier_data.measurement_error(self)

    def structure(self) -> Block:
        """Rival models, loadings, modification indices."""
        return dossier_structure.structure(self)

    def validity(self) -> Block:
        """Convergent and discriminant validity."""
        return dossier_structure.validity(self)

    def invariance(self) -> Block:
        """Whether groups may be compared, and the steps of the test."""
        return dossier_structure.invariance(self)

    def content(self) -> Block:
        """What every item tells, and item bias."""
        return dossier_items.items(self)

    def planning(self) -> Block:
        """Respondents needed."""
        return dossier_items.planning(self)

    def parity(self) -> Block:
        """Agreement with other programs."""
        return dossier_items.parity(self.parity_found)

    def provenance(self) -> Block:
        """Method, settings, digests and versions."""
        return dossier_data.provenance(self)

    def record(self) -> Payload:
        """The numbers of the dossier for machines: results.json and tables.xlsx are made of it."""
        return dossier_record.record(self)
