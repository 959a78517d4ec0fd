"""Structural equation models for measurement: implied moments, discrepancies, estimation, inference."""
