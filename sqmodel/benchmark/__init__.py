"""The association's benchmark: many institutions compared, and nothing confidential leaves them."""
