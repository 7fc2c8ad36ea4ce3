"""Keys that end: warned of 30, 7 and 1 days before, and ended on time (claim W3.7)."""
