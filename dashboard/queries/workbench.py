"""What can be asked in the workbench: tables, their columns, what each is, and its tests."""

from collections.abc import Sequence

from dashboard.queries import Query

TABLES = Query(
    "workbench_tables",
    """
SELECT
  column_of.schema_name,
  column_of.table_name,
  column_of.column_name,
  column_of.data_type,
  model.description AS table_description,
  described.description AS column_description
FROM duckdb_columns() AS column_of
LEFT JOIN warehouse.raw_meta.models AS model
  ON model.model = column_of.table_name AND model.schema_name = column_of.schema_name
LEFT JOIN warehouse.raw_meta.model_columns AS described
  ON described.model = column_of.table_name
  AND described.schema_name = column_of.schema_name
  AND lower(described.column_name) = lower(column_of.column_name)
WHERE column_of.database_name = 'warehouse' AND column_of.schema_name IN ('marts', 'churn')
ORDER BY column_of.schema_name DESC, column_of.table_name, column_of.column_index
""",
)

TABLES_ALONE = Query(
    "workbench_tables_alone",
    """
SELECT schema_name, table_name, column_name, data_type, NULL::VARCHAR AS table_description,
  NULL::VARCHAR AS column_description
FROM duckdb_columns()
WHERE database_name = 'warehouse' AND schema_name IN ('marts', 'churn')
ORDER BY schema_name DESC, table_name, column_index
""",
)

TESTS_OF_TABLE = Query(
    "workbench_tests",
    """
SELECT DISTINCT result.test_name, result.column_name, result.kind, result.status, result.failures, test.asks
FROM warehouse.raw_meta.test_results AS result
LEFT JOIN warehouse.raw_meta.test_models AS test
  ON test.test_name = result.test_name AND test.model = $table
WHERE test.model IS NOT NULL OR result.model = $table
ORDER BY result.status = 'pass', result.column_name, result.test_name
""",
)


def first_rows(schema: str, table: str, columns: Sequence[str]) -> str:
    """A first question of a table, to go on from."""
    return "SELECT\n  " + ",\n  ".join(columns) + f"\nFROM {schema}.{table}\nLIMIT 100"
