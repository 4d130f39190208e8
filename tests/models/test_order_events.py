"""`tajdid churn evaluate` for an order history: the warehouse's own features, judged in time, twice alike."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from order_models import Warehouse, ancestors, order_models
from threadpoolctl import threadpool_limits

from churn_model.description import Description
from churn_model.evaluate import evaluate_file
from churn_model.events import evaluate_events, form_of
from churn_model.model import sigmoid
from churn_model.result import Result
from pipelines.compiled import Model
from pipelines.order_snapshots import order_snapshots

FIRST, LAST = date(2024, 9, 1), date(2025, 9, 30)
TEST_DATE = date(2025, 8, 1)
COLUMNS = {"customer_id": "Customer", "invoice_ts": "Ordered at", "amount": "Amount", "sku": "Article"}
DESCRIPTION = """
kind = "events"
file = "events.parquet"
[columns]
customer_id = "Customer"
invoice_ts = "Ordered at"
amount = "Amount"
sku = "Article"
[protocol]
horizon_days = 30
active_days = 90
first_snapshot = 2025-03-01
test_dates = [{test_date}]
min_events = {min_events}
"""


def events(seed: int = 6, customers: int = 220) -> pl.DataFrame:
    """Customers with rhythms of their own, some of whom stop; a return now and then."""
    chance = random.Random(seed)
    rows = []
    for number in range(customers):
        rhythm, stops = chance.choice([6, 12, 25, 50]), chance.choice([0.0, 0.03, 0.1])
        day = FIRST + timedelta(days=chance.randrange(250))
        while day <= LAST:
            rows.append((f"c{number}", day, chance.randrange(100, 90_000) / 100, f"a{chance.randrange(30)}"))
            if chance.random() < 0.1:
                rows.append((f"c{number}", day, -chance.randrange(100, 9_000) / 100, "a1"))
            if chance.random() < stops:
                break
            day += timedelta(days=1 + int(chance.expovariate(1 / rhythm)))
    return pl.DataFrame(rows, schema=["Customer", "Ordered at", "Amount", "Article"], orient="row")


def compiled() -> tuple[Model, ...]:
    """The order models of the tests in the form of the product."""
    models = order_models()
    wanted = ancestors(models, "fct_customer_snapshots")
    return tuple(
        Model(one.name, f"warehouse.{one.schema}.{one.name}", one.is_view, one.sql, one.reads)
        for one in models.values()
        if one.name in wanted
    )


def judge(description: Description, say: Callable[[str], None]) -> Result:
    make = partial(order_snapshots, models=compiled())
    return evaluate_events(description, make_snapshots=make, progress=say)


@dataclass(frozen=True)
class Run:
    code: int
    said: list[str]
    out: Path

    @property
    def metrics(self) -> dict[str, object]:
        content = json.loads((self.out / "metrics.json").read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        return content

    @property
    def predictions(self) -> pl.DataFrame:
        return pl.read_parquet(self.out / "predictions.parquet").sort("customer_id")


def run(folder: Path, frame: pl.DataFrame, **given: object) -> Run:
    folder.mkdir(exist_ok=True)
    frame.write_parquet(folder / "events.parquet")
    text = DESCRIPTION.format_map({"test_date": TEST_DATE, "min_events": 60} | given)
    (folder / "events.toml").write_text(text, encoding="utf-8")
    said: list[str] = []
    with threadpool_limits(limits=1):
        code = evaluate_file(folder / "events.toml", folder / "out", said.append, judge)
    return Run(code, said, folder / "out")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("first"), events())


def test_features_are_those_of_the_warehouse() -> None:
    frame = events(customers=40)
    made = order_snapshots(
        form_of(frame, COLUMNS),
        {},
        models=compiled(),
        horizon_days=30,
        active_days=90,
        first_snapshot=date(2025, 3, 1),
    )
    shop = Warehouse()
    for number, (customer, day, amount, sku) in enumerate(frame.iter_rows()):
        shop.order(str(number), customer, day, [(sku, 1, round(amount * 100))], country="unknown")
    shop.connection.execute(
        "INSERT INTO raw_meta.order_snapshots VALUES (30, 90, DATE '2025-03-01', NULL, [])"
    )
    shop.build(LAST, "fct_customer_snapshots")
    expected = shop.frame("FROM marts.fct_customer_snapshots ORDER BY as_of, customer_id")
    assert made.last_on == LAST
    assert made.frame.drop("currency").equals(expected.drop("currency"))
    assert expected.height > 100


def test_each_customer_at_risk_is_predicted_once_with_the_label_of_what_happened(first: Run) -> None:
    assert first.code == 0, first.said
    orders = events().filter(pl.col("Amount") >= 0)
    before = orders.filter(
        pl.col("Ordered at").is_between(TEST_DATE - timedelta(days=90), TEST_DATE - timedelta(days=1))
    )
    after = orders.filter(pl.col("Ordered at").is_between(TEST_DATE, TEST_DATE + timedelta(days=29)))
    expected = {name: name not in set(after["Customer"]) for name in before["Customer"].unique()}
    assert dict(first.predictions.select("customer_id", "left").iter_rows()) == expected
    assert first.predictions["customer_id"].is_unique().all()


def test_contributions_of_the_champion_sum_to_its_logit(first: Run) -> None:
    rows = first.predictions
    parts = rows.select(pl.sum_horizontal(pl.col("^contribution_.*$"))).to_series()
    logit = (rows["base_logit"] + rows["season_offset"] + parts).to_numpy()
    assert sigmoid(logit) == pytest.approx(rows["p"].to_numpy(), abs=1e-9)
    champion = str(first.metrics["champion"])
    assert np.array_equal(rows["p"].to_numpy(), rows[f"p_{champion}"].to_numpy())


def test_what_was_done_is_told(first: Run) -> None:
    data, protocol = first.metrics["data"], first.metrics["protocol"]
    assert isinstance(data, dict)
    assert isinstance(protocol, dict)
    assert (data["rows_read"], data["rows_set_aside"]) == (events().height, 0)
    assert (protocol["season"], protocol["test_dates"]) == (False, [str(TEST_DATE)])
    assert first.metrics["features_left_out"] == []
    assert first.metrics["leak_alarms"] == []
    page = (first.out / "report.html").read_text(encoding="utf-8")
    assert "الصفوف المقروءة" in page


def test_the_same_events_give_the_same_bytes_in_any_order(first: Run, tmp_path: Path) -> None:
    again = run(tmp_path, events().sample(fraction=1.0, shuffle=True, seed=1))
    for name in ("metrics.json", "predictions.parquet"):
        assert (again.out / name).read_bytes() == (first.out / name).read_bytes()


def test_other_orders_after_the_test_date_change_labels_and_no_probability(
    first: Run, tmp_path: Path
) -> None:
    is_later = pl.col("Ordered at") >= TEST_DATE
    others = events(seed=7).filter(is_later)
    changed = run(tmp_path, pl.concat([events().filter(~is_later), others]))
    names = [name for name in first.predictions.columns if name != "left"]
    assert changed.predictions.select(names).equals(first.predictions.select(names))
    assert not changed.predictions["left"].equals(first.predictions["left"])


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"min_events": 5000}, 4, "training needs 5000"),
        ({"test_date": "2025-09-15"}, 2, "The last test date possible is 2025-09-01"),
        ({"test_date": "2025-01-15"}, 2, "no customer is at risk then"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_sentence(
    tmp_path: Path, given: dict[str, object], code: int, words: str
) -> None:
    refused = run(tmp_path, events(), **given)
    assert refused.code == code
    assert words in refused.said[-1]
    assert not refused.out.exists()


def test_rows_that_cannot_be_used_are_set_aside_and_counted() -> None:
    frame = events().head(300).with_columns(pl.col("Ordered at").cast(pl.String))
    broken = frame.with_columns(
        pl.when(pl.row_index() == 0).then(pl.lit("soon")).otherwise("Ordered at").alias("Ordered at"),
        pl.when(pl.row_index() == 1).then(None).otherwise("Customer").alias("Customer"),
    )
    made = order_snapshots(form_of(broken, COLUMNS), {}, horizon_days=30, active_days=90, models=compiled())
    assert made.rejects == {"bad_date ordered_at": 1, "missing_key customer_id": 1}
    assert (made.rows_read, made.rows_rejected) == (300, 2)
