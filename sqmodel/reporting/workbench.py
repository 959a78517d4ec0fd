"""Workbench: can every choice behind an index be defended? Data, coherence, weights, stages, ranks, and what matters.

Each method is what one cell of ``notebooks/index_design.ipynb`` displays. Analyses run when they are first needed. A
tree that does not hold together is shown with its reasons, and no index is made of it unless the study accepts that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqmodel.index.coherence import Coherence, assess_coherence
from sqmodel.index.composite import Composite
from sqmodel.index.tree import IndexTree
from sqmodel.index.tree_weight_comparison import TreeWeightComparison, compare_tree_weights
from sqmodel.index.uncertainty import Uncertainty
from sqmodel.reporting import workbench_choices, workbench_data, workbench_ranks, workbench_record
from sqmodel.reporting.blocks import Block
from sqmodel.reporting.design_inputs import Arranged, DesignInputs, arrange, assess
from sqmodel.reporting.design_params import DesignStudy
from sqmodel.reporting.payload import Payload


@dataclass(frozen=True, repr=False)
class Workbench:
    """An index and the evidence for its choices, ready to be displayed in both languages.

    Parameters
    ----------
    study : DesignStudy
    inputs : DesignInputs
        See `read_inputs`.
    """

    study: DesignStudy
    inputs: DesignInputs

    def __repr__(self) -> str:
        return f"<Workbench {self.study.name}: {self.inputs.tree.name} {self.inputs.tree.version}>"

    @cached_property
    def arranged(self) -> Arranged:
        """Tree and composite with the weights of the study."""
        return arrange(self.study, self.inputs)

    @property
    def tree(self) -> IndexTree:
        """The tree with the weights of the study."""
        return self.arranged.tree

    @property
    def composite(self) -> Composite:
        """Every stage of the index."""
        return self.arranged.composite

    @cached_property
    def coherence_found(self) -> Coherence:
        """Whether the tree holds together."""
        study = self.study
        return assess_coherence(self.composite, self.tree, level=study.level, draws=study.draws, rng=study.seed)

    @property
    def blocked(self) -> bool:
        """Whether the tree does not hold together, and nobody accepted that."""
        return self.coherence_found.verdict == "blocks" and not self.study.accept.strip()

    @cached_property
    def comparison(self) -> TreeWeightComparison:
        """Ways of weighting side by side.

        Raises
        ------
        CompositeError
            The tree does not hold together, and nobody accepted that.
        """
        self.coherence_found.require(self.study.accept)
        study = self.study
        return compare_tree_weights(
            self.arranged.given, self.inputs.tree, judgements=self.inputs.judgements, reference=study.weighting,
            level=study.level, draws=study.draws, rng=study.seed,
        )  # fmt: skip

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """Intervals, rank sets and shares of the variance.

        Raises
        ------
        CompositeError
            The tree does not hold together, and nobody accepted that.
        """
        self.coherence_found.require(self.study.accept)
        return assess(self.study, self.inputs, self.arranged)

    def headline(self) -> Block:
        """Who may be first, the verdict on the tree, and where the uncertainty comes from."""
        return workbench_data.headline(self)

    def data(self) -> Block:
        """Indicators, missing values, outliers, samples."""
        return workbench_data.data(self)

    def coherence(self) -> Block:
        """Whether the indicators belong where they stand."""
        return workbench_choices.coherence(self)

    def weights(self) -> Block:
        """Ways of weighting side by side, and what each does to the ranking."""
        return workbench_choices.weights(self)

    def stages(self) -> Block:
        """From raw values to the index."""
        return workbench_data.stages(self)

    def ranks(self) -> Block:
        """Scores and ranks with what is not known about them."""
        return workbench_ranks.ranks(self)

    def split(self) -> Block:
        """What sampling and what method adds to the uncertainty."""
        return workbench_ranks.split(self)

    def factors(self) -> Block:
        """Which sample and which choice matters."""
        return workbench_ranks.factors(self)

    def provenance(self) -> Block:
        """Method, settings, digests and versions."""
        return workbench_data.provenance(self)

    def record(self) -> Payload:
        """The numbers of the page for machines: results.json and tables.xlsx are made of it."""
        return workbench_record.record(self)
