-- The columns of a table or view, and what each means.
-- Parameters: $table.
SELECT column_name, data_type, comment
FROM duckdb_columns()
WHERE NOT internal AND table_name = $table
ORDER BY column_index
