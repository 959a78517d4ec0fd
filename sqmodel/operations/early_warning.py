"""Early warning: grades and probabilities, and alerts, against what happened afterwards."""

from sqmodel.operations.alerts import AlertAssessment, assess_alerts
from sqmodel.operations.discrimination import GradeAssessment, assess_grades
from sqmodel.operations.exposures import read_alerts, read_exposures

__all__ = ["AlertAssessment", "GradeAssessment", "assess_alerts", "assess_grades", "read_alerts", "read_exposures"]
