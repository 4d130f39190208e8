"""A scoring run: read the snapshots, train when due, evaluate, score, explain, and leave the schema `churn`.

A model is due when the closed snapshots, the features or this code have changed since the last one: its id
is a hash of them, and the folder `churn/<model_id>/` with its manifest says that it exists. Scores are
append-only: what earlier builds gave comes back from history, and a day already scored by the same model is
left as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import sklearn
from threadpoolctl import threadpool_limits

from churn_model import explain, metrics, protocol, report, tables
from churn_model.dataset import HORIZON_DAYS, Feature, Panel, closed_origins, features_of, panel_of
from churn_model.model import AdditiveModel
from churn_model.playbook import HIGH, WATCH, choose_play, plays_of
from churn_model.registry import load_model, model_id_of, save_model

CODE_VERSION = "2"
RULE_MODEL = "rule-points-1"
WEEKLY_CAPACITY = 50
HOLDOUT_SHARE = 10
TENURE_BANDS = (180, 365)
COMMITMENT = "non_contract"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A model ready to score: its tables, its manifest, its evaluation as kept in metrics.json."""

    model_id: str
    model: AdditiveModel
    manifest: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    is_new: bool


def score_stage(
    stage_file: Path,
    *,
    folder: Path,
    as_of: date,
    scored_at: datetime,
    progress: Progress = lambda _: None,
    features: Sequence[Feature] | None = None,
) -> None:
    """Write schema `churn` of a stage file; model files and the report go to `folder`/churn/<model_id>/.

    With nothing at risk the tables stay empty and churn_status says why. With too little history to train,
    the points score stands in: kind `rule`, no probabilities. Runs on one thread: the same data then gives
    the same bytes, and many threads on few cores take several times as long. `features` are those of
    features.toml unless others are given.
    """
    with threadpool_limits(limits=1):
        _score(stage_file, folder, as_of, scored_at, progress, features or features_of())


def _score(
    stage_file: Path,
    folder: Path,
    as_of: date,
    scored_at: datetime,
    progress: Progress,
    features: Sequence[Feature],
) -> None:
    connection = duckdb.connect(str(stage_file))
    try:
        connection.execute("SET TimeZone = 'UTC'")
        tables.create_tables(connection)
        _load_history(connection)
        frame = _snapshots(connection)
        if frame.is_empty():
            _status(connection, as_of, "nothing_to_score", "no_order_history", None)
            return
        panel = panel_of(frame, features)
        exponents = _exponents(connection)
        try:
            trained = train(panel, features, as_of, folder / "churn", progress)
        except protocol.TooLittleData as refusal:
            progress(f"churn: not trained: {refusal}")
            _score_by_rule(connection, panel, features, as_of, scored_at)
            _status(connection, as_of, "rule_only", "too_little_data", RULE_MODEL, panel)
            return
        progress(f"churn: scoring with {trained.manifest['candidate']} ({trained.model_id})")
        _write_registry(connection, trained, scored_at)
        _score_by_model(connection, panel, features, trained, as_of, scored_at, exponents)
        _status(connection, as_of, "scored", "scored", trained.model_id)
    finally:
        connection.close()


# Training.


def train(
    panel: Panel, features: Sequence[Feature], as_of: date, folder: Path, progress: Progress
) -> Trained:
    """The champion on all that had closed by a day; from its folder when it was trained before.

    Raises TooLittleData, and ModelRefused where the folder's files were altered.
    """
    protocol.require_enough(panel, as_of)
    known = panel.closed_by(as_of)
    names = [feature.name for feature in features]
    identity = {
        "code": CODE_VERSION,
        "library": sklearn.__version__,
        "features": [asdict(feature) for feature in features],
        "horizon_days": HORIZON_DAYS,
        "data": _fingerprint(known.frame.select("customer_id", "as_of", "churned_90", *names)),
    }
    model_id = model_id_of(identity)
    target = folder / model_id
    if (target / "manifest.json").exists():
        model, manifest = load_model(target)
        kept = json.loads((target / "metrics.json").read_text(encoding="utf-8"))
        return Trained(model_id, model, manifest, kept, is_new=False)
    evaluation = protocol.evaluate(panel, names, as_of, progress=progress)
    if evaluation.leak_alarms:
        progress(f"churn: ALARM, too good to be known in time: {', '.join(evaluation.leak_alarms)}")
    progress(f"churn: training {evaluation.champion} on {len(known.y):,} rows")
    model = protocol.fit_models(known, names)[evaluation.champion]
    origins = closed_origins(panel, as_of)
    manifest = {
        "model_id": model_id,
        "candidate": evaluation.champion,
        "features": names,
        "reference": [None if np.isnan(v) else float(v) for v in explain.reference_of(known.x)],
        "ranges": [_range(known.x[:, j]) for j in range(known.x.shape[1])],
        "commitment_class": COMMITMENT,
        "population": "ordered in the 180 days up to the as-of day",
        "label": f"no order in the {HORIZON_DAYS} days after it",
        "horizon_days": HORIZON_DAYS,
        "trained_as_of": str(as_of),
        "trained_from": str(origins[0]),
        "trained_to": str(known.as_of.max()),
        "training_rows": len(known.y),
        "training_customers": known.frame["customer_id"].n_unique(),
        "training_events": int(known.y.sum()),
        "closed_origins": len(origins),
        "support": _support(known),
        "library": {"scikit-learn": sklearn.__version__},
        "identity": identity,
    }
    kept = _kept(evaluation, panel, as_of)
    target.mkdir(parents=True, exist_ok=True)
    (target / "metrics.json").write_text(json.dumps(kept, indent=1, default=str), encoding="utf-8")
    (target / "report.html").write_text(report.render(manifest, kept, features), encoding="utf-8")
    save_model(target, model, manifest)
    return Trained(model_id, model, manifest, kept, is_new=True)


def _fingerprint(frame: pl.DataFrame) -> str:
    return hashlib.sha256(frame.write_csv().encode()).hexdigest()


def _range(x: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    known = x[~np.isnan(x)]
    return {
        "low": float(known.min()) if len(known) else None,
        "high": float(known.max()) if len(known) else None,
        "null_share": float(np.isnan(x).mean()),
    }


def _tenure_band(days: pl.Expr) -> pl.Expr:
    return sum((days >= bound).cast(pl.Int64) for bound in TENURE_BANDS) + pl.lit(0)


def _support(known: Panel) -> dict[str, int]:
    bands = known.frame.group_by(_tenure_band(pl.col("tenure_days")).alias("band")).agg(
        pl.col("customer_id").n_unique().alias("customers")
    )
    return {str(band): customers for band, customers in bands.sort("band").iter_rows()}


def _kept(evaluation: protocol.Evaluation, panel: Panel, as_of: date) -> dict[str, Any]:
    """What metrics.json holds: figures, reliability, cohorts by month, and who was caught or missed."""
    months = (
        panel.closed_by(as_of)
        .frame.group_by("as_of")
        .agg(pl.len().alias("customers"), pl.col("churned_90").cast(pl.Int64).sum().alias("left"))
        .sort("as_of")
    )
    rule = max(
        (protocol.mean_figure(evaluation.figures, name, "auc") for name in ("recency_rule", "points_score")),
        default=0.0,
    )
    champion = protocol.mean_figure(evaluation.figures, evaluation.champion, "auc")
    last = evaluation.test_dates[-1]
    y, p = panel.on(last).y, evaluation.predictions[evaluation.champion][last].p
    listed = np.argsort(-p, kind="stable")[:WEEKLY_CAPACITY]
    return {
        "champion": evaluation.champion,
        "headline": "model_wins" if champion > rule else "rule_wins",
        "leak_gap": evaluation.leak_gap,
        "leak_alarms": list(evaluation.leak_alarms),
        "known_day_assumed": True,
        "origins": [str(day) for day in evaluation.origins],
        "origin_log_loss": dict(evaluation.origin_log_loss),
        "test_dates": [str(day + timedelta(days=1)) for day in evaluation.test_dates],
        "figures": [asdict(figure) for figure in evaluation.figures],
        "reliability": [
            {
                "candidate": name,
                "test_on": str(day + timedelta(days=1)),
                "bins": metrics.reliability(panel.on(day).y, prediction.p),
            }
            for name, by_day in evaluation.predictions.items()
            for day, prediction in by_day.items()
            if prediction.is_probability
        ],
        "months": [{"as_of": str(day), "customers": n, "left": left} for day, n, left in months.iter_rows()],
        "weekly_list": {
            "capacity": WEEKLY_CAPACITY,
            "precision": float(y[listed].mean()),
            "caught": int(y[listed].sum()),
            "left": int(y.sum()),
        },
    }


# Scoring.


def _score_by_model(
    connection: duckdb.DuckDBPyConnection,
    panel: Panel,
    features: Sequence[Feature],
    trained: Trained,
    as_of: date,
    scored_at: datetime,
    exponents: Mapping[str, int],
) -> None:
    already = connection.sql(
        "SELECT count(*) FROM churn.churn_scores WHERE as_of = $as_of AND model_id = $model_id",
        params={"as_of": as_of, "model_id": trained.model_id},
    ).fetchone()
    now = panel.on(as_of)
    if (already and already[0]) or not len(now.y):
        return
    reference = np.array(
        [np.nan if v is None else v for v in trained.manifest["reference"]], dtype=np.float64
    )
    offset = protocol.season_offset(trained.model.logit(now.x), protocol.season_target(panel, as_of))
    told = explain.explain(trained.model, now.x, reference, offset)
    currencies = now.frame["currency"].to_list()
    reasons = explain.reasons(told, now.x, reference, features, currencies, exponents)
    previous = dict(
        connection.sql(
            "SELECT customer_id, p_90 FROM churn.churn_scores WHERE model_id = $model_id AND as_of = "
            "(SELECT max(as_of) FROM churn.churn_scores WHERE model_id = $model_id AND as_of < $as_of)",
            params={"as_of": as_of, "model_id": trained.model_id},
        ).fetchall()
    )
    revenue = np.maximum(now.frame["trailing_revenue_minor"].fill_null(0).to_numpy(), 0)
    at_risk = np.floor(told.p * revenue + 0.5).astype(np.int64)
    listed = np.where(told.p >= WATCH, at_risk, -1)
    capacity = {int(i) for i in np.argsort(-listed, kind="stable")[:WEEKLY_CAPACITY] if listed[i] >= 0}
    bands = now.frame.select(_tenure_band(pl.col("tenure_days"))).to_series().to_list()
    plays = plays_of()
    alarms = trained.evaluation["leak_alarms"]
    flags = ["known_day_assumed", *(f"leak_alarm:{name}" for name in alarms)]
    rows = []
    for i, customer_id in enumerate(now.frame["customer_id"].to_list()):
        p_90, reason = float(told.p[i]), reasons[i]["reason_1"]
        play = choose_play(plays, reason["theme"] if reason else None, COMMITMENT, p_90)
        rows.append(
            {
                "customer_id": customer_id,
                "as_of": as_of,
                "model_id": trained.model_id,
                "scored_at": scored_at,
                "score_kind": "probability",
                "commitment_class": COMMITMENT,
                "p_90": p_90,
                "band_capacity": i in capacity,
                "band_fixed": "high" if p_90 >= HIGH else "watch" if p_90 >= WATCH else "low",
                "p_90_change": p_90 - previous[customer_id] if customer_id in previous else None,
                "yearly_revenue_minor": int(revenue[i]),
                "currency": currencies[i],
                "revenue_at_risk_90_minor": int(at_risk[i]),
                **reasons[i],
                "base_logit": told.base_logit,
                "season_offset": told.season_offset,
                "logit": float(told.logit[i]),
                "p_reference": told.p_reference,
                "support": trained.manifest["support"].get(str(bands[i]), 0),
                "data_quality_flags": flags,
                "recommended_play": play.play,
                "play_en": play.play_en,
                "play_ar": play.play_ar,
                "play_owner": play.owner,
                "due_on": None if play.due_days is None else as_of + timedelta(days=play.due_days),
                "in_holdout": in_holdout(customer_id, as_of),
            }
        )
    scores = pl.DataFrame(rows, infer_schema_length=None).with_columns(_percentile("p_90"))
    tables.insert(connection, "churn_scores", scores)


def _score_by_rule(
    connection: duckdb.DuckDBPyConnection,
    panel: Panel,
    features: Sequence[Feature],
    as_of: date,
    scored_at: datetime,
) -> None:
    now = panel.on(as_of)
    if not len(now.y):
        return
    points = protocol.points_score(now, [feature.name for feature in features])
    scores = now.frame.select(
        "customer_id",
        pl.lit(as_of).alias("as_of"),
        pl.lit(RULE_MODEL).alias("model_id"),
        pl.lit(scored_at).alias("scored_at"),
        pl.lit("rule").alias("score_kind"),
        pl.lit(COMMITMENT).alias("commitment_class"),
        pl.Series("rule_points", points).cast(pl.Int64),
        pl.max_horizontal(pl.col("trailing_revenue_minor").fill_null(0), 0).alias("yearly_revenue_minor"),
        "currency",
    ).with_columns(_percentile("rule_points"))
    known = connection.sql("SELECT customer_id, as_of, model_id FROM churn.churn_scores").pl()
    keys = ["customer_id", "as_of", "model_id"]
    tables.insert(connection, "churn_scores", scores.join(known, on=keys, how="anti"))


def _percentile(column: str) -> pl.Expr:
    """Rank from 0 (lowest risk) to 100 among the customers of the day."""
    others = pl.max_horizontal(pl.len() - 1, 1)
    return ((pl.col(column).rank("min") - 1) * 100 / others).cast(pl.Float64).alias("score_pct")


def in_holdout(customer_id: str, as_of: date) -> bool:
    """One customer in ten a quarter, by hash: no contact prompted by the score."""
    quarter = f"{as_of.year}Q{(as_of.month - 1) // 3 + 1}"
    digest = hashlib.sha256(f"{customer_id}|{quarter}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HOLDOUT_SHARE == 0


# Reading and writing the stage.


def _snapshots(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    found = connection.sql(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = 'marts' "
        "AND table_name = 'fct_customer_snapshots'"
    ).fetchone()
    if not found:
        return pl.DataFrame()
    return connection.sql("SELECT * FROM marts.fct_customer_snapshots").pl()


def _exponents(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return dict(connection.sql("SELECT code, exponent FROM raw_meta.currencies").fetchall())


def _load_history(connection: duckdb.DuckDBPyConnection) -> None:
    """Scores and models as earlier builds gave them."""
    for table in ("churn_scores", "churn_models"):
        present = connection.sql(
            "SELECT 1 FROM information_schema.tables WHERE table_schema = 'raw_history' "
            "AND table_name = $table",
            params={"table": table},
        ).fetchone()
        if present:
            known = set(dict(tables.TABLES[table]))
            frame = connection.sql(f"SELECT * FROM raw_history.{table}").pl()
            tables.insert(connection, table, frame.select(name for name in frame.columns if name in known))


def _write_registry(connection: duckdb.DuckDBPyConnection, trained: Trained, at: datetime) -> None:
    """The model's registry row (once), its evaluation and its reliability."""
    manifest, kept = trained.manifest, trained.evaluation
    known = connection.sql("SELECT model_id FROM churn.churn_models").fetchall()
    if (trained.model_id,) not in known:
        champion = [f for f in kept["figures"] if f["candidate"] == kept["champion"]]
        row = {
            "model_id": trained.model_id,
            "stage": "scoring",
            "candidate": kept["champion"],
            "commitment_class": COMMITMENT,
            "horizon_days": HORIZON_DAYS,
            "as_of": date.fromisoformat(manifest["trained_as_of"]),
            "trained_from": date.fromisoformat(manifest["trained_from"]),
            "trained_to": date.fromisoformat(manifest["trained_to"]),
            **{
                name: manifest[name]
                for name in ("training_rows", "training_customers", "training_events", "closed_origins")
            },
            "leak_gap": kept["leak_gap"],
            "headline": kept["headline"],
            "metrics": json.dumps(champion, default=str),
            "known_day_assumed": kept["known_day_assumed"],
            "approved_by": "champion rule",
            "at": at,
        }
        tables.insert(connection, "churn_models", pl.DataFrame([row]))
    tables.insert(connection, "churn_evaluation", _evaluation_rows(trained))
    tables.insert(connection, "churn_reliability", _reliability_rows(trained))


def _evaluation_rows(trained: Trained) -> pl.DataFrame:
    kept = trained.evaluation
    rows = [
        {
            "model_id": trained.model_id,
            "candidate": figure["candidate"],
            "kind": "rule" if figure["candidate"] in protocol.RULES else "model",
            "is_champion": figure["candidate"] == kept["champion"],
            "split": "temporal",
            "test_on": None if figure["test_date"] is None else date.fromisoformat(str(figure["test_date"])),
            "metric": figure["metric"],
            "value": figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            "customers": figure["customers"],
            "events": round(figure["customers"] * figure["base_rate"]),
            "base_rate": figure["base_rate"],
        }
        for figure in kept["figures"]
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _reliability_rows(trained: Trained) -> pl.DataFrame:
    rows = [
        {
            "model_id": trained.model_id,
            "candidate": entry["candidate"],
            "is_champion": entry["candidate"] == trained.evaluation["champion"],
            "test_on": date.fromisoformat(entry["test_on"]),
            "bin": place + 1,
            "customers": customers,
            "mean_p": predicted,
            "observed": observed,
        }
        for entry in trained.evaluation["reliability"]
        for place, (customers, predicted, observed) in enumerate(entry["bins"])
    ]
    return pl.DataFrame(rows)


_REASONS = {
    "scored": ("Scored by the champion model.", "تم التقييم بالنموذج المعتمد."),
    "no_order_history": (
        "No order history to score. Scores of subscriptions come with a later release.",
        "لا يوجد تاريخ طلبات للتقييم. تقييم الاشتراكات يأتي في إصدار لاحق.",
    ),
    "too_little_data": (
        "Too little closed history to train: the points are a rule, not a probability.",
        "التاريخ المكتمل أقل من أن يكفي للتدريب: النقاط قاعدة وليست احتمالًا.",
    ),
}


def _status(
    connection: duckdb.DuckDBPyConnection,
    as_of: date,
    state: str,
    reason: str,
    model_id: str | None,
    panel: Panel | None = None,
) -> None:
    reason_en, reason_ar = _REASONS[reason]
    row = {
        "as_of": as_of,
        "state": state,
        "reason_code": reason,
        "reason_en": reason_en,
        "reason_ar": reason_ar,
        "model_id": model_id,
        "enough_data_on": None if panel is None else _enough_on(panel),
        "exit_code": 4 if state == "rule_only" else 0,
    }
    tables.insert(connection, "churn_status", pl.DataFrame([row]))


def _enough_on(panel: Panel) -> date | None:
    """The day on which the third month end closes, where the snapshots already tell."""
    ends = closed_origins(panel, date.max)
    return ends[protocol.MIN_ORIGINS - 1] + timedelta(days=HORIZON_DAYS) if len(ends) >= 3 else None
