"""The law, pure: what may be seen, by whom, and what is remembered of it."""
