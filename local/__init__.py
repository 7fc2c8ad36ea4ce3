"""The embedded default: the ports on SQLite and plain files."""
