"""Puts the churn model and the warehouse build together: neither knows the other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.run import BuildRequest
from tajdid.workspace import Company, WorkspaceError

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from churn_model.actions import Assumptions
    from churn_model.withholding import Source

CURRENCY_CODE = re.compile("[A-Z]{3}")
NEWEST_DAY = {
    "billing": ("raw_billing.invoices", "issued_on"),
    "payments": ("raw_billing.payments", "attempted_at"),
    "usage": ("raw_billing.usage_days", "used_on"),
    "tickets": ("raw_crm.tickets", "opened_at"),
    "crm": ("raw_crm.activities", "happened_at"),
    "orders": ("raw_orders.orders", "ordered_at"),
}
"""What an SLA may be stated for: the table and the column that tell how new its newest row is."""


@dataclass(frozen=True)
class ChurnSettings:
    """What churn.toml states. `sla_days` by source: how many days behind the as-of day it may be."""

    assumptions: Assumptions
    sla_days: Mapping[str, int]


def settings_of(company: Company) -> ChurnSettings:
    """What the company's churn.toml states; without the file, nothing is stated. Raises WorkspaceError.

    capacity = 50              customers the team can contact in a week
    spare_top = false          leave the customers worth most out of the draw of the holdout
    save_rate = 0.15           share of leavers a contact keeps, where the holdout has not measured it
    [save_rates]               the same for single plays
    payment_method = 0.4
    [contact_cost]             in minor units, by currency
    EUR = 2500
    [sla_days]                 how old a source may be: billing, payments, usage, tickets, crm, orders
    usage = 3
    """
    from churn_model.actions import NOTHING_STATED

    path = company.folder / "churn.toml"
    if not path.exists():
        return ChurnSettings(NOTHING_STATED, {})
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        return _settings(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"{path} is no valid TOML: {error}.") from error
    except ValueError as error:
        raise WorkspaceError(f"{path}: {error}.") from error


def _settings(content: Mapping[str, Any]) -> ChurnSettings:
    from churn_model.actions import NOTHING_STATED, Assumptions
    from churn_model.playbook import plays_of

    unknown = set(content) - {"capacity", "spare_top", "save_rate", "save_rates", "contact_cost", "sla_days"}
    if unknown:
        raise ValueError(f"unknown setting {', '.join(sorted(unknown))}")
    for name in ("save_rates", "contact_cost", "sla_days"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{name} must be a table [{name}]")
    capacity = content.get("capacity", NOTHING_STATED.capacity)
    if type(capacity) is not int or capacity < 1:
        raise ValueError("capacity must be a whole number above 0")
    spares_top = content.get("spare_top", False)
    if type(spares_top) is not bool:
        raise ValueError("spare_top must be true or false")
    slas = {name: _whole(f"sla_days.{name}", value) for name, value in content.get("sla_days", {}).items()}
    if strange := set(slas) - set(NEWEST_DAY):
        raise ValueError(
            f"sla_days knows no {', '.join(sorted(strange))}; known are {', '.join(sorted(NEWEST_DAY))}"
        )
    save_rates, costs = content.get("save_rates", {}), content.get("contact_cost", {})
    plays = {play.play for play in plays_of() if play.owner}
    if strange := set(save_rates) - plays:
        raise ValueError(
            f"save_rates knows no play {', '.join(sorted(strange))}; the playbook has "
            f"{', '.join(sorted(plays))}"
        )
    for code in costs:
        if not CURRENCY_CODE.fullmatch(code):
            raise ValueError(f"contact_cost.{code} is no currency; write three capital letters, as EUR")
    return ChurnSettings(
        Assumptions(
            capacity=capacity,
            spares_top=spares_top,
            save_rate=_share("save_rate", content["save_rate"]) if "save_rate" in content else None,
            save_rates={play: _share(f"save_rates.{play}", value) for play, value in save_rates.items()},
            contact_cost_minor={code: _whole(f"contact_cost.{code}", value) for code, value in costs.items()},
        ),
        slas,
    )


def _share(name: str, value: Any) -> Fraction:
    is_number = type(value) is int or (type(value) is Decimal and value.is_finite())
    if not is_number or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a share from 0 to 1")
    return Fraction(value)


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} must be a whole number, at least 0")
    return value


def score_step(
    company: Company, request: BuildRequest, progress: Callable[[str], None]
) -> Callable[[Path], None]:
    """The scoring step of a build: takes the stage file, writes its schema `churn`.

    Raises WorkspaceError at once where churn.toml is wrong.
    """
    settings = settings_of(company)

    def score(stage_file: Path) -> None:
        from churn_model import treatments
        from churn_model.scoring import score_stage

        score_stage(
            stage_file,
            folder=company.folder,
            as_of=request.as_of,
            scored_at=request.built_at,
            progress=progress,
            assumptions=settings.assumptions,
            sources=sources_of(stage_file, settings.sla_days, request.as_of),
            treatments=treatments.with_contacts(
                treatments.read(company.app_database, known_to=request.built_at), stage_file
            ),
        )

    return score


def sources_of(stage_file: Path, sla_days: Mapping[str, int], as_of: date) -> list[Source]:
    """How new each source with an SLA is on a day. A row that is dated after it does not make a feed new."""
    import duckdb

    from churn_model.withholding import Source

    if not sla_days:
        return []
    with duckdb.connect(str(stage_file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return [
            Source(name, _newest(connection, *NEWEST_DAY[name], as_of), days)
            for name, days in sla_days.items()
        ]


def _newest(connection: Any, table: str, column: str, as_of: date) -> date | None:
    query = f"SELECT max(CAST({column} AS DATE)) FROM {table} WHERE CAST({column} AS DATE) <= ?"
    day: date | None = connection.execute(query, [as_of]).fetchall()[0][0]
    return day


EVALUATION = """
SELECT models.commitment_class AS class, evaluation.model_id,
    coalesce(CAST(test_on AS VARCHAR), 'mean') AS test_date, evaluation.candidate, is_champion, customers,
    round(base_rate, 3) AS base_rate,
    round(max(value) FILTER (metric = 'auc'), 3) AS auc,
    round(max(value) FILTER (metric = 'ap'), 3) AS average_precision,
    round(max(value) FILTER (metric = 'brier'), 4) AS brier,
    round(max(value) FILTER (metric = 'ece'), 3) AS ece
FROM churn.churn_evaluation AS evaluation
JOIN (SELECT DISTINCT model_id, commitment_class FROM churn.churn_status) AS models USING (model_id)
WHERE metric IN ('auc', 'ap', 'brier', 'ece')
GROUP BY ALL
ORDER BY class, test_date, auc
"""


def newest_report(company: Company) -> tuple[pl.DataFrame | None, list[Path]]:
    """Figures of the models in use, one row per test date (and their mean) and candidate, and their reports.

    (None, []) where nothing was evaluated.
    """
    from pipelines.warehouse import WarehouseError, run_sql

    try:
        frame = run_sql(company.folder, EVALUATION)
    except WarehouseError:
        return None, []
    if frame.is_empty():
        return None, []
    models = frame["model_id"].unique(maintain_order=True)
    return frame.drop("model_id"), [company.folder / "churn" / model / "report.html" for model in models]
