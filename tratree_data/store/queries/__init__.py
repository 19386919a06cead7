"""SQL over a dataset: named queries, views, and the DuckDB session that can only read."""
