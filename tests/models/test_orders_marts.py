"""Order marts: revenue, repeat trade, cohorts, rhythm and the subscription opportunity.

Small worlds are checked by hand. The wholesaler's history is checked against totals counted from its file and
against control figures of the definition (docs/metrics.md, section 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from order_models import Warehouse, fill_with_retail

AS_OF = date(2025, 12, 31)
GOOD = "10001"


@pytest.fixture
def shop() -> Warehouse:
    return Warehouse()


@pytest.fixture(scope="module")
def december() -> Warehouse:
    """The wholesaler at the last day of its history."""
    warehouse = Warehouse("Europe/London")
    fill_with_retail(warehouse)
    return warehouse.build(
        date(2011, 12, 9), "fct_order_months", "fct_order_lines", "fct_opportunity_summary"
    )


@pytest.fixture(scope="module")
def retail() -> Warehouse:
    warehouse = Warehouse("Europe/London")
    fill_with_retail(warehouse)
    return warehouse


# The wholesaler.


def test_the_wholesalers_revenue_reconciles_to_its_file(december: Warehouse) -> None:
    totals = december.row(
        "SELECT sum(revenue_minor)::bigint AS net, sum(credits_minor)::bigint AS credits, "
        "sum(goods_minor)::bigint AS goods, sum(zero_lines)::bigint AS zero_lines, "
        "sum(lines)::bigint AS lines, "
        "sum(orders + credit_notes)::bigint AS invoices FROM marts.fct_order_months"
    )
    assert totals == {
        "net": 16_343_651_02,
        "credits": -1_087_882_14,
        "goods": 16_411_916_58,
        "zero_lines": 88,
        "lines": 809_560,
        "invoices": 44_876,
    }
    assert december.row(
        "SELECT max(order_month) AS last, bool_or(is_provisional) AS running FROM marts.fct_order_months"
    ) == {
        "last": date(2011, 12, 1),
        "running": True,
    }


def test_postage_discounts_and_adjustments_are_revenue_but_no_goods(december: Warehouse) -> None:
    codes = december.rows(
        "SELECT DISTINCT sku FROM marts.fct_order_lines "
        "WHERE NOT is_goods AND sku IN ('POST', 'D', 'M', 'ADJUST')"
    )
    assert {row["sku"] for row in codes} == {"POST", "D", "M", "ADJUST"}
    assert december.row(
        "SELECT count(*) AS n FROM marts.fct_order_lines WHERE is_goods_purchase AND NOT is_goods"
    ) == {"n": 0}


def test_the_opportunity_of_may_2011_is_the_control_figure(retail: Warehouse) -> None:
    retail.build(date(2011, 5, 31), "fct_opportunity_summary")
    summary = retail.row("SELECT * FROM marts.fct_opportunity_summary")
    assert (summary["purchasing_customers"], summary["repeat_customers"]) == (4324, 2691)
    assert summary["goods_revenue_minor"] == 7_759_257_77
    assert (summary["pairs"], summary["customers"], summary["skus"]) == (1465, 406, 562)
    assert major(summary["potential_mrr"]) == Decimal("20998.00")
    assert summary["predictable_share_bp"] == 325  # 12 × 20,998.00 / 7,759,257.77 = 3.247 %


@pytest.mark.parametrize(
    ("day", "regular", "irregular"),
    [
        (date(2011, 5, 31), (1465, "0.549", "20998.00"), (3890, "0.501", "67058.30")),
        (date(2010, 11, 30), (2014, "0.466", "33559.65"), (4684, "0.428", None)),
    ],
)
def test_regular_pairs_hit_little_more_often_than_irregular_ones(
    retail: Warehouse, day: date, regular: tuple[int, str, str], irregular: tuple[int, str, str | None]
) -> None:
    """Measured 180 days later, when every outcome window has closed."""
    retail.build(day + timedelta(days=180), "fct_opportunity_summary")
    for kind, (pairs, rate, potential) in (("regular", regular), ("irregular", irregular)):
        found = retail.row(
            "SELECT * FROM marts.fct_opportunity_hit_rates "
            f"WHERE pair_kind = '{kind}' AND purchase_days_class = 'all'"
        )
        assert (found["measured_on"], found["pairs"], found["left_out_pairs"]) == (day, pairs, 0)
        assert f"{found['hits'] / found['pairs']:.3f}" == rate
        assert potential is None or major(found["potential_mrr"]) == Decimal(potential)
    assert retail.row("SELECT verdict FROM marts.fct_opportunity_summary") == {
        "verdict": "repeat_not_on_a_rhythm"
    }


def test_expected_mrr_is_the_potential_times_the_rate_of_its_class(december: Warehouse) -> None:
    rows = december.rows("SELECT * FROM marts.fct_subscription_opportunity")
    assert {row["purchase_days_class"] for row in rows} == {"4", "5", "6+"}
    for row in rows:
        assert abs(
            row["expected_mrr"] - row["potential_mrr"] * row["class_hits"] / row["class_pairs"]
        ) < Decimal("0.000002")
    summary = december.row("SELECT * FROM marts.fct_opportunity_summary")
    assert sum(row["expected_mrr"] for row in rows) == summary["expected_mrr"] < summary["potential_mrr"]


# Revenue by month.


def test_an_order_counts_on_its_day_in_the_reporting_timezone() -> None:
    shop = Warehouse("Europe/London")
    shop.order("1", "a", datetime(2025, 6, 30, 22, 59, tzinfo=UTC), [(GOOD, 1, 100)])
    shop.order("2", "a", datetime(2025, 6, 30, 23, 1, tzinfo=UTC), [(GOOD, 1, 100)])
    shop.build(AS_OF, "fct_orders")
    days = shop.rows("SELECT ordered_on FROM marts.fct_orders ORDER BY order_id")
    assert [row["ordered_on"] for row in days] == [date(2025, 6, 30), date(2025, 7, 1)]


def test_a_credit_note_lowers_revenue_and_is_no_order(shop: Warehouse) -> None:
    shop.not_goods("POST")
    shop.order("1", "a", date(2025, 3, 1), [(GOOD, 2, 1000), ("POST", 1, 150), ("10002", 1, 0)])
    shop.order("C1", "a", date(2025, 3, 5), [(GOOD, -1, -400)])
    shop.build(AS_OF, "fct_order_months", "fct_repeat_months")
    month = shop.row("SELECT * FROM marts.fct_order_months")
    assert (month["orders"], month["credit_notes"], month["customers"], month["zero_lines"]) == (1, 1, 1, 1)
    assert (month["sales_minor"], month["credits_minor"], month["revenue_minor"]) == (1150, -400, 750)
    assert (month["goods_minor"], month["other_minor"]) == (600, 150)
    repeat = shop.row("SELECT * FROM marts.fct_repeat_months WHERE order_month = '2025-03-01'")
    assert (repeat["window_customers"], repeat["repeat_customers"]) == (1, 0)


def test_unlike_currencies_are_never_added(shop: Warehouse) -> None:
    shop.order("1", "a", date(2025, 3, 1), [(GOOD, 1, 1000)], currency="EUR")
    shop.order("2", "a", date(2025, 3, 1), [(GOOD, 1, 5000)], currency="JPY")
    shop.build(AS_OF)
    months = shop.rows("SELECT currency, revenue_minor FROM marts.fct_order_months ORDER BY currency")
    assert months == [{"currency": "EUR", "revenue_minor": 1000}, {"currency": "JPY", "revenue_minor": 5000}]
    # two currencies on one day are one order day
    assert shop.row("SELECT second_order_on FROM marts.fct_second_orders") == {"second_order_on": None}


def test_nothing_after_the_as_of_day_or_recorded_after_the_build_counts(shop: Warehouse) -> None:
    known_to = datetime(2025, 12, 31, 20, tzinfo=UTC)
    shop.order("1", "a", AS_OF, [(GOOD, 1, 100)])
    shop.order("2", "a", AS_OF + timedelta(days=1), [(GOOD, 1, 100)])
    shop.order("3", "a", date(2025, 11, 1), [(GOOD, 1, 100)], recorded_at=known_to + timedelta(hours=1))
    shop.build(AS_OF, known_to=known_to)
    assert shop.rows("SELECT order_id FROM marts.fct_orders") == [{"order_id": "1"}]


def test_a_correction_recorded_later_takes_the_place_of_the_first_version(shop: Warehouse) -> None:
    shop.order("1", "a", date(2025, 3, 1), [(GOOD, 1, 100)])
    shop.order("1", "a", date(2025, 4, 1), [(GOOD, 1, 120)], recorded_at=datetime(2025, 5, 1, tzinfo=UTC))
    shop.build(AS_OF, "fct_order_months")
    assert shop.rows("SELECT order_month, revenue_minor FROM marts.fct_order_months") == [
        {"order_month": date(2025, 4, 1), "revenue_minor": 120}
    ]


# Customers who come back.


def test_the_repeat_rate_counts_order_days_of_365_days(shop: Warehouse) -> None:
    for number, (customer, day) in enumerate(
        [
            ("twice", date(2025, 6, 1)),
            ("twice", date(2025, 12, 31)),
            ("one day", date(2025, 6, 1)),
            ("one day", date(2025, 6, 1)),
            ("a year and a day apart", date(2024, 12, 31)),
            ("a year and a day apart", date(2025, 12, 31)),
        ]
    ):
        shop.order(str(number), customer, day, [(GOOD, 1, 100)])
    shop.build(AS_OF, "fct_repeat_months", "fct_second_orders")
    december = shop.row("SELECT * FROM marts.fct_repeat_months WHERE order_month = '2025-12-01'")
    assert (december["repeat_customers"], december["window_customers"]) == (1, 3)
    assert (december["repeat_rate_bp"], december["customers"], december["new_customers"]) == (3333, 2, 0)
    second = {row["customer_id"]: row for row in shop.rows("SELECT * FROM marts.fct_second_orders")}
    assert second["twice"]["days_to_second"] == 213
    assert second["one day"]["is_censored"]
    assert second["one day"]["observed_days"] == 213


def test_a_month_of_first_orders_counts_who_came_back_within_ninety_days(shop: Warehouse) -> None:
    first = date(2025, 9, 30)  # watched for 90 days on 29 December
    for number, (customer, day) in enumerate(
        [
            ("on the last day", first),
            ("on the last day", first + timedelta(days=90)),
            ("a day late", date(2025, 9, 1)),
            ("a day late", date(2025, 9, 1) + timedelta(days=91)),
            ("twice on one day", first),
            ("twice on one day", first),
            ("new", date(2025, 10, 1)),
            ("new", date(2025, 10, 2)),
        ]
    ):
        shop.order(str(number), customer, day, [(GOOD, 1, 100)])
    rows = "SELECT * FROM marts.fct_second_order_months ORDER BY cohort_month"
    for as_of, is_watched in ((date(2025, 12, 28), False), (date(2025, 12, 29), True)):
        shop.build(as_of, "fct_second_order_months")
        assert [tuple(row.values()) for row in shop.rows(rows)] == [
            (date(2025, 9, 1), 3, int(is_watched), is_watched),
            (date(2025, 10, 1), 1, 1, False),
        ]


def test_a_cohort_is_followed_month_by_month(shop: Warehouse) -> None:
    shop.order("1", "a", date(2025, 10, 31), [(GOOD, 1, 100)])
    shop.order("2", "b", date(2025, 10, 1), [(GOOD, 1, 200)])
    shop.order("3", "b", date(2025, 12, 5), [(GOOD, 1, 50)])
    shop.order("C3", "b", date(2025, 12, 6), [(GOOD, -1, -20)])
    shop.order("4", "new", date(2025, 12, 5), [(GOOD, 1, 7)])
    shop.build(AS_OF, "fct_order_cohorts")
    rows = shop.rows(
        "SELECT cohort_month, age_months, cohort_customers, active_customers, revenue_minor "
        "FROM marts.fct_order_cohorts ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in rows] == [
        (date(2025, 10, 1), 0, 2, 2, 300),
        (date(2025, 10, 1), 1, 2, 0, 0),
        (date(2025, 10, 1), 2, 2, 1, 30),
        (date(2025, 12, 1), 0, 1, 1, 7),
    ]


def test_quintiles_are_by_rank_and_ties_go_to_the_lower_group(shop: Warehouse) -> None:
    money = {"a": 10, "b": 20, "c": 20, "d": 20, "e": 50}
    for number, (customer, amount) in enumerate(money.items()):
        shop.order(customer, customer, AS_OF - timedelta(days=number), [(GOOD, 1, amount)])
    shop.build(AS_OF, "fct_rfm")
    rows = {row["customer_id"]: row for row in shop.rows("SELECT * FROM marts.fct_rfm")}
    assert {name: row["money_score"] for name, row in rows.items()} == {
        "a": 1,
        "b": 2,
        "c": 2,
        "d": 2,
        "e": 5,
    }
    assert {name: row["recency_score"] for name, row in rows.items()} == {
        "a": 5,
        "b": 4,
        "c": 3,
        "d": 2,
        "e": 1,
    }
    assert {row["frequency_score"] for row in rows.values()} == {1}
    assert rows["e"]["rfm"] == "115"


# Rhythm and the subscription opportunity.


def buy(
    shop: Warehouse, gaps: Sequence[int], last: date, customer: str = "a", units: int = 10, minor: int = 1000
) -> None:
    """Purchases of one article whose gaps are these, the last one on a day."""
    day = last - timedelta(days=sum(gaps))
    for number, gap in enumerate([0, *gaps]):
        day += timedelta(days=gap)
        shop.order(f"{customer}-{number}", customer, day, [(GOOD, units, minor)])


def test_the_median_gap_is_the_lower_of_two_middles(shop: Warehouse) -> None:
    buy(shop, [10, 20, 30, 40], AS_OF - timedelta(days=5))
    shop.build(AS_OF, "fct_reorder_cadence")
    row = shop.row("SELECT * FROM marts.fct_reorder_cadence")
    assert (row["purchase_days"], row["median_gap_days"], row["gaps"]) == (5, 20, 4)
    assert (row["regular_gaps"], row["regular_gap_share_bp"]) == (3, 7500)  # 10, 20 and 30, not 40
    assert (row["days_since_last"], row["next_expected_on"]) == (5, date(2026, 1, 15))
    assert row["net_spend_minor"] == 5000


@pytest.mark.parametrize(
    ("gaps", "silent_days", "is_listed"),
    [
        ([30, 30, 30], 45, True),
        ([30, 30], 10, False),  # three purchase days are too few
        ([30, 30, 30], 46, False),  # silent for more than 3g/2
        ([7, 7, 7], 5, True),
        ([6, 6, 6], 5, False),  # shorter than a week
        ([120, 120, 120], 4, True),
        ([121, 121, 121], 1, False),  # longer than 120 days
        ([30, 15, 45, 30], 10, True),  # g/2 and 3g/2 are near
        ([30, 14, 46, 30], 10, False),  # two of four gaps are not
        ([30, 30, 30, 46], 10, True),  # three of four are near
    ],
)
def test_a_pair_is_listed_when_it_buys_like_a_subscriber(
    shop: Warehouse, gaps: Sequence[int], silent_days: int, is_listed: bool
) -> None:
    buy(shop, gaps, AS_OF - timedelta(days=silent_days))
    shop.build(AS_OF, "fct_subscription_opportunity")
    assert bool(shop.rows("SELECT * FROM marts.fct_subscription_opportunity")) is is_listed


def test_only_goods_bought_for_money_make_purchase_days(shop: Warehouse) -> None:
    shop.not_goods("POST")
    for number in range(4):
        day = AS_OF - timedelta(days=30 * number + 1)
        lines = [("POST", 1, 500), (GOOD, 5, 0 if number == 0 else 100)]
        shop.order(str(number), "a", day, lines)
    shop.build(AS_OF, "fct_reorder_cadence")
    rows = shop.rows("SELECT sku, purchase_days FROM marts.fct_reorder_cadence")
    assert rows == [{"sku": GOOD, "purchase_days": 3}]


def test_credits_cap_the_potential_and_take_a_pair_off_the_list(shop: Warehouse) -> None:
    # 1000 every 30 days would be 1000 × 365 / 360 = 1013.888888 a month; 4000 in a year is 333.333333
    buy(shop, [30, 30, 30], AS_OF)
    shop.build(AS_OF, "fct_subscription_opportunity")
    assert shop.row("SELECT potential_mrr FROM marts.fct_subscription_opportunity") == {
        "potential_mrr": Decimal("333.333333")
    }
    shop.order("C", "a", AS_OF, [(GOOD, -30, -3000)])
    shop.build(AS_OF, "fct_subscription_opportunity")
    assert shop.row("SELECT potential_mrr FROM marts.fct_subscription_opportunity") == {
        "potential_mrr": Decimal("83.333333")
    }
    shop.order("C2", "a", AS_OF, [(GOOD, -10, -1000)])
    shop.build(AS_OF, "fct_subscription_opportunity")
    assert shop.rows("SELECT * FROM marts.fct_subscription_opportunity") == []


def test_the_potential_is_the_median_spend_at_the_median_rhythm(shop: Warehouse) -> None:
    buy(shop, [30] * 12, AS_OF)
    # 13 purchases of 1000 in 361 days: least(1000 × 365 / 360, 13000 / 12) = 1013.888888…
    shop.build(AS_OF, "fct_subscription_opportunity")
    row = shop.row("SELECT * FROM marts.fct_subscription_opportunity")
    assert row["potential_mrr"] == Decimal("1013.888888")
    assert row["purchase_days_class"] == "6+"


@pytest.mark.parametrize(
    ("gap", "interval", "count", "quantity"),
    [
        (7, "week", 1, 10),
        (10, "week", 2, 14),  # 10 is nearer to 14 than to 7 in log days (9.9 is the middle)
        (9, "week", 1, 8),
        (30, "month", 1, 10),
        (45, "month", 2, 14),  # 30.42 × 60.83 = 1850, 45² = 2025
        (90, "month", 3, 10),
        (120, "month", 3, 8),  # 91.25 × 182.5 = 16653, 120² = 14400
    ],
)
def test_the_interval_nearest_in_log_days_is_proposed(
    shop: Warehouse, gap: int, interval: str, count: int, quantity: int
) -> None:
    buy(shop, [gap] * 3, AS_OF)
    shop.build(AS_OF, "fct_subscription_opportunity")
    row = shop.row("SELECT * FROM marts.fct_subscription_opportunity")
    assert (row["proposed_interval"], row["proposed_interval_count"]) == (interval, count)
    assert row["proposed_quantity"] == quantity


def test_what_is_subscribed_already_is_no_opportunity(shop: Warehouse) -> None:
    buy(shop, [30] * 3, AS_OF)
    shop.insert(
        "raw_billing.invoices",
        [
            {
                "invoice_id": "i",
                "customer_id": "a",
                "currency": "EUR",
                "status": "paid",
                "issued_on": date(2025, 12, 1),
            }
        ],
    )
    shop.insert(
        "raw_billing.invoice_lines",
        [
            {
                "line_id": "l",
                "invoice_id": "i",
                "kind": "recurring",
                "sku": GOOD,
                "service_start": date(2025, 12, 1),
                "service_end": date(2026, 1, 1),
                "net_minor": 500,
            }
        ],
    )
    shop.build(AS_OF, "fct_opportunity_summary")
    assert shop.rows("SELECT * FROM marts.fct_subscription_opportunity") == []
    parts = shop.rows("SELECT part, revenue FROM marts.fct_revenue_predictability ORDER BY part_no")
    assert [(row["part"], row["revenue"]) for row in parts] == [
        ("subscribed", 4000),
        ("regular", 0),
        ("other_repeat", 0),
        ("one_order_day", 0),
    ]


def test_revenue_is_split_into_four_parts_that_add_up(shop: Warehouse) -> None:
    shop.not_goods("POST")
    # 13000, of which 12 × 1013.888888 = 12166.666656 on a rhythm
    buy(shop, [30] * 12, AS_OF, customer="regular")
    shop.order("o1", "other", date(2025, 2, 1), [("10002", 1, 300), ("POST", 1, 50)])
    shop.order("o2", "other", date(2025, 9, 1), [("10003", 1, 400)])
    shop.order("s1", "single", date(2025, 9, 1), [("10003", 1, 90)])
    shop.order("old", "single", date(2024, 12, 31), [("10003", 1, 10**6)])
    shop.build(AS_OF, "fct_opportunity_summary")
    parts = shop.rows("SELECT * FROM marts.fct_revenue_predictability ORDER BY part_no")
    assert [row["revenue"] for row in parts] == [
        Decimal(0),
        Decimal("12166.666656"),
        Decimal("1533.333344"),
        Decimal(90),
    ]
    assert {row["total_revenue"] for row in parts} == {Decimal(13790)}
    people = shop.rows("SELECT * FROM marts.fct_customer_predictability ORDER BY part, customer_id, revenue")
    assert [(row["part"], row["customer_id"], row["revenue"], row["order_days"]) for row in people] == [
        ("one_order_day", "single", Decimal(90), 1),
        ("other_repeat", "other", Decimal(700), 2),
        ("other_repeat", "regular", Decimal("833.333344"), 13),
        ("regular", "regular", Decimal("12166.666656"), 13),
    ]
    summary = shop.row("SELECT * FROM marts.fct_opportunity_summary")
    assert summary["predictable_share_bp"] == 8823
    assert (summary["verdict"], summary["expected_mrr"]) == (
        "too_little_history",
        Decimal("1013.888888"),  # the one pair measured 180 days earlier bought again
    )


def test_a_hit_is_a_purchase_within_one_and_a_half_gaps_rounded_up(shop: Warehouse) -> None:
    measured_on = AS_OF - timedelta(days=180)
    for customer, days_later in (("in time", 11), ("late", 12), ("never", 0)):
        buy(shop, [7, 7, 7], measured_on, customer=customer)
        if days_later:
            shop.order(customer, customer, measured_on + timedelta(days=days_later), [(GOOD, 1, 1)])
    shop.build(AS_OF, "fct_opportunity_hit_rates")
    row = shop.row("SELECT * FROM marts.fct_opportunity_hit_rates WHERE purchase_days_class = '4'")
    assert (row["pair_kind"], row["hits"], row["pairs"], row["hit_rate_bp"]) == ("regular", 1, 3, 3333)


def test_a_company_without_orders_gets_empty_marts(shop: Warehouse) -> None:
    shop.build(AS_OF)
    tables = shop.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'")
    assert len(tables) >= 14
    for row in tables:
        assert shop.row(f"SELECT count(*) AS n FROM marts.{row['table_name']}") == {"n": 0}, row


def major(minor: object) -> Decimal:
    """Minor units as major, at two places."""
    assert isinstance(minor, Decimal)
    return (minor / 100).quantize(Decimal("0.01"))
