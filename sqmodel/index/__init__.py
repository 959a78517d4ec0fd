"""The index room: a number with an interval."""
