"""The pure part of the simulator: who the customers are, what befalls them, what their CRM says."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from billing.simulator import crm
from billing.simulator.causes import (
    Cause,
    combined,
    hazards,
    notice_on,
    payment_failure,
    term_ends,
    ticket_factors,
    usage_levels,
)
from billing.simulator.foresight import risk
from billing.simulator.life import Life, is_served, live
from billing.simulator.names import company_name
from billing.simulator.observer import Signs, chances_in, p_90_shown, record_of, signs_of
from billing.simulator.population import ACT_DAYS, ANCHOR_DAYS, Calendar, Customer, populate
from billing.simulator.settlement import Owed, Payment, payments_of
from billing.simulator.truth import truth
from billing.simulator.usage import draw_counts

CALENDAR = Calendar(date(2023, 1, 1), date(2025, 12, 31))
SEED = 11


@pytest.fixture(scope="module")
def customers() -> list[Customer]:
    return populate(SEED, 1_500, CALENDAR)


@pytest.fixture(scope="module")
def lives(customers: list[Customer]) -> list[Life]:
    return [live(SEED, customer, CALENDAR) for customer in customers]


@pytest.fixture(scope="module")
def signs(customers: list[Customer], lives: list[Life]) -> Signs:
    return signs_of(SEED, customers, lives, CALENDAR, draw_counts(SEED, customers, lives, CALENDAR))


@pytest.fixture(scope="module")
def true_rows(customers: list[Customer], lives: list[Life], signs: Signs) -> pl.DataFrame:
    return truth(customers, lives, CALENDAR, signs)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([0.0, 0.0], 0.0),
        ([0.004, 0.0], 0.004),
        ([0.004, 0.12], 0.12352),  # 1 - 0.996 x 0.88
        ([0.02, 0.10, 0.06, 0.015], 0.1833562),  # 1 - 0.98 x 0.90 x 0.94 x 0.985
        ([0.004, 1.0], 1.0),
    ],
)
def test_the_hazards_of_causes_combine_as_independent_chances(parts: list[float], whole: float) -> None:
    assert combined(np.array(parts)) == pytest.approx(whole, abs=1e-12)


def test_a_customer_more_changes_nobody_else() -> None:
    few, many = populate(SEED, 60, CALENDAR), populate(SEED, 61, CALENDAR)
    assert few == many[:60]
    for one, other in zip(few, many, strict=False):
        assert live(SEED, one, CALENDAR).acts == live(SEED, other, CALENDAR).acts


def test_another_seed_is_another_world() -> None:
    assert populate(SEED, 20, CALENDAR) != populate(SEED + 1, 20, CALENDAR)


def test_the_shares_of_causes_are_those_of_the_table(customers: list[Customer]) -> None:
    count = len(customers)
    shares = {
        "term": sum(one.has_term for one in customers) / count,
        "noise": sum(one.causes.is_noise for one in customers) / count,
        "payment": sum(one.causes.payment_from is not None for one in customers) / count,
        "usage": sum(one.causes.decay_from is not None for one in customers) / count,
        "support": sum(one.causes.support_from is not None for one in customers) / count,
    }
    expected = {"term": 0.60, "noise": 0.05, "payment": 0.10, "usage": 0.15, "support": 0.08}
    for cause, share in expected.items():
        spread = 4 * (share * (1 - share) / count) ** 0.5
        assert shares[cause] == pytest.approx(share, abs=spread), cause


def test_customers_stand_in_trees_of_one_to_forty_that_are_there_before_their_sites(
    customers: list[Customer],
) -> None:
    for one in customers:
        above = one if one.parent is None else customers[one.parent]
        assert above.dealings.head == one.dealings.head
        assert above.number <= one.number
        assert (above.starts_on, above.number) <= (one.starts_on, one.number)
        assert (one.parent is None) == (one.dealings.head == one.number)
    sizes = Counter(one.dealings.head for one in customers)
    assert max(sizes.values()) == 40
    assert len({size for size in sizes.values() if size > 1}) > 1, "trees differ in size"
    deep = [one for one in customers if one.parent not in (None, one.dealings.head)]
    assert deep, "some sites stand below a site"
    sites = sum(one.is_site for one in customers) / len(customers)
    assert 0.10 < sites < 0.45


def test_who_pays_by_transfer_has_no_failing_card_and_heads_always_pay_so(
    customers: list[Customer], lives: list[Life]
) -> None:
    payers = [one for one in customers if one.dealings.pays_by_transfer]
    assert all(one.dealings.pays_by_transfer for one in customers if one.number % 40 == 0)
    assert not any(one.is_site for one in payers)
    assert 0.08 < len(payers) / len(customers) < 0.25
    for one, life in zip(customers, lives, strict=True):
        if not one.is_charged:
            assert one.causes.payment_from is None
            assert not life.declines
            assert not any(act.kind == "method" for act in life.acts)


def test_transfers_come_for_the_whole_invoice_or_in_two_parts_or_a_little_too_much(
    customers: list[Customer], lives: list[Life]
) -> None:
    issued_on, due_on, total = date(2024, 5, 5), date(2024, 6, 4), 123_456
    delays: list[int] = []
    kinds: Counter[str] = Counter()
    for one, life in zip(customers, lives, strict=True):
        if not (one.dealings.pays_by_transfer and is_served(life, issued_on)):
            continue
        sent = payments_of(SEED, one, life, CALENDAR, Owed("inv", issued_on, due_on, total))
        delays.append((sent[0].on - due_on).days)
        amounts = [payment.amount_minor for payment in sent]
        kinds["parts" if len(sent) == 2 else "whole" if amounts == [total] else "too much"] += 1
        assert sum(amounts) in (total, 130_000)
        early = Owed("inv", issued_on, due_on, total, 20_000, issued_on + timedelta(days=10))
        (first, *_) = payments_of(SEED, one, life, CALENDAR, early)
        if one.dealings.pays_early:
            # 2 % of 1,234.56 are 24.69.
            assert first == Payment(issued_on + timedelta(days=8), one, "inv", 120_987)
    assert min(delays) >= -3
    assert max(delays) <= 19
    assert 0.5 < sum(delay <= 0 for delay in delays) / len(delays) < 0.75
    assert kinds["whole"] > kinds["parts"] > 0
    assert kinds["too much"] > 0


def test_some_who_left_never_pay_what_they_owe(customers: list[Customer], lives: list[Life]) -> None:
    answers = [
        payments_of(SEED, one, life, CALENDAR, Owed("inv", life.left_on[-1], life.left_on[-1], 1_000))
        for one, life in zip(customers, lives, strict=True)
        if life.left_on and one.dealings.pays_by_transfer
    ]
    never = sum(not sent for sent in answers) / len(answers)
    assert 0.1 < never < 0.5


def test_monthly_hazards_are_those_of_the_table(customers: list[Customer]) -> None:
    for customer in customers[:400]:
        table = hazards(customer, CALENDAR)
        base = (0.0, 0.02) if customer.causes.is_noise else (0.004, 0.0)
        assert set(table[:, Cause.BASE]) == {base[0]}
        assert set(table[:, Cause.NOISE]) == {base[1]}
        term_months = {CALENDAR.number(end) for end in term_ends(customer, CALENDAR)}
        assert set(np.flatnonzero(table[:, Cause.TERM] == 0.12)) == term_months
        assert (table[:, Cause.TERM] > 0).sum() == len(term_months)
        assert (table[:, Cause.PAYMENT] > 0).sum() <= 1
        assert (table[:, Cause.SUPPORT] == 0.06).sum() <= 3
        if customer.has_term:
            held = table[:, [Cause.USAGE, Cause.SUPPORT, Cause.PRICE]]
            assert not held.any(), "a term holds against everything but base, noise, its end and payments"


def test_a_price_rise_adds_half_a_percent_a_month_per_percent_for_three_months(
    customers: list[Customer],
) -> None:
    customer = next(one for one in customers if not one.has_term and one.start_month == 0)
    column = hazards(customer, CALENDAR)[:36, Cause.PRICE]
    # Index dates: April 2023 (month 3) 4 %, April 2024 (15) 3 %, April 2025 (27) 3.5 %.
    expected = {
        4: 0.020,
        5: 0.020,
        6: 0.020,
        16: 0.015,
        17: 0.015,
        18: 0.015,
        28: 0.0175,
        29: 0.0175,
        30: 0.0175,
    }
    assert {int(month): column[month] for month in np.flatnonzero(column)} == pytest.approx(expected)


def test_usage_shrinks_for_four_to_six_months_before_its_hazard_begins(customers: list[Customer]) -> None:
    decaying = [one for one in customers if one.causes.decay_from is not None]
    assert decaying
    for customer in decaying:
        first = customer.causes.decay_from
        assert first is not None
        levels = usage_levels(customer, CALENDAR)
        table = hazards(customer, CALENDAR)[:, Cause.USAGE]
        assert 4 <= customer.causes.decay_months <= 6
        assert not table[: first + customer.causes.decay_months].any()
        for month in range(first, min(first + customer.causes.decay_months, CALENDAR.months)):
            assert levels[month] == pytest.approx(levels[month - 1] * 0.85)
        assert set(levels[:first]) == {customer.refills}


def test_tickets_are_fourfold_for_two_months_before_support_ends_anyone(customers: list[Customer]) -> None:
    hurt = [one for one in customers if one.causes.support_from is not None]
    assert hurt
    for customer in hurt:
        table = hazards(customer, CALENDAR)[:, Cause.SUPPORT]
        factors = ticket_factors(customer, CALENDAR)
        for month in np.flatnonzero(table[: CALENDAR.months]):
            assert 4.0 in factors[max(0, month - 4) : month]
            assert factors[month] == 1.0


def test_a_notice_comes_at_least_sixty_days_before_the_term_ends() -> None:
    for month in range(3, 39):
        for day in ANCHOR_DAYS:
            end = CALENDAR.day(month, day)
            given_on = notice_on(end)
            assert 60 <= (end - given_on).days < 70
            assert given_on.day in ACT_DAYS


def test_who_does_not_renew_says_so_on_the_notice_day_for_the_end_of_the_term(
    customers: list[Customer], lives: list[Life]
) -> None:
    leavers = 0
    for customer, life in zip(customers, lives, strict=True):
        for month, cause in life.ended.items():
            if cause is not Cause.TERM:
                continue
            leavers += 1
            (notice,) = (act for act in life.acts if act.kind == "notice")
            assert notice.effective_on in term_ends(customer, CALENDAR)
            assert notice.effective_on == CALENDAR.day(month, customer.anchor_day)
            assert notice.on == notice_on(notice.effective_on)
    assert leavers > 50


def test_declines_come_two_months_before_a_failure_to_pay_and_grow_longer(
    customers: list[Customer], lives: list[Life]
) -> None:
    failed = 0
    for customer, life in zip(customers, lives, strict=True):
        if Cause.PAYMENT not in life.ended.values():
            continue
        failed += 1
        failure = payment_failure(customer, CALENDAR)
        assert failure is not None
        month = CALENDAR.number(failure[0])
        lengths = {
            decline.from_on: (decline.until_on - decline.from_on).days
            for decline in life.declines
            if decline.from_on <= failure[0]
        }
        before_last = CALENDAR.day(month - 2, customer.anchor_day)
        last = CALENDAR.day(month - 1, customer.anchor_day)
        assert (lengths[before_last], lengths[last]) == (2, 7)
        assert lengths[failure[0]] > 365
        assert life.served[-1][1] == failure[0] + timedelta(days=21)
    assert failed > 40


def test_each_cause_ends_customers_as_often_as_its_hazard_says(true_rows: pl.DataFrame) -> None:
    at_risk = true_rows.filter("is_at_risk", pl.col("h_payment") == 0)
    for cause in ("base", "noise", "usage", "support", "price"):
        drawn = at_risk.filter(pl.col(f"h_{cause}") > 0)
        # A month with two causes may be booked on the other one, so this is the chance that any fires.
        hazard = 1 - (1 - drawn["hazard"]) / (1 - drawn["h_term"])
        ended = (drawn["is_ended"] & (drawn["cause"] != "term")).sum()
        spread = 4 * float((hazard * (1 - hazard)).sum()) ** 0.5
        assert ended == pytest.approx(hazard.sum(), abs=spread), cause


def test_twelve_percent_of_term_ends_are_not_renewed(lives: list[Life]) -> None:
    lost = sum(cause is Cause.TERM for life in lives for cause in life.ended.values())
    kept = sum(end <= CALENDAR.last_day for life in lives for end in life.renewed)
    share = lost / (lost + kept)
    assert share == pytest.approx(0.12, abs=4 * (0.12 * 0.88 / (lost + kept)) ** 0.5)


def test_truth_has_a_row_per_customer_and_month_and_only_customer_id_as_a_key(
    customers: list[Customer], true_rows: pl.DataFrame
) -> None:
    assert not true_rows.select("customer_id", "month").is_duplicated().any()
    assert [name for name in true_rows.columns if name.endswith("_id")] == ["customer_id"]
    assert true_rows.height == sum(35 - one.start_month for one in customers)
    causes = [f"h_{cause.word}" for cause in Cause]
    product = pl.lit(1.0)
    for name in causes:
        product = product * (1 - pl.col(name))
    wrong = true_rows.filter((pl.col("hazard") - (1 - product)).abs() > 1e-12)
    assert wrong.is_empty()
    assert true_rows.filter(pl.col("is_ended") != pl.col("cause").is_not_null()).is_empty()


def left_within_90(
    customers: list[Customer], lives: list[Life], rows: pl.DataFrame, *, until: date
) -> pl.DataFrame:
    """The rows at risk whose 90 days are over by a day, with `left`: an end from the month's first day on."""
    ends = pl.DataFrame(
        [(one.customer_id, on) for one, life in zip(customers, lives, strict=True) for on in life.left_on],
        schema={"customer_id": pl.String, "on": pl.Date},
        orient="row",
    )
    eve = pl.col("month") - pl.duration(days=1)
    over = rows.filter("is_at_risk", eve + pl.duration(days=90) <= until)
    left = (
        over.join(ends, on="customer_id")
        .filter(pl.col("on") > eve, pl.col("on") <= eve + pl.duration(days=90))
        .select("customer_id", "month", left=pl.lit(1.0))
        .unique()
    )
    return over.join(left, on=["customer_id", "month"], how="left").with_columns(
        pl.col("left").fill_null(0.0)
    )


def test_the_true_probabilities_are_those_that_came_true(
    customers: list[Customer], lives: list[Life], true_rows: pl.DataFrame
) -> None:
    rows = left_within_90(customers, lives, true_rows, until=CALENDAR.last_day)
    assert rows.select("p_90", "p_payment_90", "p_90_shown").null_count().sum_horizontal().item() == 0
    # of one draw each quarter, so that no end counts twice
    quarterly = rows.filter(pl.col("month").dt.month() % 3 == 1)
    for name in ("p_90", "p_90_shown"):
        for low, high in ((0.0, 0.02), (0.02, 0.05), (0.05, 0.2), (0.2, 0.6), (0.6, 1.01)):
            part = quarterly.filter(pl.col(name) >= low, pl.col(name) < high)
            expected = part[name].sum()
            spread = 4 * float((part[name] * (1 - part[name])).sum()) ** 0.5
            assert part["left"].sum() == pytest.approx(expected, abs=spread + 1e-9), (name, low)
    # who knows what nobody can see is nearer the outcomes than who sees all that shows
    missed = {name: float(((rows[name] - rows["left"]) ** 2).mean()) for name in ("p_90", "p_90_shown")}
    assert missed["p_90"] < missed["p_90_shown"] < float(rows["left"].var())


def test_a_true_probability_knows_nothing_that_begins_after_its_day(
    customers: list[Customer], lives: list[Life]
) -> None:
    for customer, life in zip(customers[:300], lives[:300], strict=True):
        begins = [
            one for one in (customer.causes.support_from, customer.causes.payment_from) if one is not None
        ]
        for month in range(customer.start_month + 1, min([*begins, CALENDAR.months])):
            if month in life.at_risk and not life.left_on:
                alike = replace(
                    customer, causes=replace(customer.causes, support_from=None, payment_from=None)
                )
                table = hazards(alike, CALENDAR)
                table[:, Cause.PRICE] = life.hazards[:, Cause.PRICE]
                other = replace(life, hazards=table)
                assert risk(customer, life, CALENDAR, month) == risk(alike, other, CALENDAR, month)


def test_a_failed_charge_is_certain_to_end_its_customer(
    customers: list[Customer], lives: list[Life], signs: Signs
) -> None:
    checked, chances = 0, chances_in(CALENDAR)
    for customer, life in zip(customers, lives, strict=True):
        failure = payment_failure(customer, CALENDAR)
        if Cause.PAYMENT not in life.ended.values() or failure is None:
            continue
        month = CALENDAR.number(failure[0])
        after_first, after_second = (risk(customer, life, CALENDAR, month - ahead) for ahead in (1, 0))
        record = record_of(customer, life, CALENDAR, signs, customer.number, chances)
        assert after_first.p_90 > 0.95
        assert p_90_shown(record, month - 1) < after_first.p_90 - 0.2
        assert after_second.p_90 == pytest.approx(1.0)
        checked += 1
    assert checked > 30


def test_nobody_acts_after_leaving_or_before_coming(customers: list[Customer], lives: list[Life]) -> None:
    for customer, life in zip(customers, lives, strict=True):
        assert life.acts[0].kind == "subscribe"
        assert life.acts[0].on == customer.starts_on
        for act in life.acts:
            if act.kind in ("quantity", "plan", "add_on", "price", "pause", "notice", "cancel", "method"):
                assert is_served(life, act.on), (act, life.served)
        for (_, end), (start, _) in zip(life.served, life.served[1:], strict=False):
            assert end is not None
            assert end < start


def test_every_kind_of_act_happens(lives: list[Life]) -> None:
    kinds = Counter(act.kind for life in lives for act in life.acts)
    assert set(kinds) == {
        "subscribe",
        "quantity",
        "plan",
        "add_on",
        "price",
        "method",
        "pause",
        "resume",
        "notice",
        "cancel",
        "reactivate",
    }


def test_the_number_of_customers_grows_by_about_eight_percent_a_year(lives: list[Life]) -> None:
    first = sum(is_served(life, date(2023, 1, 27)) for life in lives)
    last = sum(is_served(life, date(2025, 12, 31)) for life in lives)
    assert (last / first) ** (1 / 3) == pytest.approx(1.08, abs=0.03)


def test_names_are_written_in_both_scripts_and_unique_in_a_country(customers: list[Customer]) -> None:
    pairs = [(one.country, one.name) for one in customers]
    assert len(set(pairs)) == len(pairs)
    arabic = [one.name for one in customers if any("؀" <= letter <= "ۿ" for letter in one.name)]
    assert 0.08 < len(arabic) / len(customers) < 0.20
    assert company_name("DE", 1) != company_name("DE", 2)


def test_the_crm_export_is_the_same_each_time(
    customers: list[Customer], lives: list[Life], tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        crm.export(SEED, customers[:80], lives[:80], CALENDAR, tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "accounts.csv",
        "activities.csv",
        "contacts.csv",
        "gross_margins.csv",
        "nps.csv",
        "sales_marketing_costs.csv",
        "tickets.csv",
    ]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.fixture(scope="module")
def exported(
    customers: list[Customer], lives: list[Life], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("crm")
    crm.export(SEED, customers, lives, CALENDAR, folder)
    return {path.stem: pl.read_csv(path, try_parse_dates=True) for path in folder.iterdir()}


def test_the_crm_export_has_the_columns_of_the_raw_tables(exported: dict[str, pl.DataFrame]) -> None:
    schema = (Path(__file__).parents[3] / "pipelines" / "raw_schema.sql").read_text(encoding="utf-8")
    for name, frame in exported.items():
        body = schema.split(f"raw_crm.{name} (")[1].split("recorded_at")[0]
        columns = [part.split()[0] for part in body.split(",") if part.strip()]
        assert frame.columns == columns


def test_no_row_of_the_crm_lies_after_the_last_day(exported: dict[str, pl.DataFrame]) -> None:
    for frame in exported.values():
        for column in frame.columns:
            if frame.schema[column] in (pl.Date, pl.Datetime("us", "UTC")) and column != "valid_to":
                latest = frame[column].cast(pl.Date).max()
                assert latest is None or latest <= CALENDAR.last_day, column  # type: ignore[operator]


def test_account_rows_of_a_customer_follow_one_another(exported: dict[str, pl.DataFrame]) -> None:
    accounts = exported["accounts"].sort("account_id", "valid_from")
    following = accounts.with_columns(
        pl.col("valid_from").shift(-1).over("account_id").alias("next_from")
    ).filter(pl.col("next_from").is_not_null())
    assert following.filter(pl.col("valid_to") != pl.col("next_from")).is_empty()
    assert accounts.filter(
        pl.col("valid_to").is_not_null() & (pl.col("valid_to") <= pl.col("valid_from"))
    ).is_empty()
    open_rows = accounts.filter(pl.col("valid_to").is_null())
    assert open_rows.height == accounts["account_id"].n_unique()


def test_pain_shows_in_tickets_before_it_ends_anyone(
    customers: list[Customer], exported: dict[str, pl.DataFrame]
) -> None:
    by_month = exported["tickets"].with_columns(
        pl.col("opened_at").dt.truncate("1mo").cast(pl.Date).alias("month")
    )
    counts = Counter(zip(by_month["customer_id"], by_month["month"], strict=True))
    painful = [
        (one.customer_id, CALENDAR.day(month))
        for one in customers
        if one.causes.support_from is not None
        for month in range(one.causes.support_from, min(one.causes.support_from + 2, 36))
    ]
    in_pain = sum(counts[key] for key in painful) / len(painful)
    usual = by_month.height / sum(36 - one.start_month for one in customers)
    assert in_pain > 2 * usual


def test_signs_of_pain_are_those_of_the_export(
    customers: list[Customer], signs: Signs, exported: dict[str, pl.DataFrame]
) -> None:
    complaints = exported["activities"].filter(pl.col("kind") == "delivery_complaint")
    for table, key, day, seen in (
        (exported["tickets"], pl.col("customer_id"), "opened_at", signs.tickets),
        (complaints, pl.col("account_id").str.replace("acc", "cus"), "happened_at", signs.complaints),
    ):
        counts = Counter(table.select(key, pl.col(day).dt.truncate("1mo").dt.date()).iter_rows())
        assert {
            (one.customer_id, CALENDAR.day(month)): int(seen[one.number, month])
            for one in customers
            for month in np.flatnonzero(seen[one.number])
        } == dict(counts)


def test_nps_says_nothing_about_who_leaves(
    lives: list[Life], customers: list[Customer], exported: dict[str, pl.DataFrame]
) -> None:
    left = {one.customer_id for one, life in zip(customers, lives, strict=True) if life.ended}
    scores = exported["nps"].with_columns(pl.col("customer_id").is_in(list(left)).alias("has_left"))
    groups = scores.group_by("has_left").agg(
        pl.col("score").mean(), pl.col("score").var().alias("variance"), pl.len().alias("count")
    )
    means = dict(zip(groups["has_left"], groups["score"], strict=True))
    error = float((groups["variance"] / groups["count"]).sum()) ** 0.5
    assert abs(means[True] - means[False]) < 3.5 * error
    assert groups["count"].min() > 100  # type: ignore[operator]
