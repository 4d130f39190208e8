"""A reader is told once which figures of closed months changed since the last visit, by how much and why."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import tiny_world
from reader import Open, html
from streamlit.testing.v1 import AppTest

from dashboard.records import visits
from dashboard.records.database import Records

SEEN_AT = datetime(2025, 3, 20, 4, 30, tzinfo=UTC)
LATER = datetime(2025, 4, 1, 4, 30, tzinfo=UTC)
FEBRUARY = date(2025, 2, 1)


def printed(build_id: str, at: datetime, numerator: int | None, **more: object) -> dict[str, object]:
    amount = None if numerator is None else Decimal(numerator)
    return {
        "build_id": build_id,
        "printed_at": at,
        "definition_version": "1",
        "policy_hash": "abc",
        "metric_id": "mrr",
        "month": FEBRUARY,
        "currency": "EUR",
        "segment": "all",
        "numerator": amount,
        **more,
    }


def world(folder: Path) -> None:
    """MRR of February was first 440.00, at the last visit 445.00, and is 450.00; churn was defined anew."""

    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        connection.execute("DELETE FROM marts.fct_metric_prints")
        ratio = {"metric_id": "gross_mrr_churn", "denominator": Decimal(1000)}
        rows = [
            printed("a", datetime(2025, 3, 2, tzinfo=UTC), 44_000),
            printed("b", datetime(2025, 3, 15, tzinfo=UTC), 44_500),
            printed(build_id, LATER, 45_000),
            printed("a", datetime(2025, 3, 2, tzinfo=UTC), 100, **ratio),
            printed(build_id, LATER, 150, **ratio, definition_version="2"),
            printed("a", datetime(2025, 3, 2, tzinfo=UTC), 1, segment="smb"),
            printed(build_id, LATER, 2, segment="smb"),
            printed(build_id, LATER, 1, month=date(2025, 3, 1)),  # new, not restated
        ]
        tiny_world.insert(connection, "marts.fct_metric_prints", rows)

    tiny_world.publish(folder / "lumen", "20250401T0430-r1", fill, title=("Lumen", "لومن"))


def has_notice(app: AppTest) -> bool:
    assert not app.exception
    return any(button.key == "put-away-restatements" for button in app.button)


def test_what_changed_since_the_last_visit_is_told_until_it_is_put_away(
    tmp_path: Path, open_page: Open
) -> None:
    world(tmp_path)
    records = Records(f"sqlite:///{tmp_path / 'lumen' / 'app.db'}")
    visits.put(records, SEEN_AT, "local", "20250320T0430-r0", SEEN_AT)
    english = open_page(home=tmp_path)
    assert has_notice(english)
    told = html(english).split("Restated figures</caption>")[1].split("</table>")[0]
    for words in ("€445.00", "€450.00", "+€5.00", "Data came late or was corrected"):
        assert words in told
    for words in ("10.0%", "15.0%", "+5.0 points", "The definition was changed"):
        assert words in told
    assert "€440.00" not in told
    assert told.count("<tr>") == 2 + 1
    assert any("2 figures of closed months have changed" in one.value for one in english.warning)
    arabic = open_page(home=tmp_path, lang="ar")
    assert has_notice(arabic)
    assert any("تغيّر رقمان" in one.value for one in arabic.warning)
    english.button(key="put-away-restatements").click().run()
    assert not has_notice(english)
    assert not has_notice(open_page(home=tmp_path))
    seen = visits.last(records, "local")
    assert seen is not None
    assert seen.build_id == "20250401T0430-r1"


def test_why_a_figure_changed_is_told_with_amounts_once_it_is_worked_out(
    tmp_path: Path, open_page: Open
) -> None:
    """MRR was 440.00 when it was first reported and at the visit: late rows add 12.00, rates take 2.00."""
    world(tmp_path)
    records = Records(f"sqlite:///{tmp_path / 'lumen' / 'app.db'}")
    at_first = datetime(2025, 3, 2, tzinfo=UTC)
    visits.put(records, at_first, "local", "a", at_first)
    assert "Data came late or was corrected" in html(open_page(home=tmp_path))
    write_causes(tmp_path / "lumen" / "warehouse" / "policy-20250401T0430-r1.duckdb")
    told = html(open_page(home=tmp_path)).split("Restated figures</caption>")[1].split("</table>")[0]
    assert "+€12.00" in told
    assert "−€2.00" in told
    assert "Late or corrected rows" in told
    assert "Exchange rates" in told
    assert "Parents" not in told
    assert "Definitions" in told
    assert "Data came late or was corrected" not in told
    arabic = html(open_page(home=tmp_path, lang="ar"))
    assert "صفوف متأخرة أو مصحَّحة" in arabic


def write_causes(path: Path) -> None:
    cells = [("mrr", 44_000.0, 1200.0, -200.0, 0.0), ("gross_mrr_churn", 0.1, 0.0, 0.0, 0.05)]
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE fct_restatement_causes (metric_id VARCHAR, month DATE, currency VARCHAR, "
            "segment VARCHAR, first_build_id VARCHAR, first_value DOUBLE, by_models DOUBLE, by_rows DOUBLE, "
            "by_parents DOUBLE, by_rates DOUBLE, by_definition DOUBLE, value DOUBLE)"
        )
        for metric_id, first, rows, rates, definition in cells:
            connection.execute(
                "INSERT INTO fct_restatement_causes "
                "VALUES (?, ?, 'EUR', 'all', 'a', ?, 1e-12, ?, 0, ?, ?, 0)",
                [metric_id, FEBRUARY, first, rows, rates, definition],
            )


def test_a_first_visit_has_no_news(tmp_path: Path, open_page: Open) -> None:
    world(tmp_path)
    assert not has_notice(open_page(home=tmp_path))
    seen = visits.last(Records(f"sqlite:///{tmp_path / 'lumen' / 'app.db'}"), "local")
    assert seen is not None
    assert seen.build_id == "20250401T0430-r1"


def test_records_that_cannot_be_used_take_only_the_bar_away(tmp_path: Path, open_page: Open) -> None:
    world(tmp_path)
    (tmp_path / "lumen" / "app.db").write_text("no database", encoding="utf-8")
    app = open_page(home=tmp_path)
    assert not app.exception
    assert app.metric
    assert not any(one.key == "saved-view" for one in app.selectbox)
