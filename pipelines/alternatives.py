"""What can be told of a published snapshot once it is there: its figures under other definitions, and why
figures of closed months are not as they were first reported.

Both execute the snapshot's models again and again, so they stand in a file of their own beside the snapshot,
`policy-<build_id>.duckdb`, and delay no figure. Readers find it attached as `policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines import warehouse
from pipelines.compiled import Model, execute, models_of, needed
from pipelines.policy import INSTALLATION, SETTINGS, Choice, Policy, PolicyError, read_policy
from pipelines.variants import CELL, PARENTS, RATES, Inputs, figures, lay_out, opened

MONTHS = 13
"""How many closed months are shown under other definitions."""
NUMBERS = {
    "past_due_grace_days": (0, 90),
    "late_renewal_days": (0, 60),
    "ltv_churn_months": (3, 12),
    "cac_lag_quarters": (0, 2),
    "min_customers": (10, 50),
}
"""The alternatives shown of settings that take numbers."""
CAUSES = ("models", "rows", "parents", "rates", "definition")
_SENSITIVITY = {
    "setting": pl.String,
    "value_in_force": pl.String,
    "alternative": pl.String,
    "metric_id": pl.String,
    "month": pl.Date,
    "currency": pl.String,
    "figure_in_force": pl.Float64,
    "figure": pl.Float64,
    "difference": pl.Float64,
}
_RESTATED = {
    **{name: pl.Date if name == "month" else pl.String for name in CELL},
    "first_build_id": pl.String,
    "first_value": pl.Float64,
    **{f"by_{cause}": pl.Float64 for cause in CAUSES},
    "value": pl.Float64,
}


def write_alternatives(
    folder: Path, progress: Callable[[str], None] = lambda _: None, only: Collection[str] | None = None
) -> Path:
    """Write the file beside the newest snapshot of the company in `folder`; returns its path.

    `fct_policy_sensitivity`, one row per setting, alternative, metric, closed month (the last MONTHS) and
    currency, of metrics that the alternative moves; over all segments. `fct_restatement_causes`, one row per
    row of marts.fct_restatements: the figure as first reported, what each cause adds to it, in the order of
    CAUSES, and the figure as it stands; null where one of both is not computable. only: names of settings.
    Raises WarehouseError where there is no snapshot.
    """
    snapshot = warehouse.current(folder)
    if snapshot is None:
        raise warehouse.WarehouseError(
            f"{folder.name} has no warehouse yet: run `tajdid warehouse build` first."
        )
    models = models_of(warehouse.warehouse_folder(folder) / "target" / "manifest.json")
    with opened(snapshot) as connection:
        tables = {
            "fct_policy_sensitivity": policy_sensitivity(connection, models, progress, only),
            "fct_restatement_causes": restatement_causes(connection, models, progress),
        }
    target = warehouse.policy_path(snapshot)
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    with duckdb.connect(partial) as connection:
        for name, rows in tables.items():
            connection.register("rows", rows.to_arrow())
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")
            connection.unregister("rows")
    partial.replace(target)
    return target


# Other definitions.


def policy_sensitivity(
    connection: duckdb.DuckDBPyConnection,
    models: tuple[Model, ...],
    progress: Callable[[str], None],
    only: Collection[str] | None = None,
) -> pl.DataFrame:
    """The figures of the last closed months under each alternative, one setting at a time."""
    policy = _policy(connection.execute("SELECT * FROM published.raw_meta.policy").pl().to_dicts()[0])
    in_force = _last_months(figures(connection, models))
    found = [pl.DataFrame(schema=_SENSITIVITY)]
    for setting, alternative in alternatives(policy):
        if only and setting not in only:
            continue
        inputs = Inputs(policy=replace(policy, settings={**policy.settings, setting: alternative}))
        if not _is_followed(connection, models, inputs, setting):
            progress(f"{setting} = {alternative}: these models do not follow it")
            continue
        progress(f"{setting} = {alternative}")
        other = figures(connection, models, inputs)
        found.append(_moved(in_force, other, setting, policy.settings[setting], alternative))
    return pl.concat(found)


def alternatives(policy: Policy) -> Iterator[tuple[str, str | int]]:
    """Every other value of every disputed setting: of numbers, those of NUMBERS."""
    for name, setting in SETTINGS.items():
        values: list[str | int] = list(setting.values) if isinstance(setting, Choice) else [setting.default]
        values += [str(one) if isinstance(setting, Choice) else one for one in NUMBERS.get(name, ())]
        yield from ((name, value) for value in values if value != policy.settings[name])


def _policy(row: Mapping[str, Any]) -> Policy:
    names = (*SETTINGS, *INSTALLATION, "definition_version")
    return read_policy(None, {name: row[name] for name in names if row.get(name) is not None})


def _last_months(rows: pl.DataFrame) -> pl.DataFrame:
    months = rows["month"].unique().sort().tail(MONTHS)
    return rows.filter(pl.col("month").is_in(months.implode()), segment="all")


def _is_followed(
    connection: duckdb.DuckDBPyConnection, models: tuple[Model, ...], inputs: Inputs, setting: str
) -> bool:
    lay_out(connection, inputs)
    execute(connection, needed(models, "dim_policy"))
    (is_supported,) = connection.execute(
        "SELECT is_supported FROM marts.dim_policy WHERE setting = ?", [setting]
    ).fetchall()[0]
    return bool(is_supported)


def _moved(
    in_force: pl.DataFrame, other: pl.DataFrame, setting: str, value: str | int, alternative: str | int
) -> pl.DataFrame:
    is_shown = pl.col("month").is_in(in_force["month"].unique().implode()) & (pl.col("segment") == "all")
    both = in_force.join(
        other.filter(is_shown).drop("numerator", "denominator"),
        on=CELL,
        how="full",
        coalesce=True,
        suffix="_other",
        maintain_order="left_right",
    )
    is_moved = pl.col("value").ne_missing(pl.col("value_other")).any().over("metric_id")
    return both.filter(is_moved).select(
        pl.lit(setting).alias("setting"),
        pl.lit(str(value)).alias("value_in_force"),
        pl.lit(str(alternative)).alias("alternative"),
        "metric_id",
        "month",
        "currency",
        pl.col("value").alias("figure_in_force"),
        pl.col("value_other").alias("figure"),
        (pl.col("value_other") - pl.col("value")).alias("difference"),
    )


# Restated figures.


def restatement_causes(
    connection: duckdb.DuckDBPyConnection, models: tuple[Model, ...], progress: Callable[[str], None]
) -> pl.DataFrame:
    """What each cause adds to the figures that were restated. Between the figure as first reported and as it
    stands lie the same models with one input moved after the other: rows that came late or were corrected
    (and the as-of day), the mapping of parents, rates, the policy. What is left before the first of them is
    the work of other models, or of a source that overwrites its rows."""
    restated = connection.execute(
        f"SELECT {', '.join(CELL)}, first_build_id, first_value, value, denominator IS NULL AS is_sum "
        "FROM published.marts.fct_restatements"
    ).pl()
    if restated.is_empty():
        return pl.DataFrame(schema=_RESTATED)
    builds = connection.execute("SELECT * FROM published.raw_history.builds").pl()
    found = [pl.DataFrame(schema=_RESTATED)]
    for (build_id,), first in restated.group_by("first_build_id", maintain_order=True):
        progress(f"figures first reported by {build_id}")
        rows, states = first, _states(builds.filter(build_id=build_id).to_dicts())
        for number, inputs in enumerate(states):
            state = figures(connection, models, inputs).select(
                *CELL, pl.col("value").alias(f"state_{number}")
            )
            rows = rows.join(state, on=CELL, how="left", maintain_order="left")
        found.append(_by_cause(rows, len(states)))
    return pl.concat(found)


def _states(builds: list[dict[str, Any]]) -> list[Inputs]:
    """What was known and agreed at a build, then with rows, parents and rates moved to now."""
    if not builds:
        return []
    build = builds[0]
    try:
        policy = _policy(build)
    except PolicyError:  # It names what this release does not know.
        return []
    then = build["known_to"]
    parents, rates = dict.fromkeys(PARENTS, then), dict.fromkeys(RATES, then)
    return [
        Inputs({"": then}, build["as_of"], policy),
        Inputs(parents | rates, None, policy),
        Inputs(rates, None, policy),
        Inputs({}, None, policy),
    ]


def _by_cause(rows: pl.DataFrame, states: int) -> pl.DataFrame:
    """The differences between one state and the next; an amount that is not there is none."""
    steps = ["first_value", *(f"state_{number}" for number in range(states)), "value"]
    amounts = rows.with_columns(
        pl.when("is_sum").then(pl.col(step).fill_null(0.0)).otherwise(pl.col(step)).alias(step)
        for step in steps
    )
    by_cause = zip(CAUSES if states else CAUSES[:1], pairwise(steps), strict=True)
    return amounts.select(
        *CELL,
        "first_build_id",
        "first_value",
        *((pl.col(after) - pl.col(before)).alias(f"by_{cause}") for cause, (before, after) in by_cause),
        *(pl.lit(None, pl.Float64).alias(f"by_{cause}") for cause in CAUSES[1:] if not states),
        "value",
    ).select(list(_RESTATED))
