"""A new company from a few answers: its company.toml, and a policy.toml that names every setting.

Files and databases are tried before anything is written: files of a source go through the loader that a
build uses, in a warehouse in memory that is thrown away. Which settings there are, pipelines/policy.py says.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path

import duckdb
import polars as pl
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from pipelines.policy import SETTINGS, Choice, Number, PolicyError, read_policy
from pipelines.sources import KINDS
from pipelines.sources.engine_tables import NEEDED
from pipelines.sources.files import SUFFIXES
from pipelines.sources.loading import SourceConfig, SourceError, Stage, create_raw_tables, currency_exponents
from pipelines.sources.stripe_files import SUFFIXES as STRIPE_SUFFIXES
from tajdid.explain import Explanation, of_build

FILE_KINDS: Mapping[str, str] = {
    "periods": "Subscription periods, a row a stretch of days at one price",
    "orders": "Orders, a row a line",
    "crm": "CRM tables (accounts, contacts, tickets, ...)",
    "rates": "Exchange rates, a row a day and pair of currencies",
    "stripe": "Stripe export, one object a line (customers, subscriptions, invoices, ...)",
}
FIGURES = ("billing", "periods", "orders", "stripe")
OWN_DATABASE = "sqlite:///billing.db"
READABLE = {*SUFFIXES, *STRIPE_SUFFIXES}
LINES = (".csv", ".jsonl", ".ndjson")
WHOLE_BYTES, SAMPLE_ROWS = 20_000_000, 10_000
"""Files up to this size are tried whole, of larger ones the first rows."""
MEANINGS: Mapping[str, str] = {
    "reporting_currency": "The currency of totals, of ISO 4217",
    "reporting_timezone": "The zone in which a moment has its day, of IANA",
    "constant_rate_set": "The rate set of figures at constant rates: rates files name sets in rate_set",
    "mrr_source": "What MRR is made of: the versions of subscriptions, or the lines that were billed",
    "week_factor": "Weeks in a month",
    "day_factor": "Days in a month",
    "discounts": "Which discounts lower MRR: those that run, none (list price), unlimited ones, the largest",
    "zero_mrr": "What a customer is whose MRR falls below one minor unit a month",
    "trials": "Whether trials are in MRR",
    "usage": "Whether usage is in MRR, as the mean of three months",
    "unpaid_incomplete": "Whether unpaid and incomplete subscriptions are in MRR",
    "fx_movements": "The exchange rate of movements",
    "fx_retention": "The exchange rate of retention: one set for all months, or the rate of each booking",
    "churn_at": "The day of churn: the first day not served, of the request, or the end of what is billed",
    "snapshot": "Which day stands for a month",
    "past_due_grace_days": "How long an unpaid customer stays in MRR: days after the due day, or a rule",
    "pause": "What a pause is",
    "reactivation": "Which return of a former customer is a reactivation; others are new",
    "late_renewal_days": "Within how many days a return is a late renewal",
    "second_subscription": "What a second subscription of a customer is",
    "month_netting": "Whether a report gives a customer one category a month, or every change",
    "logo_denominator": "Which leavers count for logo churn, and over which customers",
    "retention_window_months": "The windows of NRR and GRR, in months",
    "grr_cap": "Whether GRR is capped for each customer or in total",
    "quick_ratio_gain": "Whether reactivation is a gain in the quick ratio",
    "ltv_churn_months": "Over how many months the churn in LTV is taken",
    "ltv_horizon_months": "How far LTV looks, in months",
    "cac_lag_quarters": "How many quarters sales costs come before the customers they win",
    "dso_method": "How days of sales outstanding are found",
    "min_customers": "Below how many customers a rate is shown as too small to tell",
}


class InitError(Exception):
    """An answer that can't be used. The message says which, and what to do."""


@dataclass(frozen=True)
class Answers:
    """What somebody has. `billing` is a database URL, `files` a file or folder for each of FILE_KINDS."""

    name: str
    currency: str
    timezone: str
    title_en: str = ""
    title_ar: str = ""
    as_of: date | None = None
    billing: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


def checked_name(home: Path, name: str) -> str:
    """A name for a company's folder, which holds no company yet."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name):
        raise InitError(f"'{name}' is no name for a folder: use letters, digits, - and _.")
    for file_name in ("company.toml", "policy.toml"):
        if (home / name / file_name).exists():
            raise InitError(f"{home / name / file_name} exists already; nothing was written.")
    return name


def checked_currency(code: str) -> str:
    code = code.strip().upper()
    if code not in currency_exponents():
        raise InitError(f"'{code}' is no currency of ISO 4217, such as EUR.")
    return code


def checked_timezone(name: str) -> str:
    try:
        return read_policy(None, {"reporting_timezone": name}).reporting_timezone
    except PolicyError as error:
        raise InitError(f"'{name}' is no IANA time zone, such as Europe/Berlin.") from error


def checked_billing(answer: str) -> str:
    """The URL of a billing database, given as such or as a SQLite file. It must have the engine's tables."""
    url = answer if "://" in answer else f"sqlite:///{Path(answer).expanduser().resolve()}"
    scheme, _, place = url.partition("://")
    if scheme.partition("+")[0] not in ("sqlite", "postgresql"):
        raise InitError(f"{scheme} is no database we read; use sqlite:///file or postgresql+psycopg://...")
    if scheme.startswith("sqlite"):
        path = Path(place.removeprefix("/")).resolve()
        if not path.is_file():
            raise InitError(f"The billing database {path} is not there. For a new one, answer new.")
        url = f"sqlite:///{path}"
    engine = None
    try:
        engine = create_engine(url)
        there = set(inspect(engine).get_table_names())
    except (SQLAlchemyError, ImportError) as error:
        raise InitError(f"The billing database can't be read: {error}") from error
    finally:
        if engine is not None:
            engine.dispose()
    if missing := sorted(set(NEEDED) - there):
        raise InitError(
            f"The billing database lacks the tables {', '.join(missing)}: it is none of `tajdid billing`."
        )
    return url


def tried(kind: str, location: Path, at: datetime, currency: str, timezone: str) -> Explanation:
    """What a build would take from a source's files. Raises InitError for files that it could not load."""
    if not location.exists():
        raise InitError(f"{location} is not there.")
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect(":memory:") as connection:
        folder = Path(scratch)
        copy = _sampled(location, folder / "given")
        create_raw_tables(connection)
        stage = Stage(connection, "trial", at, folder, currency, timezone, lambda _: None)
        try:
            with stage.transaction():
                KINDS[kind](stage, SourceConfig(kind, kind, str(copy)))
        except SourceError as error:
            raise InitError(str(error).replace(str(copy), str(location))) from error
        return of_build(connection, "trial", [kind])


def _sampled(location: Path, copy: Path) -> Path:
    """The files of a location as a loader finds them: small ones as they are, of large ones the beginning."""
    copy.mkdir()
    folder = location if location.is_dir() else location.parent
    for path in folder.iterdir() if location.is_dir() else (location, folder / "mapping.toml"):
        suffix, target = path.suffix.lower(), copy / path.name
        if not path.is_file() or (suffix not in READABLE and path.name != "mapping.toml"):
            continue
        if path.stat().st_size <= WHOLE_BYTES or suffix not in (*LINES, ".parquet"):
            shutil.copyfile(path, target)
        elif suffix in LINES:
            with path.open("rb") as lines, target.open("wb") as file:
                file.writelines(islice(lines, SAMPLE_ROWS))
        else:
            try:
                pl.scan_parquet(path).head(SAMPLE_ROWS).collect().write_parquet(target)
            except (pl.exceptions.PolarsError, OSError) as error:
                raise InitError(f"{path} can't be read as Parquet: {error}.") from error
    return copy if location.is_dir() else copy / location.name


def write(home: Path, answers: Answers) -> Path:
    """Write the company's folder and its two files, and never over one that is there."""
    if not (answers.billing or answers.files.keys() & set(FIGURES)):
        raise InitError(
            f"Nothing to take figures from: give at least one of {', '.join(FIGURES)}. "
            "CRM files and exchange rates only add to them."
        )
    folder = home / checked_name(home, answers.name)
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, text in (
        ("policy.toml", policy_toml(answers.currency, answers.timezone)),
        ("company.toml", company_toml(folder, answers)),
    ):
        try:
            with (folder / file_name).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise InitError(f"{folder / file_name} exists already; it was left as it is.") from error
    return folder


def company_toml(folder: Path, answers: Answers) -> str:
    """The text of company.toml. What lies in the company's folder is named from there."""
    lines = [
        f"name = {_text(answers.name)}",
        f"title_en = {_text(answers.title_en or answers.name)}",
        f"title_ar = {_text(answers.title_ar or answers.title_en or answers.name)}",
        f"as_of = {answers.as_of}"
        if answers.as_of
        else "# as_of = 2025-12-31         the last day figures speak of; without it, the day before a build",
        "max_reject_share_bp = 10    # a build fails when more of a table's rows are set aside (10 = 0.1 %)",
    ]
    if answers.billing:
        lines.append(f"database_url = {_text(answers.billing)}")
        lines += ["", "[sources.billing]", 'kind = "billing"']
    for kind, location in answers.files.items():
        shown = location.resolve()
        if shown.is_relative_to(folder.resolve()):
            shown = shown.relative_to(folder.resolve())
        lines += ["", f"# {FILE_KINDS[kind]}", f"[sources.{kind}]"]
        lines += [f'kind = "{kind}"', f"location = {_text(shown.as_posix())}"]
    return "\n".join(lines) + "\n"


def policy_toml(currency: str, timezone: str) -> str:
    """The text of policy.toml: every setting with its default, what it decides and what it may be."""
    installed = read_policy(None, {"reporting_currency": currency, "reporting_timezone": timezone})
    lines = [
        "# How figures are defined where people disagree. What each value means: docs/metrics.md, section 2.",
        "# A changed setting needs a new definition_version, which every build and export carries.",
        f"definition_version = {_text(installed.definition_version)}",
    ]
    for name, value in installed.settings.items():
        setting = SETTINGS.get(name)
        lines.append("")
        if name in MEANINGS:
            lines.append(f"# {MEANINGS[name]}.")
        if setting is not None:
            lines.append(f"# {_allowed(setting)}")
        lines.append(f"{name} = {value if isinstance(value, int) else _text(value)}")
    return "\n".join(lines) + "\n"


def _allowed(setting: Choice | Number) -> str:
    if isinstance(setting, Number):
        return f"Allowed: {setting.allowed.start} to {setting.allowed.stop - 1}."
    days = f", or days from 0 to {setting.days.stop - 1}" if setting.days else ""
    return f"Allowed: {', '.join(_text(value) for value in setting.values)}{days}."


def _text(value: str) -> str:
    """A TOML string. JSON writes the same form, but for the one control sign it leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
