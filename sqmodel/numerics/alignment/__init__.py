"""Alignment of groups whose items are not all invariant (Asparouhov & Muthen 2014)."""
