"""The board pack: its figures are those of the pages, in both languages; names from the data stay text."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import tiny_world
from pypdf import PdfReader
from typer.testing import CliRunner

from dashboard import receivables
from dashboard.charts import Step
from dashboard.figures import Value
from dashboard.pack import content, document, reading
from dashboard.people.reader import LOCAL
from dashboard.records import targets
from dashboard.records.targets import Key
from dashboard.view import View
from tajdid.cli import app

NOW = datetime(2025, 4, 2, 8, 0, 0, 123, tzinfo=UTC)
HOSTILE = [
    "#set page(width: 1pt)",
    '#eval("1")',
    "$ x $ *bold* _it_ @ref <label> `raw`",
    "= heading",
    "\u202egnp.exe\u202c evil",
    "a\x00\x1b[31mb\ud800",
    "x" * 10_000,
    "\\u{41}",
]


def view_of(home: Path, company: str, language: str = "en") -> View:
    return reading.view_of(home, company, language, NOW, LOCAL)


def sections(pack: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in pack["sections"] if one["kind"] == kind]


def text_of(pack: Mapping[str, Any]) -> list[str]:
    """The words of each page, as a reader of the PDF finds them."""
    pages = PdfReader(io.BytesIO(document.to_pdf(pack, NOW))).pages
    return [" ".join(page.extract_text().split()) for page in pages]


@pytest.fixture(scope="module")
def english(workspace: Path) -> dict[str, Any]:
    return content.content(view_of(workspace, "lumen"), {})


def test_the_pack_tells_the_figures_of_the_newest_closed_month(english: dict[str, Any]) -> None:
    cards = {card["title"]: card for card in sections(english, "cards")[0]["cards"]}
    assert len(cards) == 6
    mrr = cards["Monthly recurring revenue (MRR)"]
    assert (mrr["value"], mrr["change"]) == ("€560.33", "▲ +€110.33 (+24.5%)")
    assert cards["Overdue for more than 30 days"]["value"] == "€28.00"
    bridge = sections(english, "bridge")[0]
    assert [step["shown"] for step in bridge["steps"]] == [
        "€450", "+€80", "+€50", "+€60", "−€30", "−€50", "€560",
    ]  # fmt: skip
    assert bridge["check"] == "Opening + movements = closing: €560.33 ✓"
    assert [bar["shown"] for bar in sections(english, "bars")[0]["bars"]] == [
        "€10.00", "€3.00", "€20.05", "€7.95",
    ]  # fmt: skip


def test_every_part_of_the_pack_is_a_page_with_its_number(english: dict[str, Any]) -> None:
    pages = text_of(english)
    for words in (
        "Board pack Lumen Mar 2025",
        "Six metrics",
        "MRR bridge, Mar 2025, EUR",
        "Cohorts: customers still paying",
        "Open invoices by days past due",
        "Top risks",
        "Definitions",
        "Data status",
    ):
        assert any(words in page for page in pages), words
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page


def test_each_metric_of_the_pack_is_defined_in_it(workspace: Path, english: dict[str, Any]) -> None:
    view = view_of(workspace, "lumen")
    defined = {one["label"]: one for one in sections(english, "definitions")[0]["items"]}
    for metric_id in content.METRICS:
        metric = view.metric(metric_id)
        assert defined[metric.label]["definition"] == metric.definition
        assert metric.formula in defined[metric.label]["formula"]


def test_the_pack_reads_from_the_right_in_arabic_with_the_same_figures(
    workspace: Path, english: dict[str, Any]
) -> None:
    arabic = content.content(view_of(workspace, "lumen", "ar"), {})
    assert arabic["direction"] == "rtl"
    assert arabic["company"] == "لومن"
    first, second = (
        ["".join(sign for sign in card["value"] if sign in "0123456789.") for card in one]
        for one in (sections(english, "cards")[0]["cards"], sections(arabic, "cards")[0]["cards"])
    )
    assert first == second
    assert [one["kind"] for one in arabic["sections"]] == [one["kind"] for one in english["sections"]]
    latin = [one["title"] for one in arabic["sections"] if one["title"].isascii()]
    assert latin == []
    assert len(text_of(arabic)) == len(text_of(english))


def test_a_company_of_orders_gets_order_figures(workspace: Path) -> None:
    pack = content.content(view_of(workspace, "bazaar"), {})
    cards = {card["title"]: card["value"] for card in sections(pack, "cards")[0]["cards"]}
    assert cards["Order revenue"] == "£180.00"
    # Three orders of 90.00, 60.00 and 33.33 in March: 61.11 each, before a credit note of 3.33.
    assert cards["Average order"] == "£61.11"
    assert cards["Credit notes"] == "−£3.33"
    assert not sections(pack, "bridge")
    assert "MRR bridge" not in " ".join(text_of(pack))
    risk = next(one for one in sections(pack, "rows") if one["title"] == "Top risks")
    assert [row[0] for row in risk["rows"]]


def test_parameters_choose_and_what_is_not_there_falls_back(workspace: Path) -> None:
    view = view_of(workspace, "lumen")
    assert view.published is not None
    chosen = reading.subscription_scope(
        view.published, {"month": "2024-07", "compare": "year", "segment": "smb", "currency": "EUR"}
    )
    assert chosen is not None
    assert (chosen.month, chosen.compared, chosen.segment) == (date(2024, 7, 1), date(2023, 7, 1), "smb")
    other = reading.subscription_scope(
        view.published, {"month": "9999-99", "segment": "' OR 1=1", "currency": "XXX", "compare": "target"}
    )
    assert other is not None
    assert (other.month, other.segment, other.currency) == (date(2025, 3, 1), "all", "EUR")
    assert other.compare == "previous"


def test_a_target_stands_beside_its_metric(workspace: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from dashboard.records.database import Records

    view = replace(view_of(workspace, "lumen"), records=Records(f"sqlite:///{tmp_path / 'app.db'}"))
    assert view.records is not None
    month = date(2025, 3, 1)
    wanted = {Key("mrr", month, "EUR"): 60_000, Key("gross_mrr_churn", month, "EUR"): 250_000}
    targets.write(view.records, NOW, "cfo", wanted)
    cards = {card["title"]: card for card in sections(content.content(view, {}), "cards")[0]["cards"]}
    mrr, churn = cards["Monthly recurring revenue (MRR)"], cards["Gross revenue churn"]
    assert (mrr["target"], mrr["target_tone"]) == ("Target €600.00: missed (−€39.67)", "bad")
    assert churn["target"].startswith("Target 25.0%: reached")
    assert churn["target_tone"] == "good"
    chosen = reading.subscription_scope(view.published, {}) if view.published else None
    assert chosen is not None
    said, tone = content.target_words(
        view, replace(chosen, is_provisional=True), view.metric("mrr"), Value(56_033)
    )
    assert (said, tone) == (
        "Target €600.00 for the whole month, which is still running (−€39.67)",
        "plain",
    )
    assert view.published is not None
    owed = receivables.at_close(view.published, chosen)
    closed, running = (
        content.overdue_card(view, replace(chosen, is_provisional=is_running), owed)
        for is_running in (False, True)
    )
    assert (closed["tone"], running["tone"]) == ("bad", "plain")
    assert running["against"].startswith("Mar 2025 is still running")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_hostile_names_stay_text(workspace: Path, language: str) -> None:
    pack = content.content(view_of(workspace, "lumen", language), {})
    rows = [[document.plain(name), "smb", "50%", "€1", document.plain(name)] for name in HOSTILE]
    heads = [("a", "wide"), ("b", ""), ("c", "number"), ("d", "number"), ("e", "wider")]
    pack["sections"].append(content.table("Hostile", None, heads, rows))
    pack["company"] = document.plain(HOSTILE[0])
    pages = text_of(pack)
    words = " ".join(pages)
    # Where a line of Arabic puts its runs is a matter of direction; each run is there as it was written.
    for part in ("#set page(width: 1pt)", "#eval", "*bold*", "_it_", "@ref", "label", "raw", "heading"):
        assert part in words
    assert all(page.mediabox.width > 800 for page in PdfReader(io.BytesIO(document.to_pdf(pack, NOW))).pages)
    assert not any(sign in json_of(rows) for sign in "\x00\x1b\u202e\ud800")
    assert max(len(name.replace("\u200b", "")) for row in rows for name in row) == document.LONGEST


def json_of(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def test_steps_of_the_bridge_hang_where_the_last_one_ended() -> None:
    steps = [Step("a", 100, "", True), Step("b", 50, ""), Step("c", -30, ""), Step("d", 120, "", True)]
    assert content.levels(steps, 0) == [(0, 100 / 150), (100 / 150, 1), (1, 0.8), (0, 0.8)]
    above = content.levels(steps, 90)
    assert above[0] == (0, pytest.approx(10 / 60))
    negative = content.levels([Step("a", 10, "", True), Step("b", -20, ""), Step("c", -10, "", True)], 0)
    assert all(0 <= end <= 1 for pair in negative for end in pair)


def test_the_tone_of_a_share_runs_with_it() -> None:
    tones = [content.fill(share) for share in (0, 0.5, 1, 1.2)]
    assert tones == ["#f4f6f8", "#cfe3f5", "#5aa0d8", "#c9e7dc"]
    assert content.fill(0.75) == "#94c2e6"


def test_restated_figures_are_named_with_their_reason(tmp_path: Path) -> None:
    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        tiny_world.fill_subscriptions(connection, build_id)
        restated = {
            "metric_id": "mrr",
            "month": date(2025, 2, 1),
            "currency": "EUR",
            "segment": "all",
            "first_build_id": "a",
            "first_printed_at": NOW,
            "first_definition_version": "1",
            "first_numerator": Decimal(44_000),
            "restated_build_id": "b",
            "restated_at": NOW,
            "definition_version": "1",
            "numerator": Decimal(45_000),
            "times_restated": 1,
        }
        tiny_world.insert(connection, "marts.fct_restatements", [restated])

    tiny_world.publish(tmp_path / "lumen", "20250401T0430-c1", fill, title=("Lumen", "لومن"))
    pack = content.content(view_of(tmp_path, "lumen"), {})
    table = next(one for one in sections(pack, "rows") if one["title"].startswith("Restated"))
    assert table["rows"][-1:] == [
        [
            "Monthly recurring revenue (MRR)",
            "Feb 2025",
            "€440.00",
            "€450.00",
            "Apr 2, 2025 08:00 UTC",
            "Data came late or was corrected",
        ]
    ]


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_command_writes_the_pack_or_says_why_not(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("TAJDID_HOME", str(workspace))
    out = tmp_path / "pack.pdf"
    asked = ["dashboard-pack", "--company", "lumen", "--lang", language, "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    found = PdfReader(io.BytesIO(out.read_bytes()))
    assert len(found.pages) == 8
    assert found.trailer["/Root"]["/Lang"].startswith(language)
    out.unlink()
    for wrong in (["--month", "2031-01"], ["--lang", "fr"], ["--segment", "none"]):
        refused = CliRunner().invoke(app, [*asked, *wrong])
        assert refused.exit_code == 2
        assert not out.exists()
