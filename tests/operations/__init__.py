"""Tests of what the lender did."""
