"""The `tajdid churn` commands: train, score, judge, decide which model scores, and log who was contacted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tajdid.console import CompanyOption, actor, chosen, now, print_frame, say, stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from churn_model.actions import Assumptions
    from tajdid.workspace import Company

churn_app = typer.Typer(no_args_is_help=True, help="Who is about to leave, and how good that list is.")
SHOWN_ROWS = 10
ByOption = Annotated[str | None, typer.Option("--by", help="Who decides; default: who runs the command.")]
ClassOption = Annotated[
    str | None, typer.Option("--class", help="contract or non_contract; needed where both are scored.")
]


@churn_app.command()
def train(company: CompanyOption = None) -> None:
    """Train on the published warehouse; the model waits in the registry until a build or `score` uses it.

    Exit code 4 where there is too little history.

    Example: tajdid churn train --company atlas
    """
    from churn_model import decisions
    from churn_model.protocol import TooLittleData
    from churn_model.registry import ModelRefused
    from churn_model.registry_rows import registry_row
    from churn_model.scoring import train_snapshot
    from pipelines.warehouse import current

    one = chosen(company)
    snapshot = current(one.folder)
    if snapshot is None:
        stop(f"{one.name} has no warehouse yet: run `tajdid warehouse build` first.", 2)
    at = now()
    try:
        known = {row["model_id"] for row in decisions.registry_of(one.folder)}
    except decisions.DecisionRefused as error:
        stop(f"Not trained. {error}", 1)
    try:
        models = train_snapshot(snapshot, folder=one.folder, as_of=_as_of(one), trained_at=at, progress=say)
    except TooLittleData as error:
        stop(f"Not trained. {error} Until then the points score ranks: a rule, not a probability.", 4)
    except ModelRefused as error:
        stop(f"A model file is refused: {error}", 1)
    rows = [registry_row(model, "trained", at) for model in models if model.model_id not in known]
    if rows:
        decisions.write(one.folder, rows)
    for model in models:
        is_new = "trained" if model.model_id not in known else "trained before, nothing has changed"
        kind = f"{model.manifest['commitment_class']}, {model.manifest['candidate']}"
        say(f"{model.model_id} ({kind}): {is_new}.")
        say(f"  Report: {one.folder / 'churn' / model.model_id / 'report.html'}")


@churn_app.command()
def score(company: CompanyOption = None) -> None:
    """Score the published warehouse with the models in use, and publish the result.

    Exit code 3 where scores are withheld, 4 where only the points score could rank.

    Example: tajdid churn score --company atlas
    """
    from dataclasses import replace

    from pipelines.run import rescore
    from pipelines.warehouse import current
    from tajdid.churn import score_step, settings_of
    from tajdid.workspace import build_request

    one = chosen(company)
    if current(one.folder) is None:
        stop(f"{one.name} has no warehouse yet: run `tajdid warehouse build` first.", 2)
    request = replace(build_request(one, now()), as_of=_as_of(one))
    result = rescore(request, score=score_step(one, request, say), progress=say)
    if result.status != "published":
        stop(f"Not scored: {result.message}", 1)
    raise SystemExit(_tell(one, settings_of(one).assumptions))


STATUS = "SELECT commitment_class, state, reason_en, model_id FROM churn.churn_status ORDER BY ALL"
NEWEST = """
SELECT * FROM churn.churn_scores WHERE as_of = (SELECT max(as_of) FROM churn.churn_status)
  AND model_id IN (SELECT model_id FROM churn.churn_status)
"""
LISTS = f"""
SELECT list_name AS list, currency, count(*) AS customers, count(*) FILTER (band_fixed = 'high') AS high,
  count(*) FILTER (band_fixed = 'watch') AS watch, sum(revenue_at_risk_90_minor)::BIGINT AS at_risk_minor,
  sum(expected_save_minor)::BIGINT AS expected_save_minor
FROM ({NEWEST}) GROUP BY ALL ORDER BY ALL
"""
FIRST = f"""
SELECT value_rank AS place, customer_id, round(p_90, 3) AS p_90, cause, decision_on,
  revenue_at_risk_90_minor AS at_risk_minor, currency, reason_1.sentence_en AS reason, play_en AS play,
  play_owner AS owner, due_on
FROM ({NEWEST}) WHERE band_capacity AND score_kind = 'probability' ORDER BY value_rank, customer_id
"""
FIRST_BY_RULE = f"""
SELECT value_rank AS place, customer_id, rule_points AS points, decision_on,
  coalesce(12 * mrr_minor, yearly_revenue_minor) AS yearly_minor, currency, reason_1.sentence_en AS reason
FROM ({NEWEST}) WHERE band_capacity AND score_kind = 'rule' ORDER BY value_rank, customer_id
"""
WITHOUT_COST = f"""
SELECT DISTINCT currency FROM ({NEWEST})
WHERE play_owner IS NOT NULL AND save_rate IS NOT NULL AND contact_cost_minor IS NULL ORDER BY currency
"""
CURRENCIES = "SELECT code FROM raw_meta.currencies"
KINDS = f"SELECT DISTINCT score_kind FROM ({NEWEST})"
BASIS = f"""
SELECT DISTINCT recommended_play, save_rate, save_rate_basis, contact_cost_minor, currency
FROM ({NEWEST}) WHERE expected_save_minor IS NOT NULL AND play_owner IS NOT NULL ORDER BY ALL
"""


def _tell(one: Company, stated: Assumptions) -> int:
    """Print what was done, the lists, who to call first and what the amounts rest on; the exit code."""
    from pipelines.warehouse import run_sql

    statuses = run_sql(one.folder, STATUS).rows(named=True)
    for status in statuses:
        of = f"{status['commitment_class']}: " if status["commitment_class"] else ""
        say(f"{of}{status['state']}. {status['reason_en']}")
    lists = run_sql(one.folder, LISTS)
    if not lists.is_empty():
        print_frame(lists)
    kinds = set(run_sql(one.folder, KINDS)["score_kind"])
    if "probability" in kinds:
        say(f"The first of at most {stated.capacity} to call this week, by value:")
        print_frame(run_sql(one.folder, FIRST, SHOWN_ROWS))
        for line in assumptions_told(run_sql(one.folder, BASIS)):
            say(line)
        lacking = run_sql(one.folder, WITHOUT_COST)["currency"].to_list()
        known = set(run_sql(one.folder, CURRENCIES)["code"])
        for line in costs_told(lacking, sorted(set(stated.contact_cost_minor) - known)):
            say(line)
    if "rule" in kinds:
        say(f"The first of at most {stated.capacity} to call, by the points of a rule, then by revenue:")
        print_frame(run_sql(one.folder, FIRST_BY_RULE, SHOWN_ROWS))
        say(BY_RULE)
    states = {status["state"] for status in statuses}
    return 3 if "withheld" in states else 4 if "rule_only" in states else 0


BY_RULE = "A rule gives no probability, so no revenue at risk and no expected save: it only ranks."


def assumptions_told(basis: pl.DataFrame) -> list[str]:
    """What expected save rests on, as sentences."""
    if basis.is_empty():
        return [
            "Expected save is empty: when the day was scored, no save rate was measured, and churn.toml "
            "stated none with the cost of a contact."
        ]
    lines = ["Expected save = revenue at risk × save rate − cost of a contact. Assumed:"]
    for row in basis.iter_rows(named=True):
        lines.append(
            f"  {row['recommended_play']}: save rate {row['save_rate']:.1%} ({row['save_rate_basis']}), "
            f"a contact costs {row['contact_cost_minor']:,} minor units of {row['currency']}."
        )
    return lines


def costs_told(lacking: Sequence[str], unknown: Sequence[str]) -> list[str]:
    """Currencies of the list without a cost of a contact, and stated codes the warehouse does not know."""
    lines = []
    if lacking:
        lines.append(
            f"No cost of a contact is stated for {', '.join(lacking)}: no saving is expected there, and the "
            "list goes by revenue at risk."
        )
    if unknown:
        lines.append(
            f"contact_cost of churn.toml names {', '.join(unknown)}, which the warehouse does not know."
        )
    return lines


@churn_app.command()
def evaluate(
    description: Annotated[Path, typer.Argument(help="The description of the data set, a TOML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for report, metrics.json and predictions.")],
) -> None:
    """Run the protocol on a data set that a file describes: events, survival or flat.

    Exit code 1 where a gate of the description is missed.

    Example: tajdid churn evaluate retail.toml --out evaluation
    """
    from churn_model.evaluate import evaluate_file
    from tajdid.churn_events import evaluate_events

    if not description.is_file():
        stop(f"There is no file {description}.", 2)
    raise SystemExit(evaluate_file(description, out, evaluate_events=evaluate_events))


@churn_app.command()
def report(company: CompanyOption = None) -> None:
    """Print the newest evaluation: temporal figures beside the base rate and the recency rule.

    Example: tajdid churn report --company retail
    """
    from tajdid.churn import newest_report

    frame, paths = newest_report(chosen(company))
    if frame is None:
        stop("No churn evaluation there: build the warehouse of a company with enough history first.", 4)
    print_frame(frame)
    for path in paths:
        say(f"Report: {path}")


@churn_app.command()
def promote(
    model_id: Annotated[str | None, typer.Argument(help="The model that is to score.")] = None,
    company: CompanyOption = None,
    by: ByOption = None,
    rule: Annotated[
        str | None,
        typer.Option("--by-rule", help="contract or non_contract: let the champion rule choose again."),
    ] = None,
) -> None:
    """Put a trained model to use from the next scoring on; it stays until a person decides otherwise.

    Example: tajdid churn promote 3f2a9c0d1e4b5a67 --company atlas --by "N. Haddad"
    """
    from churn_model import decisions

    if (model_id is None) == (rule is None):
        stop("Name a model, or a class with --by-rule.", 2)
    one, at = chosen(company), now()
    if rule is not None:
        _check_class(rule)
        _decided(one, lambda: decisions.by_rule(one.folder, rule, at=at))
    else:
        _decided(one, lambda: decisions.promote(one.folder, str(model_id), by=_who(by), at=at))


@churn_app.command()
def rollback(company: CompanyOption = None, commitment: ClassOption = None, by: ByOption = None) -> None:
    """Return to the model that was in use before.

    Example: tajdid churn rollback --company atlas
    """
    from churn_model import decisions

    _check_class(commitment)
    one, at = chosen(company), now()
    _decided(one, lambda: decisions.roll_back(one.folder, commitment, by=_who(by), at=at))


def _check_class(name: str | None) -> None:
    from churn_model.decisions import CLASSES

    if name is not None and name not in CLASSES:
        stop(f"'{name}' is no class; write {' or '.join(CLASSES)}.", 2)


def _who(by: str | None) -> str:
    from churn_model.decisions import CHAMPION_RULE

    who = (by or actor()).strip()
    if not who or who == CHAMPION_RULE:
        stop("Say who decides, with --by NAME.", 2)
    return who


def _decided(one: Company, decide: Any) -> None:
    from churn_model.decisions import DecisionRefused, class_of
    from churn_model.registry import ModelRefused

    try:
        row = decide()
    except DecisionRefused as error:
        stop(str(error), 2)
    except ModelRefused as error:
        stop(f"The model's files are refused: {error}", 1)
    say(
        f"{row['model_id']} ({row['candidate']}, {class_of(row)}) scores {one.name} from the next scoring "
        f"on, as decided by {row['approved_by']}. Run `tajdid churn score` to score now."
    )


# The score that prompted a contact is one there was at its moment: of the newest day, and of that day's
# scores the one by the model in use then.
SCORE_OF = """
WITH decisions AS (
  SELECT model_id,
    row_number() OVER (PARTITION BY commitment_class = 'non_contract' ORDER BY "at" DESC) AS age
  FROM churn.churn_models WHERE stage = 'scoring' AND "at" <= TIMESTAMPTZ {moment}
)
SELECT as_of, model_id, recommended_play, in_holdout FROM churn.churn_scores
WHERE customer_id = {customer} AND as_of <= DATE {day} AND scored_at <= TIMESTAMPTZ {moment}
ORDER BY as_of DESC, model_id IN (SELECT model_id FROM decisions WHERE age = 1) DESC, scored_at DESC LIMIT 1
"""


@churn_app.command()
def log(
    customer: Annotated[str, typer.Argument(help="Id of the customer that was contacted.")],
    channel: Annotated[str, typer.Option(help="call, email, meeting, message or letter.")],
    outcome: Annotated[str, typer.Option(help="no_answer, reached, accepted or declined.")],
    company: CompanyOption = None,
    play: Annotated[str | None, typer.Option(help="What was done; default: the recommended play.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="When, as 2026-01-31T10:30 UTC; default now.")
    ] = None,
    cost: Annotated[int | None, typer.Option(min=0, help="What it cost, in minor units.")] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of the cost.")] = None,
    by: ByOption = None,
) -> None:
    """Log a contact that a score prompted. The log is never changed; the next build takes it in.

    Example: tajdid churn log cus_1 --channel call --outcome reached --company atlas
    """
    from churn_model import treatments
    from pipelines.warehouse import WarehouseError, quoted, run_sql

    one, recorded_at = chosen(company), now()
    try:
        when = recorded_at if at is None else datetime.fromisoformat(at)
    except ValueError:
        stop(f"'{at}' is no moment; write it as 2026-01-31T10:30.", 2)
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    asked = {"customer": customer, "moment": when.isoformat(), "day": when.date().isoformat()}
    try:
        found = run_sql(one.folder, SCORE_OF.format(**{name: quoted(text) for name, text in asked.items()}))
    except WarehouseError as error:
        stop(str(error), 2)
    if found.is_empty():
        stop(f"{customer} has no score made by {when:%Y-%m-%d %H:%M} UTC: no score prompted the contact.", 2)
    given = found.row(0, named=True)
    treatment = treatments.Treatment(
        customer_id=customer,
        as_of=given["as_of"],
        model_id=given["model_id"],
        play=play or given["recommended_play"] or "none",
        who=_who(by),
        contacted_at=when,
        channel=channel,
        outcome=outcome,
        cost_minor=cost,
        currency=currency,
    )
    try:
        treatment_id = treatments.log(treatments.url_of(one.folder), treatment, recorded_at=recorded_at)
    except treatments.TreatmentRefused as error:
        stop(str(error), 2)
    say(f"Logged as {treatment_id}: {treatment.play} for {customer}, on the score of {treatment.as_of}.")
    if given["in_holdout"]:
        say(
            f"{customer} is in the comparison group: contacts the score prompts make the effect look smaller."
        )


def _as_of(one: Company) -> Any:
    """The day the published snapshot speaks of."""
    from pipelines.warehouse import run_sql

    return run_sql(one.folder, "SELECT as_of FROM raw_meta.build").item()
