"""The engine's database read into raw_billing, from SQLite and from PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from billing.service import catalog, contracts, customers, discounts, subscriptions
from billing.service.goods import create_sku
from billing.store import tables
from billing.store.store import Store
from pipelines.sources import billing
from pipelines.sources.loading import SourceConfig, SourceError

START = datetime(2024, 1, 1, 9, 0, tzinfo=UTC)


def at(day: str, clock: str = "09:00") -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}:00+00:00")


def open_shop(store: Store) -> None:
    catalog.create_legal_entity(store, START, entity_id="de", name="Seller", country="DE")
    catalog.create_product(store, START, product_id="desk", name="Desk")
    catalog.create_meter(store, START, meter_id="gb", name="Storage", scale=3, unit="GB")
    catalog.create_plan(store, START, plan_id="team", name="Team", product_id="desk", tier="2")
    catalog.publish_plan_version(
        store,
        START,
        plan_id="team",
        interval="P3M",
        components=[
            catalog.NewComponent("seats", "seat"),
            catalog.NewComponent("storage", "usage", meter_id="gb"),
        ],
    )
    tiers = (catalog.NewTier(None, "0.01"),)
    catalog.create_price_list(
        store,
        START,
        list_id="eur",
        name="EUR",
        currency="EUR",
        valid_start=date(2023, 1, 1),
        prices=[
            catalog.NewPrice("team.1.seats", "per_unit", "12.345"),
            catalog.NewPrice("team.1.storage", "graduated", tiers=tiers),
        ],
    )
    customers.create_customer(
        store, START, customer_id="mother", name="Mother", entity_id="de", currency="EUR", country="DE"
    )
    customers.create_customer(
        store,
        START,
        customer_id="c1",
        name="Ann",
        entity_id="de",
        currency="EUR",
        country="DE",
        parent_id="mother",
    )


def subscribe(store: Store, **options: object) -> str:
    agreed = subscriptions.subscribe(
        store, START, customer_id="c1", plan_id="team", quantity=10, subscription_id="s1", **options
    )
    return agreed.items[0].item_id


@pytest.fixture
def load(stage_at, database_url):
    """Load the database into the stage as a build at a moment; returns a function that asks the stage."""

    def run(moment: datetime = datetime(2026, 1, 1, tzinfo=UTC)):
        stage = stage_at(moment)
        with stage.transaction():
            billing.load(stage, SourceConfig("billing", "billing", database_url))
        return lambda sql: stage.connection.execute(sql).fetchall()

    return run


LATEST = (
    "SELECT {} FROM (SELECT * FROM raw_billing.subscription_versions "
    "QUALIFY row_number() OVER (PARTITION BY subscription_item_id, version_no "
    "ORDER BY recorded_at DESC) = 1) WHERE NOT is_deleted ORDER BY valid_from"
)


def test_a_version_has_its_terms_amount_and_interval(store, load):
    open_shop(store)
    item = subscribe(store, contract=subscriptions.NewContract(term="P1Y", notice_days=60))
    ask = load()
    rows = ask(
        "SELECT subscription_item_id, version_no, subscription_id, customer_id, plan_id, price_id, "
        'amount_minor, currency, "interval", interval_count, quantity, committed_minimum_minor, status, '
        "valid_from, valid_to, term_start, term_end, notice_by_on, auto_renew, trial_end_on, "
        "cancel_requested_on, end_cause, is_deleted, recorded_at FROM raw_billing.subscription_versions"
    )
    first_day = date(2024, 1, 1)
    assert rows == [
        (
            item, 1, "s1", "c1", "team", "eur.team.1.seats", 12345, "EUR", "month", 3, Decimal(10), 0,
            "active", first_day, None, first_day, date(2025, 1, 1), date(2024, 11, 2), True, None, None, None,
            False, START,
        )
    ]  # fmt: skip


def test_a_term_that_an_open_pause_moves_comes_again(store, load):
    open_shop(store)
    terms = {"term": "P3M", "notice_days": 0, "pause_extends_term": True}
    subscribe(store, contract=subscriptions.NewContract(**terms))
    subscriptions.pause(store, at("2024-03-20"), subscription_id="s1")
    load(at("2024-03-21"))
    contracts.renew_due(store, at("2024-04-01"))
    rows = load()(LATEST.format("term_end, notice_by_on, recorded_at"))
    moved = date(2024, 4, 13)  # by the twelve days from 20 March to 1 April
    assert rows == [(moved, moved, at("2024-04-01"))] * 2


def test_each_state_of_an_item_comes_with_the_moment_it_became_known(store, load):
    open_shop(store)
    subscribe(store)
    subscriptions.change_quantity(store, at("2024-02-10"), subscription_id="s1", quantity=12, when="now")
    ask = load()
    rows = ask(
        "SELECT version_no, quantity::INTEGER, valid_from, valid_to, is_deleted, recorded_at "
        "FROM raw_billing.subscription_versions ORDER BY version_no, recorded_at"
    )
    first_day, change_day, change = date(2024, 1, 1), date(2024, 2, 10), at("2024-02-10")
    assert rows == [
        (1, 10, first_day, None, False, START),
        (1, 10, first_day, None, True, change),
        (2, 10, first_day, change_day, False, change),
        (3, 12, change_day, None, False, change),
    ]


@pytest.mark.parametrize(
    ("reason", "cause"), [("payment", "involuntary"), ("too_expensive", "voluntary"), ("merge", "merge")]
)
def test_a_cancellation_cuts_the_version_and_names_its_cause(store, load, reason, cause):
    open_shop(store)
    subscribe(store)
    subscriptions.cancel(store, at("2024-03-05"), subscription_id="s1", when=date(2024, 3, 20), reason=reason)
    ask = load()
    rows = ask(LATEST.format("valid_to, cancel_requested_on, cancel_reason, end_cause, status, recorded_at"))
    assert rows == [
        (date(2024, 3, 20), date(2024, 3, 5), reason, cause, "active", at("2024-03-05")),
    ]
    known_in_february = ask(
        "SELECT valid_to, end_cause FROM raw_billing.subscription_versions WHERE recorded_at < '2024-03-01'"
    )
    assert known_in_february == [(None, None)]


def test_an_end_keeps_its_cause_when_the_customer_comes_back(store, load):
    open_shop(store)
    old = subscribe(store)
    subscriptions.cancel(store, at("2024-02-10"), subscription_id="s1", when="now", reason="payment")
    subscriptions.reactivate(store, at("2024-03-01"), subscription_id="s1")
    subscriptions.cancel(store, at("2024-04-10"), subscription_id="s1", when="now", reason="switched")
    columns = "subscription_item_id, valid_from, valid_to, cancel_requested_on, cancel_reason, end_cause"
    first, second = load()(LATEST.format(columns))
    ended, again = date(2024, 2, 10), date(2024, 4, 10)
    assert first == (old, date(2024, 1, 1), ended, ended, "payment", "involuntary")
    assert second[1:] == (date(2024, 3, 1), again, again, "switched", "voluntary")


def test_a_trial_and_a_pause_are_statuses_of_their_days(store, load):
    open_shop(store)
    subscribe(store, trial_days=14)
    subscriptions.pause(
        store, at("2024-04-02"), subscription_id="s1", from_on=date(2024, 4, 10), until=date(2024, 5, 1)
    )
    ask = load()
    assert ask(LATEST.format("status, valid_from, valid_to, trial_end_on")) == [
        ("trialing", date(2024, 1, 1), date(2024, 1, 15), date(2024, 1, 15)),
        ("active", date(2024, 1, 15), date(2024, 4, 10), None),
        ("paused", date(2024, 4, 10), date(2024, 5, 1), None),
        ("active", date(2024, 5, 1), None, None),
    ]


def test_customers_and_parents_have_a_row_for_each_range_of_days(store, load):
    open_shop(store)
    customers.change_customer(store, at("2024-06-01"), customer_id="c1", name="Ann & Co", parent_id=None)
    ask = load()
    latest = "QUALIFY row_number() OVER (PARTITION BY customer_id, valid_from ORDER BY recorded_at DESC) = 1"
    assert ask(
        f"SELECT name, valid_from, valid_to, currency, is_test FROM raw_billing.customers "
        f"WHERE customer_id = 'c1' {latest} ORDER BY valid_from"
    ) == [
        ("Ann", date(2024, 1, 1), date(2024, 6, 1), "EUR", False),
        ("Ann & Co", date(2024, 6, 1), None, "EUR", False),
    ]
    assert ask(
        f"SELECT parent_customer_id, valid_from, valid_to FROM raw_billing.customer_parents {latest}"
    ) == [("mother", date(2024, 1, 1), date(2024, 6, 1))]


def test_plans_and_prices_keep_exact_prices_and_tiers_have_none(store, load):
    open_shop(store)
    ask = load()
    assert ask("SELECT plan_id, plan_name, plan_tier, is_add_on FROM raw_billing.plans") == [
        ("team", "Team", "2", False)
    ]
    assert ask(
        'SELECT pricing_model, price_mantissa, price_scale, "interval", interval_count, valid_from '
        "FROM raw_billing.prices ORDER BY 1"
    ) == [
        ("graduated", None, None, "month", 3, date(2023, 1, 1)),
        ("per_unit", 12345, 3, "month", 3, date(2023, 1, 1)),
    ]


def write_documents(store: Store, item: str) -> None:
    """Facts as a bill run and a collection leave them: an invoice of three lines, paid at the second try."""
    moment = at("2024-04-01")
    base = {
        "invoice_id": "i1", "customer_id": "c1", "item_id": item, "currency": "EUR", "policy_name": "default",
        "policy_version": 1, "terms_id": "t", "explanation": "{}", "quantity_scale": 0, "discount_minor": 0,
        "revision": 0, "reference_start": date(2024, 1, 1),
        "reference_end": date(2024, 4, 1), "service_end": date(2024, 4, 1),
    }  # fmt: skip
    store.insert(
        tables.invoices,
        [
            {
                "invoice_id": "i1", "number": "2024-1", "entity_id": "de", "customer_id": "c1",
                "currency": "EUR", "state": "paid", "issued_on": date(2024, 4, 1),
                "due_on": date(2024, 4, 15), "net_minor": 12000, "tax_minor": 2280,
                "total_minor": 14280, "paid_on": date(2024, 4, 3),
            }
        ],
        moment,
    )  # fmt: skip
    store.insert(
        tables.line_items,
        [
            base
            | {
                "line_id": "l1", "component_id": "team.1.seats", "kind": "recurring", "entry": "charge",
                "service_start": date(2024, 1, 1), "quantity_mantissa": 10, "gross_minor": 12345,
                "discount_minor": 1345, "net_minor": 11000, "tax_minor": 2090,
            },
            base
            | {
                "line_id": "l2", "component_id": "team.1.seats", "kind": "recurring", "entry": "credit",
                "service_start": date(2024, 1, 1), "quantity_mantissa": 1, "gross_minor": -1000,
                "net_minor": -1000, "tax_minor": -190, "revision": 1,
            },
            base
            | {
                "line_id": "l3", "component_id": "team.1.storage", "kind": "usage", "entry": "charge",
                "service_start": date(2024, 1, 1), "quantity_mantissa": 2500, "quantity_scale": 3,
                "gross_minor": 2000, "net_minor": 2000, "tax_minor": 380,
            },
        ],
        moment,
    )  # fmt: skip
    store.insert(
        tables.discounts,
        [
            {
                "discount_id": "d1", "name": "Start", "scope": "item", "amount_minor": 1345,
                "currency": "EUR", "times": 1, "valid_start": date(2024, 1, 1),
            }
        ],
        moment,
    )  # fmt: skip
    store.insert(tables.discount_uses, [{"discount_id": "d1", "line_id": "l1", "amount_minor": 1345}], moment)
    store.insert(
        tables.payments,
        [
            {
                "payment_id": "p1", "customer_id": "c1", "invoice_id": "i1", "currency": "EUR",
                "amount_minor": 14280, "fee_minor": 30, "state": "captured", "attempt": 2,
                "created_on": date(2024, 4, 1), "received_on": date(2024, 4, 3),
            }
        ],
        moment,
    )  # fmt: skip
    store.insert(
        tables.payment_attempts,
        [
            {
                "payment_id": "p1", "attempt": 1, "outcome": "declined", "decline_class": "soft",
                "decline_code": "no_funds", "attempted_at": at("2024-04-01"),
                "attempted_on": date(2024, 4, 1),
            },
            {
                "payment_id": "p1", "attempt": 2, "outcome": "captured", "decline_class": None,
                "decline_code": None, "attempted_at": at("2024-04-03"), "attempted_on": date(2024, 4, 3),
            },
        ],
        moment,
    )  # fmt: skip
    store.insert(
        tables.applications,
        [
            {
                "application_id": "a1", "source_kind": "payment", "source_id": "p1", "invoice_id": "i1",
                "amount_minor": 14280, "applied_on": date(2024, 4, 3),
            }
        ],
        moment,
    )  # fmt: skip
    store.insert(
        tables.journal_entries,
        [
            {
                "entry_id": "e1", "entity_id": "de", "source_kind": "invoice", "source_id": "i1",
                "event": "issued", "posted_on": date(2024, 4, 1),
            }
        ],
        moment,
    )  # fmt: skip
    posting = {"entry_id": "e1", "invoice_id": "i1", "currency": "EUR", "debit_minor": 0, "credit_minor": 0}
    store.insert(
        tables.journal_lines,
        [
            posting | {"position": 1, "account": "receivable", "debit_minor": 14280},
            posting | {"position": 2, "account": "deferred_revenue", "credit_minor": 12000},
            posting | {"position": 3, "account": "tax_payable", "credit_minor": 2280},
        ],
        moment,
    )


def test_lines_have_their_kind_exact_quantity_and_one_off_discount(store, load):
    open_shop(store)
    write_documents(store, subscribe(store))
    ask = load()
    assert ask(
        "SELECT line_id, kind, quantity, net_minor, discount_minor, once_discount_minor, tax_minor "
        "FROM raw_billing.invoice_lines ORDER BY 1"
    ) == [
        ("l1", "recurring", Decimal(10), 11000, 1345, 1345, 2090),
        ("l2", "proration", Decimal(1), -1000, 0, 0, -190),
        ("l3", "usage", Decimal("2.5"), 2000, 0, 0, 380),
    ]
    assert ask("SELECT invoice_no, status, issued_on, total_minor FROM raw_billing.invoices") == [
        ("2024-1", "paid", date(2024, 4, 1), 14280)
    ]


def test_a_line_of_goods_names_what_was_sold(store, load):
    open_shop(store)
    create_sku(store, START, sku_id="paper", product_id="desk", name="Paper", base_unit="case")
    catalog.create_plan(store, START, plan_id="standing", name="Standing order", product_id="desk")
    cases = catalog.NewComponent("cases", "seat", sku_id="paper")
    catalog.publish_plan_version(store, START, plan_id="standing", interval="P1M", components=[cases])
    item = subscribe(store)
    write_documents(store, item)
    line = store.row(select(tables.line_items).where(tables.line_items.c.line_id == "l1"))
    sold = {"line_id": "l4", "component_id": "standing.1.cases", "kind": "goods"}
    store.insert(tables.line_items, [dict(line) | sold], at("2024-04-01"))
    assert load()("SELECT line_id, sku FROM raw_billing.invoice_lines ORDER BY 1") == [
        ("l1", None), ("l2", None), ("l3", None), ("l4", "paper"),
    ]  # fmt: skip


def test_payments_have_a_row_an_attempt_and_a_failed_invoice_its_dunning_events(store, load):
    open_shop(store)
    write_documents(store, subscribe(store))
    ask = load()
    assert ask(
        "SELECT attempt_no, status, failure_code, fee_minor, received_on FROM raw_billing.payments ORDER BY 1"
    ) == [(1, "declined", "no_funds", 0, None), (2, "captured", None, 30, date(2024, 4, 3))]
    assert ask("SELECT attempt_no, outcome FROM raw_billing.dunning_events ORDER BY 1") == [
        (1, "failed"),
        (2, "recovered"),
    ]
    assert ask("SELECT source_kind, amount_minor FROM raw_billing.applications") == [("payment", 14280)]


def test_what_was_given_up_came_in_after_all_and_was_sent_back_says_so(store, load):
    open_shop(store)
    write_documents(store, subscribe(store))
    moment, given_up = at("2024-05-01"), {"invoice_id": "i1", "amount_minor": 500}
    store.insert(
        tables.write_offs,
        [
            given_up | {"write_off_id": "w1", "written_off_on": date(2024, 5, 1)},
            given_up
            | {
                "write_off_id": "w2", "amount_minor": -500, "reverses_id": "w1",
                "written_off_on": date(2024, 5, 20),
            },
        ],
        moment,
    )  # fmt: skip
    payment = store.row(select(tables.payments).where(tables.payments.c.payment_id == "p1"))
    attempt = store.row(select(tables.payment_attempts).where(tables.payment_attempts.c.attempt == 2))
    late = {"payment_id": "p2", "attempt": 1}
    store.insert(tables.payments, [dict(payment) | late | {"kind": "recovery"}], moment)
    store.insert(tables.payment_attempts, [dict(attempt) | late], moment)
    note = {
        "note_id": "n1", "entity_id": "de", "customer_id": "c1", "invoice_id": "i1", "currency": "EUR",
        "reason": "returned", "issued_on": date(2024, 5, 2), "net_minor": 200, "tax_minor": 0,
        "total_minor": 200,
    }  # fmt: skip
    store.insert(tables.credit_notes, [note], moment)
    refund = {"payment_id": "p1", "amount_minor": 200, "state": "refunded", "requested_on": date(2024, 5, 2)}
    sent = {"note_id": None, "refunded_on": date(2024, 5, 3)}
    store.insert(
        tables.refunds,
        [
            refund | sent | {"refund_id": "r1", "note_id": "n1"},
            refund | sent | {"refund_id": "r2"},
            refund | {"refund_id": "r3", "note_id": None, "refunded_on": None, "state": "failed"},
        ],
        moment,
    )
    ask = load()
    assert ask(
        "SELECT write_off_id, invoice_id, amount_minor, written_off_on FROM raw_billing.write_offs"
    ) == [
        ("w1", "i1", 500, date(2024, 5, 1)),
        ("w2", "i1", -500, date(2024, 5, 20)),
    ]
    assert ask("SELECT DISTINCT payment_id, kind, invoice_id FROM raw_billing.payments ORDER BY 1") == [
        ("p1", "charge", "i1"),
        ("p2", "recovery", "i1"),
    ]
    assert ask("SELECT refund_id, credit_note_id FROM raw_billing.refunds ORDER BY 1") == [
        ("r1", "n1"),
        ("r2", None),
    ]


def test_the_ledger_is_debit_less_credit_under_the_names_of_the_metrics(store, load):
    open_shop(store)
    write_documents(store, subscribe(store))
    ask = load()
    assert ask("SELECT account, amount_minor FROM raw_billing.ledger_entries ORDER BY entry_id") == [
        ("receivable", 14280),
        ("deferred_revenue", -12000),
        ("tax", -2280),
    ]


def record_use(store: Store, item: str, moment: datetime, *events: tuple[date, int, str]) -> None:
    """Events of the meter, each a day, whole units and who used them."""
    store.insert(
        tables.usage_events,
        [
            {
                "source": "app", "event_id": f"{moment}-{seq}", "customer_id": "c1", "item_id": item,
                "meter_id": "gb", "occurred_at": at(day.isoformat()), "occurred_on": day,
                "value_mantissa": value * 1000, "dimension": user, "payload_hash": "h", "seq": seq,
            }
            for seq, (day, value, user) in enumerate(events, start=1)
        ],
        moment,
    )  # fmt: skip


def test_rated_usage_is_shared_over_its_days_and_adds_up(store, load):
    open_shop(store)
    item = subscribe(store)
    january, february = date(2024, 1, 3), date(2024, 2, 29)
    record_use(store, item, at("2024-03-01"), (january, 1, "ann"), (january, 1, "bob"), (february, 1, "ann"))
    ask = load()
    usage = "SELECT used_on, quantity, rated_minor, active_users FROM raw_billing.usage_days ORDER BY used_on"
    assert ask(usage) == [
        (date(2024, 1, 3), Decimal(2), None, 2),
        (date(2024, 2, 29), Decimal(1), None, 1),
    ]
    write_documents(store, item)
    ask = load(datetime(2026, 1, 2, tzinfo=UTC))
    latest = usage.replace("ORDER", "WHERE recorded_at >= '2024-04-01' ORDER")
    # 20.00 over quantities 2 and 1: 13.33 up to the first day, 20.00 up to the second.
    assert ask(latest) == [
        (date(2024, 1, 3), Decimal(2), 1333, 2),
        (date(2024, 2, 29), Decimal(1), 667, 1),
    ]
    store.update(tables.invoices, [{"invoice_id": "i1", "state": "void"}], at("2024-04-05"))
    ask = load(datetime(2026, 1, 3, tzinfo=UTC))
    latest = usage.replace("ORDER", "WHERE recorded_at >= '2024-04-05' ORDER")
    assert [rated for _, _, rated, _ in ask(latest)] == [0, 0]
    # 21.00 are billed instead: 14.00 and 7.00, and not with what is void.
    paper, line = (
        store.row(select(table).where(table.c.invoice_id == "i1", *more))
        for table, more in (
            (tables.invoices, []),
            (tables.line_items, [tables.line_items.c.kind == "usage"]),
        )
    )
    stamps = ("recorded_at", "changed_at")
    again = [
        {name: value for name, value in row.items() if name not in stamps} | {"invoice_id": "i2"}
        for row in (paper, line)
    ]
    store.insert(tables.invoices, [again[0] | {"number": "2024-2", "state": "open"}], at("2024-04-06"))
    anew = {"line_id": "l4", "revision": 1, "gross_minor": 2100, "net_minor": 2100}
    store.insert(tables.line_items, [again[1] | anew], at("2024-04-06"))
    ask = load(datetime(2026, 1, 4, tzinfo=UTC))
    latest = usage.replace("ORDER", "WHERE recorded_at >= '2024-04-06' ORDER")
    assert [rated for _, _, rated, _ in ask(latest)] == [1400, 700]


def test_only_days_that_new_use_can_have_moved_are_read_again(store, load):
    open_shop(store)
    item = subscribe(store)
    record_use(store, item, at("2024-03-01"), (date(2024, 1, 3), 1, "ann"), (date(2024, 2, 10), 2, "ann"))
    write_documents(store, item)

    def rows_read(build_day: int) -> int:
        # a later change of something else puts the overlap behind the use
        moment = datetime(2026, 1, build_day, tzinfo=UTC)
        customers.change_customer(store, moment, customer_id="c1", name=f"Ann {build_day}")
        ask = load(moment)
        ((read,),) = ask(
            "SELECT rows_read FROM raw_meta.loads WHERE target_table = 'raw_billing.usage_days' "
            f"AND build_id = '{moment:b%Y%m%dT%H%M%S}'"
        )
        return read

    assert rows_read(1) == 2
    assert rows_read(2) == 0
    record_use(store, item, datetime(2026, 1, 3, tzinfo=UTC), (date(2024, 4, 5), 3, "bob"))
    assert rows_read(4) == 1
    assert rows_read(5) == 0
    # late use of the billed quarter: its 20.00 are shared anew, by 1, 1 and 2
    record_use(store, item, datetime(2026, 1, 6, tzinfo=UTC), (date(2024, 1, 20), 1, "bob"))
    assert rows_read(7) == 4
    latest = (
        "SELECT used_on, quantity, rated_minor, active_users FROM raw_billing.usage_days "
        "QUALIFY row_number() OVER (PARTITION BY used_on ORDER BY recorded_at DESC, load_id DESC) = 1 "
        "ORDER BY used_on"
    )
    ask = load(datetime(2026, 1, 8, tzinfo=UTC))
    shared = ask(latest)
    assert shared == [
        (date(2024, 1, 3), Decimal(1), 500, 1),
        (date(2024, 1, 20), Decimal(1), 500, 1),
        (date(2024, 2, 10), Decimal(2), 1000, 1),
        (date(2024, 4, 5), Decimal(3), None, 1),
    ]
    # reading everything from the beginning says the same
    ask("DELETE FROM raw_meta.watermarks")
    ask("DELETE FROM raw_billing.usage_days")
    assert load(datetime(2026, 1, 9, tzinfo=UTC))(latest) == shared


def test_a_discount_runs_where_versions_name_it_and_a_fixed_amount_of_a_document_is_shared(store, load):
    open_shop(store)
    moment = at("2024-01-01")
    store.insert(
        tables.discounts,
        [
            {"discount_id": "ten", "name": "10 %", "scope": "item", "discount_ppm": 100000,
             "amount_minor": None, "currency": None, "times": None, "valid_start": date(2023, 1, 1)},
            {"discount_id": "doc", "name": "1.00", "scope": "document", "discount_ppm": None,
             "amount_minor": 100, "currency": "EUR", "times": 2, "valid_start": date(2023, 1, 1)},
        ],
        moment,
    )  # fmt: skip
    subscriptions.subscribe(
        store,
        START,
        customer_id="c1",
        plan_id="team",
        quantity=2,
        subscription_id="s1",
        discount_ids=["doc", "ten"],
    )
    subscriptions.subscribe(
        store, START, customer_id="c1", plan_id="team", quantity=1, subscription_id="s2", discount_ids=["doc"]
    )
    ask = load()
    rows = ask(
        "SELECT discount_id, subscription_id, percent_ppm, discounts.amount_minor, duration, "
        "discounts.valid_from, discounts.valid_to, order_no FROM raw_billing.discounts "
        "JOIN raw_billing.subscription_versions USING (subscription_item_id) ORDER BY 1, 2"
    )
    first_day = date(2024, 1, 1)
    # recurring amounts 24.69 and 12.35 of 37.04: 0.6666 and 0.3334 of 100, so 67 and 33.
    assert rows == [
        ("doc", "s1", None, 67, "repeating", first_day, date(2024, 7, 1), 2),
        ("doc", "s2", None, 33, "repeating", first_day, date(2024, 7, 1), 1),
        ("ten", "s1", 100000, None, "forever", first_day, None, 1),
    ]


def test_a_discount_that_a_payer_was_given_runs_on_all_it_pays_for_in_that_time(store, load):
    open_shop(store)
    for name, value in (("share", {"discount_ppm": 50_000, "times": 2}), ("fixed", {"amount": "1.00"})):
        currency = {"currency": "EUR"} if "amount" in value else {}
        discounts.create_discount(
            store, START, discount_id=name, name=name, scope="document", **value, **currency
        )
    customers.create_customer(
        store,
        START,
        customer_id="site",
        name="Site",
        entity_id="de",
        currency="EUR",
        country="DE",
        parent_id="c1",
        bill_to_id="c1",
    )
    subscriptions.subscribe(store, START, customer_id="c1", plan_id="team", quantity=2, subscription_id="s1")
    subscriptions.subscribe(
        store, START, customer_id="site", plan_id="team", quantity=1, subscription_id="s2"
    )
    given = {"customer_id": "c1", "valid_start": date(2024, 2, 1)}
    discounts.give_discount(store, START, discount_id="share", **given)
    discounts.give_discount(store, START, discount_id="fixed", valid_end=date(2024, 8, 1), **given)
    again = {"customer_id": "c1", "discount_id": "fixed", "valid_start": date(2025, 1, 1)}
    discounts.give_discount(store, START, **again)
    ask = load()
    rows = ask(
        "SELECT discount_id, subscription_id, percent_ppm, discounts.amount_minor, "
        "discounts.valid_from, discounts.valid_to, order_no FROM raw_billing.discounts "
        "JOIN raw_billing.subscription_versions USING (subscription_item_id) ORDER BY 1, 2"
    )
    first, end = date(2024, 2, 1), date(2024, 8, 1)
    # The plan runs by quarters, so two uses are six months; 1.00 is shared by 24.69 and 12.35.
    assert rows == [
        ("fixed", "s1", None, 67, first, end, 2),
        ("fixed", "s2", None, 33, first, end, 2),
        ("fixed 2025-01-01", "s1", None, 67, date(2025, 1, 1), None, 3),
        ("fixed 2025-01-01", "s2", None, 33, date(2025, 1, 1), None, 3),
        ("share", "s1", 50_000, None, first, end, 1),
        ("share", "s2", 50_000, None, first, end, 1),
    ]


def counts(ask) -> dict[str, int]:
    tables_there = ask(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'raw_billing' ORDER BY 1"
    )
    return {name: ask(f"SELECT count(*) FROM raw_billing.{name}")[0][0] for (name,) in tables_there}


def test_a_second_load_adds_nothing_and_a_later_one_adds_what_changed(store, load):
    open_shop(store)
    item = subscribe(store)
    write_documents(store, item)
    before = counts(load())
    assert before["invoice_lines"] == 3
    ask = load(datetime(2026, 1, 2, tzinfo=UTC))
    assert counts(ask) == before
    subscriptions.cancel(
        store, at("2024-05-05"), subscription_id="s1", when=date(2024, 7, 1), reason="unused"
    )
    ask = load(datetime(2026, 1, 3, tzinfo=UTC))
    after = counts(ask)
    assert {name for name in after if after[name] != before[name]} == {"subscription_versions"}
    assert ask(LATEST.format("valid_to, end_cause")) == [(date(2024, 7, 1), "voluntary")]


def test_a_transaction_that_commits_late_is_not_missed(store, load):
    open_shop(store)
    subscribe(store)
    load()
    late = START - timedelta(minutes=10)
    customers.create_customer(
        store, late, customer_id="late", name="Late", entity_id="de", currency="EUR", country="DE"
    )
    ask = load(datetime(2026, 1, 2, tzinfo=UTC))
    assert ask("SELECT count(*) FROM raw_billing.customers WHERE customer_id = 'late'") == [(1,)]


def test_an_incremental_load_knows_what_a_full_one_knows(store, load, stage_at, database_url):
    open_shop(store)
    item = subscribe(store, trial_days=14)
    load()
    subscriptions.change_quantity(store, at("2024-02-10"), subscription_id="s1", quantity=12, when="now")
    load(datetime(2026, 1, 2, tzinfo=UTC))
    write_documents(store, item)
    subscriptions.cancel(
        store, at("2024-05-05"), subscription_id="s1", when=date(2024, 7, 1), reason="unused"
    )
    ask = load(datetime(2026, 1, 3, tzinfo=UTC))
    columns = "version_no, quantity, status, valid_from, valid_to, end_cause, is_deleted, recorded_at"
    query = f"SELECT {columns} FROM raw_billing.subscription_versions ORDER BY ALL"
    step_by_step = ask(query)
    ask("DELETE FROM raw_meta.watermarks")
    ask("DELETE FROM raw_billing.subscription_versions")
    assert load(datetime(2026, 1, 4, tzinfo=UTC))(query) == step_by_step


def test_a_database_that_is_not_there_or_not_migrated_is_a_clear_error(stage_at, tmp_path):
    stage = stage_at()
    config = SourceConfig("billing", "billing", f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(SourceError, match=r"none\.db is not there"):
        billing.load(stage, config)
    import sqlite3

    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE customers (customer_id TEXT)")
    with pytest.raises(SourceError, match="tajdid billing migrate"), stage.transaction():
        billing.load(stage, SourceConfig("billing", "billing", f"sqlite:///{tmp_path / 'old.db'}"))
    with pytest.raises(SourceError, match="no database we read"):
        billing.load(stage, SourceConfig("billing", "billing", "mysql://somewhere/x"))
