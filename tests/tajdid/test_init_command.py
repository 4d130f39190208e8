"""`tajdid init` asks what a company has, tries it, and writes a configuration that loads."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.policy import SETTINGS, read_policy
from tajdid import init
from tajdid.cli import app
from tajdid.workspace import build_request, load_company

AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
PERIODS = "subscription_id,customer_id,period_start,period_end,amount,currency\n"
GOOD = "s1,c1,2024-01-01,,12.00,EUR\n"
RATES = "rate_on,from_currency,to_currency,rate\n2024-01-01,USD,EUR,0.9\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of periods and rates, to stand in; its `home` is the workspace."""
    (tmp_path / "periods.csv").write_text(PERIODS + GOOD, encoding="utf-8")
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "fx.csv").write_text(RATES, encoding="utf-8")
    monkeypatch.setenv("TAJDID_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, answers: str | None = None) -> Result:
    return CliRunner().invoke(app, ["init", *arguments], input=answers)


def test_options_alone_set_a_company_up(place: Path) -> None:
    options = ["--title-en", "Acme", "--title-ar", "أكمي", "--currency", "usd", "--timezone", "Asia/Riyadh"]
    options += ["--periods", "periods.csv", "--rates", "rates", "--as-of", "2024-12-31", "--no-input"]
    result = run("acme", *options)
    assert result.exit_code == 0, result.output
    company = load_company(place / "home", "acme")
    assert (company.title_en, company.title_ar, company.as_of) == ("Acme", "أكمي", date(2024, 12, 31))
    assert [(one.kind, one.location) for one in company.sources] == [
        ("periods", str(place / "periods.csv")),
        ("rates", str(place / "rates")),
    ]
    request = build_request(company, AT)
    assert request.policy == read_policy(
        None, {"reporting_currency": "USD", "reporting_timezone": "Asia/Riyadh"}
    )


def test_questions_are_asked_again_until_the_answer_is_good(place: Path) -> None:
    given = ["beta", "Beta", "", "EURO", "KWD", "Mars", "UTC", "", "nowhere.csv", "periods.csv", *[""] * 4]
    result = run(answers="\n".join(given) + "\n")
    assert result.exit_code == 0, result.output
    for complaint in ("'EURO' is no currency", "'Mars' is no IANA time zone", "nowhere.csv is not there"):
        assert complaint in result.output
    company = load_company(place / "home", "beta")
    assert (company.title_en, company.title_ar, company.as_of) == ("Beta", "Beta", None)
    assert build_request(company, AT).policy.reporting_currency == "KWD"


def test_a_company_that_is_there_is_left_as_it_is(place: Path) -> None:
    folder = place / "home" / "acme"
    folder.mkdir(parents=True)
    (folder / "policy.toml").write_text("# mine\n")
    result = run("acme", "--periods", "periods.csv", "--no-input")
    assert result.exit_code == 2
    assert "exists already" in result.output
    assert [path.name for path in folder.iterdir()] == ["policy.toml"]
    assert (folder / "policy.toml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--periods", "periods.csv"], "no-input asks nothing"),
        (["acme"], "Nothing to take figures from"),
        (["acme", "--rates", "rates"], "Nothing to take figures from"),
        (["../acme", "--periods", "periods.csv"], "no name for a folder"),
        (["acme", "--periods", "gone.csv"], "gone.csv is not there"),
        (["acme", "--periods", "rates/fx.csv"], "fx.csv lacks the columns subscription_id"),
        (["acme", "--orders", "periods.csv"], "lacks the columns order_id"),
        (["acme", "--crm", "rates", "--periods", "periods.csv"], "rates holds no table of a CRM"),
        (["acme", "--billing", "gone.db"], "gone.db is not there"),
        (["acme", "--billing", "periods.csv"], "can't be read"),
        (["acme", "--billing", "mysql://host/x"], "mysql is no database we read"),
        (["acme", "--periods", "periods.csv", "--as-of", "soon"], "'soon' is no date"),
        (["acme", "--periods", "periods.csv", "--currency", "XXQ"], "'XXQ' is no currency"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(
    place: Path, arguments: list[str], complaint: str
) -> None:
    result = run(*arguments, "--no-input")
    assert result.exit_code == 2
    assert complaint in result.output
    assert not (place / "home").exists()


def test_rows_that_a_build_would_set_aside_are_told(place: Path) -> None:
    bad = "s2,,2024-01-01,,12.00,EUR\ns3,c3,2024-01-01,,12.00,XXQ\n"
    (place / "periods.csv").write_text(PERIODS + GOOD + bad, encoding="utf-8")
    result = run("acme", "--periods", "periods.csv", "--no-input")
    assert result.exit_code == 0
    assert "periods periods.csv: 3 rows tried, 2 set aside." in result.output
    assert "1 x missing_key (customer_id), first in row 2" in result.output
    assert "1 x unknown_currency (currency), first in row 3" in result.output


def test_of_a_large_file_the_beginning_is_tried(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "WHOLE_BYTES", 50)
    monkeypatch.setattr(init, "SAMPLE_ROWS", 3)
    many = "".join(f"s{number},c1,2024-01-01,,12.00,EUR\n" for number in range(9))
    (place / "periods.csv").write_text(PERIODS + many, encoding="utf-8")
    found = init.tried("periods", place / "periods.csv", AT, "EUR", "UTC")
    assert found.loads["read"].to_list() == [2]


def test_a_mapping_beside_a_file_counts(place: Path) -> None:
    (place / "other").mkdir()
    (place / "other" / "p.csv").write_text("id;c;von;preis\ns1;c1;2024-01-01;12,50\n", encoding="utf-8")
    (place / "other" / "mapping.toml").write_text(
        '[columns]\nsubscription_id = "id"\ncustomer_id = "c"\nperiod_start = "von"\namount = "preis"\n'
        '[constants]\nperiod_end = ""\n[format]\ndelimiter = ";"\ndecimal = ","\n',
        encoding="utf-8",
    )
    for location in (place / "other", place / "other" / "p.csv"):
        found = init.tried("periods", location, AT, "EUR", "UTC")
        assert found.loads.select("read", "accepted").rows() == [(1, 1)]


def test_a_new_billing_database_lies_in_the_companys_folder(place: Path) -> None:
    result = run("acme", "--billing", "new", "--no-input")
    assert result.exit_code == 0
    assert "tajdid billing migrate --company acme" in result.output
    company = load_company(place / "home", "acme")
    assert company.database_url == f"sqlite:///{place / 'home' / 'acme' / 'billing.db'}"
    assert [one.kind for one in company.sources] == ["billing"]


def test_a_billing_database_is_known_by_its_tables(place: Path, request: pytest.FixtureRequest) -> None:
    url = str(request.getfixturevalue("_sqlite_database"))
    assert init.checked_billing(url) == url
    assert init.checked_billing(url.removeprefix("sqlite:///")) == url


def test_policy_toml_names_every_setting_with_its_default_and_its_meaning() -> None:
    text = init.policy_toml("EUR", "UTC")
    content = tomllib.loads(text)
    defaults = read_policy(None)
    assert content == {"definition_version": "1", **defaults.settings}
    assert set(init.MEANINGS) == set(defaults.settings)
    for name in SETTINGS:
        comments = text.split(f"\n{name} = ")[0].splitlines()[-2:]
        assert comments[0] == f"# {init.MEANINGS[name]}."
        assert comments[1].startswith("# Allowed: ")


def test_any_title_can_be_written(place: Path) -> None:
    title = 'A "quoted" \\ name\twith \x7f and أحرف'
    answers = init.Answers("acme", "EUR", "UTC", title_en=title, billing=init.OWN_DATABASE)
    init.write(place / "home", answers)
    assert load_company(place / "home", "acme").title_en == title


def test_a_stripe_export_is_tried_and_configured(place: Path) -> None:
    (place / "export").mkdir()
    rows = [
        '{"id": "cus_1", "object": "customer", "created": 1704067200}',
        '{"id": "cus_2", "object": "customer", "created": "soon"}',
    ]
    (place / "export" / "customers.jsonl").write_text("\n".join(rows), encoding="utf-8")
    result = run("acme", "--stripe", "export", "--no-input")
    assert result.exit_code == 0, result.output
    assert "stripe customers.jsonl (customer): 2 rows tried, 1 set aside." in result.output
    assert "1 x bad_date (created), first in row 2" in result.output
    (source,) = load_company(place / "home", "acme").sources
    assert (source.kind, source.location) == ("stripe", str(place / "export"))
