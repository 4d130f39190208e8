"""Which accounts of the billing engine a reader may see, and how customers are found by name."""

from __future__ import annotations

from dashboard.queries import Query

OWN_ACCOUNTS = Query(
    "engine_own_accounts",
    """
    SELECT customer_id
    FROM warehouse.marts.dim_customers
    WHERE is_current
    ORDER BY customer_id
    LIMIT $limit
    """,
)

HAS_ACCOUNT = Query(
    "engine_has_account",
    """
    SELECT count(*)::BIGINT AS accounts
    FROM warehouse.marts.dim_customers
    WHERE is_current AND customer_id = $customer_id
    """,
)

FOUND_BY_NAME = Query(
    "engine_found_by_name",
    """
    SELECT customer_id, name
    FROM warehouse.marts.dim_customers
    WHERE is_current AND contains(lower(name), lower($words))
    ORDER BY name, customer_id
    LIMIT $limit
    """,
)
