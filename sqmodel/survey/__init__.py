"""The survey room: what was asked and what was answered."""
