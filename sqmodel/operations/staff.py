"""Staff: knowledge tests, training, inspections by checklist, and what advisers contribute to an outcome."""

from sqmodel.operations.advisers import AdviserAssessment, assess_advisers, read_advisers
from sqmodel.operations.checklists import ChecklistScores, read_inspections, score_checklists
from sqmodel.operations.knowledge_tests import TestAssessment, assess_tests, read_tests
from sqmodel.operations.training import TrainingAssessment, assess_training, read_training

__all__ = [
    "AdviserAssessment",
    "ChecklistScores",
    "TestAssessment",
    "TrainingAssessment",
    "assess_advisers",
    "assess_tests",
    "assess_training",
    "read_advisers",
    "read_inspections",
    "read_tests",
    "read_training",
    "score_checklists",
]
