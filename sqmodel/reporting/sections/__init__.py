"""The sections of a page on what the lender did, each for the records that the params name."""
