"""Item response theory for ordered answers: the graded response model of one trait."""
