"""The treatment log: who contacted whom on which score, how, and what came of it. One row a contact, for
ever.

It lies in the company's app.db (SQLite, or PostgreSQL by URL), beside what else people write. The database
itself refuses to change, replace or delete a row. Every build copies it into churn.churn_treatments, together
with the contacts that the success team logged on a score and did not take back (fct_customer_actions).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from churn_model import score_history, tables

CHANNELS = ("call", "email", "meeting", "message", "letter")
OUTCOMES = ("no_answer", "reached", "accepted", "declined")

METADATA = MetaData()
LOG = Table(
    "treatments",
    METADATA,
    Column("treatment_id", String, primary_key=True),
    Column("customer_id", String, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("model_id", String, nullable=False),
    Column("play", String, nullable=False),
    Column("who", String, nullable=False),
    Column("contacted_at", DateTime(timezone=True), nullable=False),
    Column("channel", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("cost_minor", BigInteger),
    Column("currency", String),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
)
_REFUSAL = "the treatment log is append-only"
_ABORT = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
# INSERT OR REPLACE drops the row in its way without a DELETE: it is stopped before it inserts. It can be in
# the way by its id or by its rowid.
_IN_THE_WAY = "SELECT 1 FROM treatments WHERE treatment_id = NEW.treatment_id OR rowid = NEW.rowid"
TRIGGERS = {
    "sqlite": {
        "treatments_no_update": f"BEFORE UPDATE ON treatments {_ABORT}",
        "treatments_no_delete": f"BEFORE DELETE ON treatments {_ABORT}",
        "treatments_no_replace": f"BEFORE INSERT ON treatments WHEN EXISTS ({_IN_THE_WAY}) {_ABORT}",
    },
    "postgresql": {
        "treatments_no_change": "BEFORE UPDATE OR DELETE ON treatments FOR EACH ROW "
        "EXECUTE FUNCTION treatments_refuse()",
        "treatments_no_truncate": "BEFORE TRUNCATE ON treatments FOR EACH STATEMENT "
        "EXECUTE FUNCTION treatments_refuse()",
    },
}
"""What keeps the log append-only, by database."""
_THERE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'treatments'::regclass",
}
_REFUSE = (
    "CREATE OR REPLACE FUNCTION treatments_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
)


CONTACTS = """
SELECT customer_id, as_of, model_id, coalesce(play, 'none') AS play, recorded_by AS who, contacted_at,
  channel, outcome, NULL::BIGINT AS cost_minor, NULL::VARCHAR AS currency, recorded_at
FROM marts.fct_customer_actions
WHERE action = 'contacted' AND NOT is_undone AND as_of IS NOT NULL AND model_id IS NOT NULL
ORDER BY recorded_at, event_id
"""


class TreatmentRefused(Exception):
    """A contact that can't be logged: the message says why."""


@dataclass(frozen=True)
class Treatment:
    """One contact. `as_of` and `model_id` are those of the score that prompted it; `cost_minor` in minor
    units of `currency`, null where unknown."""

    customer_id: str
    as_of: date
    model_id: str
    play: str
    who: str
    contacted_at: datetime
    channel: str
    outcome: str
    cost_minor: int | None = None
    currency: str | None = None


def url_of(folder: Path) -> str:
    """The address of a company's app.db."""
    return f"sqlite:///{folder / 'app.db'}"


def log(url: str, treatment: Treatment, *, recorded_at: datetime) -> str:
    """Append one contact; returns its id, which follows from customer, moment and channel: a contact is one
    whatever score, play or outcome it is logged with. Raises TreatmentRefused.
    """
    _check(treatment, recorded_at)
    moment = treatment.contacted_at.astimezone(UTC)
    treatment_id = _id_of(treatment.customer_id, moment, treatment.channel)
    row = asdict(treatment) | {
        "treatment_id": treatment_id,
        "contacted_at": moment,
        "recorded_at": recorded_at.astimezone(UTC),
    }
    # Rows of the first release have ids of another making.
    same = select(LOG.c.treatment_id).where(
        LOG.c.customer_id == treatment.customer_id,
        LOG.c.contacted_at == moment,
        LOG.c.channel == treatment.channel,
    )
    try:
        with _engine(url) as engine, engine.begin() as connection:
            METADATA.create_all(connection)
            _guard(connection)
            if connection.execute(same).first():
                raise TreatmentRefused("This contact is in the log already.")
            connection.execute(insert(LOG), [row])
    except IntegrityError as error:
        raise TreatmentRefused("This contact is in the log already.") from error
    except SQLAlchemyError as error:
        raise TreatmentRefused(f"The treatment log can't be written: {error.__cause__ or error}") from error
    return treatment_id


def _id_of(customer_id: str, moment: datetime, channel: str) -> str:
    """A contact is one whatever score, play or outcome it is logged with. moment: UTC."""
    return hashlib.sha256(f"{customer_id}|{moment.isoformat()}|{channel}".encode()).hexdigest()[:16]


def with_contacts(log: pl.DataFrame, stage_file: Path) -> pl.DataFrame:
    """The log, and the contacts of marts.fct_customer_actions that it lacks; columns of churn_treatments.

    A contact counts that followed a score and was not taken back. The log's row stands where both have it.
    """
    with duckdb.connect(str(stage_file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        if not score_history.exists(connection, "marts", "fct_customer_actions"):
            return log
        contacts = connection.sql(CONTACTS).pl().to_dicts()
    rows = [
        row
        | {"treatment_id": _id_of(row["customer_id"], row["contacted_at"].astimezone(UTC), row["channel"])}
        for row in contacts
    ]
    logged = pl.DataFrame(rows, schema=tables.frame_types("churn_treatments"))
    return pl.concat([log, logged]).unique("treatment_id", keep="first", maintain_order=True)


def _guard(connection: Connection) -> None:
    """Bring the triggers that the log lacks; that of an earlier release lacks the newer ones."""
    name = connection.dialect.name
    there = set(connection.scalars(text(_THERE[name])))
    missing = {trigger: rule for trigger, rule in TRIGGERS[name].items() if trigger not in there}
    if missing and name == "postgresql":
        connection.execute(text(_REFUSE))
    for trigger, rule in missing.items():
        connection.execute(text(f"CREATE TRIGGER {trigger} {rule}"))


def read(url: str, *, known_to: datetime) -> pl.DataFrame:
    """The contacts recorded up to a moment, oldest first; columns of churn_treatments. Empty without a log.

    Raises TreatmentRefused where it can't be read.
    """
    schema = tables.frame_types("churn_treatments")
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        return pl.DataFrame(schema=schema)
    try:
        with _engine(url) as engine, engine.connect() as connection:
            if not inspect(connection).has_table(LOG.name):
                return pl.DataFrame(schema=schema)
            found = connection.execute(select(LOG).order_by(LOG.c.recorded_at, LOG.c.treatment_id))
            rows = [_in_utc(dict(row)) for row in found.mappings()]
    except SQLAlchemyError as error:
        raise TreatmentRefused(f"The treatment log can't be read: {error.__cause__ or error}") from error
    return pl.DataFrame(rows, schema=schema).filter(pl.col("recorded_at") <= known_to)


def _check(treatment: Treatment, recorded_at: datetime) -> None:
    for name in ("customer_id", "model_id", "play", "who"):
        if not getattr(treatment, name).strip():
            raise TreatmentRefused(f"A contact needs its {name}.")
    for name, known in (("channel", CHANNELS), ("outcome", OUTCOMES)):
        given = getattr(treatment, name)
        if given not in known:
            raise TreatmentRefused(f"'{given}' is no {name}; known are {', '.join(known)}.")
    if treatment.contacted_at > recorded_at:
        raise TreatmentRefused("A contact is logged when it has taken place, not before.")
    if treatment.contacted_at.astimezone(UTC).date() < treatment.as_of:
        raise TreatmentRefused(f"The score is of {treatment.as_of}: the contact lies before it.")
    if treatment.cost_minor is not None and (treatment.cost_minor < 0 or not treatment.currency):
        raise TreatmentRefused("A cost is at least 0 and has a currency.")


def _in_utc(row: dict[str, object]) -> dict[str, object]:
    """SQLite keeps no time zone: what it gives back is the UTC that was written."""
    for name in ("contacted_at", "recorded_at"):
        moment = row[name]
        if isinstance(moment, datetime):
            row[name] = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return row


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    address = make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address, poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()
