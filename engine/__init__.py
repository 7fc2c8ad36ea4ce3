"""The query node: PostgreSQL wire in front, DuckDB behind, the law in between."""
