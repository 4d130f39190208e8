"""The evaluation report and model card: one HTML page with everything in English and in Arabic, and its JSON.

The page is made from one JSON document, whatever was evaluated. A part that is absent is left out of the
page. `text` is {"en": ..., "ar": ...}. Shares and probabilities are 0 to 1, days are ISO dates, amounts
minor units.

Always there:
  form "tajdid-churn-report", version 1
  kind         repeat_trade, contract, events, survival or flat
  champion     name of the candidate that is shown
  headline     model_wins, rule_wins, rule_only (too little history for a model) or leak (see `leak`)
  figures      [{candidate, split, role, metric, value, low, high, customers, base_rate}]
               split: a test date, an origin, a fold, or null for the mean over the splits of that role;
               role: test (the default), origin or fold; metric: auc, ap, brier, log_loss, ece, lift_10,
               revenue_10, harrell_c, uno_c, ibs, or any other name; one that ends with _after_a_week is
               for who left from day 8 to 7 days past the horizon; low, high: 95 % interval or null

Where there are any:
  subject      the company or file that was evaluated      made_on   day of the evaluation
  model_id     of a kept model                             capacity  customers a team can call in a week
  exponents    {currency: digits after the point}: amounts are shown in major units of these
  rules        names of the candidates that are rules and not models
  counts       [{what: text, rows}]: what was decided, dropped or repaired on the way
  cohorts      [{as_of, customers, left, voluntary, involuntary, returned, merged}], the last four optional
  choice       {origins: [day], log_loss: {candidate: mean}}, or for folds {folds: n, log_loss: {...}}
  curves, reliability, weekly_list, lead_times, subgroups, last_list: as `appraisal` makes them
  shapes       as `shapes` makes them
  monitoring   [a row of churn_monitoring]: given scores whose horizon has closed
  effects      [fields of effects.SaveRate, and optionally label: text of the play]
  drift        [{feature, psi, noise, is_over_limit, is_alarm}]; feature "score": the scores
  leak         {random_auc, temporal_auc, gap, alarms: [feature]}
  freshness    [{source, newest_on, sla_days, is_late}]
  flags        [{flag, rows}]: doubts on the rows of today's scores (`withholding.FLAGS`)
  withheld     [{code, subject, text}]: why today's run wrote no scores
  limits       [text], beside those that hold for every evaluation of the kind
  card         {horizon_days, active_days, trained_from, trained_to, training_rows, training_customers,
               training_events, closed_origins, features: [{name, label: text}], licences: [text],
               known_failures: [text], not_for: [text], library: {name: version}, seed, season_offset,
               known_day_assumed, purpose: text, population: text, label: text}, each optional

`checked` refuses a document of another form. `write` leaves report.html and report.json in a folder.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from churn_model import monitoring
from churn_model.charts import Axis, Line, axis_over, chart, columns, shares
from churn_model.dataset import Feature
from churn_model.effects import SaveRate
from churn_model.withholding import Reason, Source, flag_text, is_late

FORM = "tajdid-churn-report"
VERSION = 1
KINDS = ("repeat_trade", "contract", "events", "survival", "flat")
OF_A_COMPANY = ("repeat_trade", "contract")
"""Kinds of kept models, whose lists people work with."""
SEASONAL = ("repeat_trade", "events")
"""Kinds whose model is shifted by one season offset."""
DATELESS = ("survival", "flat")
"""Kinds whose splits are folds and not days."""
HEADLINES = ("model_wins", "rule_wins", "rule_only", "leak")
NEEDED = ("form", "version", "kind", "champion", "headline", "figures")
OPTIONAL = (
    *("subject", "made_on", "model_id", "capacity", "rules", "counts", "cohorts", "choice", "curves"),
    *("reliability", "weekly_list", "lead_times", "subgroups", "last_list", "shapes", "monitoring"),
    *("effects", "drift", "leak", "freshness", "withheld", "limits", "card", "exponents", "flags"),
)
ROLES = ("test", "origin", "fold")
METRICS = (
    *("auc", "ap", "brier", "log_loss", "ece", "lift_10", "revenue_10"),
    *("harrell_c", "uno_c", "ibs"),
)
"""The order in which figures are shown; others follow by name."""
AFTER_WEEK = "_after_a_week"
"""What the name of a metric ends with that leaves out who left in the first week."""

SHOWN_INPUTS = 12
"""So many inputs with their drift are in sight, the others folded away."""

Document = Mapping[str, Any]


def checked(document: Document) -> Document:
    """The document. Raises ValueError saying what is missing, unknown or of another form."""
    missing = [name for name in NEEDED if name not in document]
    if missing:
        raise ValueError(f"the report's document lacks {', '.join(missing)}")
    if document["form"] != FORM or document["version"] != VERSION:
        raise ValueError(f"the document is not of the form {FORM}, version {VERSION}")
    unknown = sorted(set(document) - {*NEEDED, *OPTIONAL})
    if unknown:
        raise ValueError(f"the report knows no part {', '.join(unknown)}")
    for name, allowed in (("kind", KINDS), ("headline", HEADLINES)):
        if document[name] not in allowed:
            raise ValueError(f"{name} is {document[name]!r}, not one of {', '.join(allowed)}")
    for figure in document["figures"]:
        if not {"candidate", "split", "metric", "value"} <= set(figure):
            raise ValueError(f"a figure needs candidate, split, metric and value: {figure}")
        if figure.get("role", "test") not in ROLES:
            raise ValueError(f"the role of a figure is {figure['role']!r}, not one of {', '.join(ROLES)}")
    return document


def write(folder: Path, document: Document) -> Path:
    """report.json and report.html in a folder, which is made; the place of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_finite(document), indent=1, ensure_ascii=False, default=str, allow_nan=False)
    (folder / "report.json").write_text(text, encoding="utf-8")
    page = folder / "report.html"
    page.write_text(page_of(document), encoding="utf-8")
    return page


def _finite(value: Any) -> Any:
    """JSON has no NaN: what cannot be computed is null."""
    if isinstance(value, Mapping):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page_of(document: Document) -> str:
    """The page as HTML text. Raises ValueError for a document of another form."""
    document = {name: part for name, part in _finite(checked(document)).items() if part is not None}
    sides = [
        {
            "language": language,
            "t": Words(language),
            "d": document,
            "is_dated": document["kind"] not in DATELESS,
            "today": "today" if document["kind"] in OF_A_COMPANY else "today_file",
            "has_season": document["kind"] in SEASONAL,
            **_views(document, Words(language)),
        }
        for language in ("ar", "en")
    ]
    return _template().render(sides=sides)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= FILTERS
    return environment.get_template("report.html.j2")


# Words.


@cache
def words() -> dict[str, list[str]]:
    """Every text of the page: name -> [English, Arabic]."""
    path = Path(__file__).with_name("report_words.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Words:
    """The page's texts in one language, `en` or `ar`."""

    language: str

    @property
    def is_right_to_left(self) -> bool:
        return self.language == "ar"

    def __call__(self, name: str, /, **values: Any) -> Markup:
        """A text by name; numbers and names in it stand apart from the text's direction."""
        text = words()[name][1 if self.is_right_to_left else 0]
        return Markup(text).format(**{key: apart(value) for key, value in values.items()})

    def plain(self, name: str, /, **values: Any) -> str:
        """A text without markup, for charts."""
        return words()[name][1 if self.is_right_to_left else 0].format(**values)

    def of(self, prefix: str, name: object) -> Markup:
        """The word for a value, e.g. of a candidate; a value without a word stands as it is."""
        key = f"{prefix}_{name}"
        return self(key) if key in words() else apart(name)

    def metric(self, name: str) -> Markup:
        """The word for a metric; `auc_at_12` is the AUC at time 12."""
        if name.startswith("auc_at_"):
            return self("auc_at", time=name.removeprefix("auc_at_"))
        return self.of("metric", name)

    def pick(self, text: Mapping[str, str]) -> str:
        """The language's side of a `text`."""
        return text[self.language]


def apart(value: object) -> Markup:
    """A value set apart from the direction of the text around it."""
    return value if isinstance(value, Markup) else Markup("<bdi>{}</bdi>").format(value)


def figures(value: object) -> Markup:
    """Digits and signs that run from left to right in both languages."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(value)


def count(value: float | None) -> Markup:
    return figures("–" if value is None else f"{value:,.0f}")


def percent(value: float | None, places: int = 1) -> Markup:
    return figures("–" if value is None else f"{100 * value:.{places}f}%")


def number(value: float | None, places: int = 3) -> Markup:
    return figures("–" if value is None else f"{value:.{places}f}")


def within(value: float | None, low: float | None, high: float | None, places: int = 3) -> Markup:
    """A figure with its interval, where there is one."""
    if value is None or low is None or high is None:
        return number(value, places)
    interval = f"[{low:.{places}f}, {high:.{places}f}]"
    return figures(Markup("{} <small>{}</small>").format(f"{value:.{places}f}", interval))


FILTERS = {
    "apart": apart,
    "digits": figures,
    "count": count,
    "percent": percent,
    "number": number,
    "within": within,
}


# What the template is given beside the document: tables turned to rows, and charts.


def _views(document: Document, t: Words) -> dict[str, Any]:
    return {
        "tests": _tables(document, ("test", "fold")),
        "after_week": _tables(document, ("test", "fold"), AFTER_WEEK),
        "origins": _tables(document, ("origin",)),
        "alarms": _alarms(document, t),
        "charts": _charts(document, t),
        "within": within,
        "shown": SHOWN_INPUTS,
        "amount": lambda row: _amount(row, document.get("exponents", {})),
        "flag_text": lambda flag: flag_text(flag, t.language),
        "subject": lambda name: monitoring.subject_text(name, t.language),
        "save_rate": lambda row: _save_rate(row, t),
        "at_tenth": _at_tenth(document),
        "card_metrics": _card_metrics(document),
    }


def _amount(row: Mapping[str, Any], exponents: Mapping[str, int]) -> Markup:
    """A yearly revenue in whole major units; in minor units where the currency's exponent is not told."""
    code = row["currency"]
    if code not in exponents:
        return figures(f"{row['revenue_minor']:,} {code} (minor)")
    return figures(f"{row['revenue_minor'] / 10 ** exponents[code]:,.0f} {code}")


def _save_rate(row: Mapping[str, Any], t: Words) -> Markup:
    """In points with its interval, once that is narrow enough."""
    rate = SaveRate(**{name: row[name] for name in SaveRate.__dataclass_fields__})
    if not rate.is_enough or rate.value is None or rate.low is None or rate.high is None:
        return t("not_enough")
    interval = f"[{100 * rate.low:+.1f}, {100 * rate.high:+.1f}]"
    return figures(Markup("{} <small>{}</small>").format(f"{100 * rate.value:+.1f}", interval))


def _at_tenth(document: Document) -> float | None:
    """The share of lost revenue in the top 10 % of the list."""
    return dict(document.get("curves", {}).get("gain_revenue", ())).get(0.1)


def _card_metrics(document: Document) -> list[tuple[str, Markup]]:
    """The champion's means."""
    means = [table for table in _tables(document, ("test", "fold")) if table["split"] is None]
    rows = [row for table in means for row in table["rows"] if row["name"] == document["champion"]]
    return [(name, row["cells"][name]) for row in rows for name in METRICS if name in row["cells"]]


def _tables(document: Document, roles: Sequence[str], suffix: str = "") -> list[dict[str, Any]]:
    """One table a split, and one for the mean: rows are candidates, cells figures with their intervals.

    suffix: of the metrics to show (`AFTER_WEEK`, or nothing), which is taken off."""
    chosen = [
        {**figure, "metric": figure["metric"].removesuffix(AFTER_WEEK)}
        for figure in document["figures"]
        if figure.get("role", "test") in roles and figure["metric"].endswith(AFTER_WEEK) == bool(suffix)
    ]
    found = []
    for split in dict.fromkeys(figure["split"] for figure in chosen):
        of_split = [figure for figure in chosen if figure["split"] == split]
        named = {figure["metric"] for figure in of_split}
        metrics = [name for name in METRICS if name in named] + sorted(named - set(METRICS))
        rows = [
            {
                "name": name,
                "cells": {f["metric"]: _cell(f) for f in of_split if f["candidate"] == name},
            }
            for name in dict.fromkeys(figure["candidate"] for figure in of_split)
        ]
        found.append(
            {
                "split": split,
                "role": "fold" if document["kind"] in DATELESS else of_split[0].get("role", "test"),
                "customers": of_split[0].get("customers"),
                "base_rate": of_split[0].get("base_rate"),
                "metrics": metrics,
                "rows": rows,
            }
        )
    return sorted(found, key=lambda table: table["split"] is None)


def _cell(figure: Mapping[str, Any]) -> Markup:
    return within(figure["value"], figure.get("low"), figure.get("high"))


def _alarms(document: Document, t: Words) -> list[str]:
    """Every alarm of monitoring and drift as a sentence."""
    fields = monitoring.Measure.__dataclass_fields__
    measures = [
        monitoring.Measure(**{name: row[name] for name in fields if name in row})
        for row in document.get("monitoring", ())
    ] + [
        monitoring.Measure(
            "psi_score" if row["feature"] == "score" else "psi_input",
            row["feature"],
            row["psi"],
            is_alarm=row.get("is_alarm", False),
        )
        for row in document.get("drift", ())
    ]
    told = [monitoring.alarm_text(measure, t.language) for measure in measures]
    return [text for text in told if text]


def _charts(document: Document, t: Words) -> dict[str, Any]:
    curves = document.get("curves", {})
    draw = partial(chart, is_right_to_left=t.is_right_to_left)
    draw_columns = partial(columns, is_right_to_left=t.is_right_to_left)
    found: dict[str, Any] = {"reliability": [_reliability(row, t) for row in document.get("reliability", ())]}
    if curves.get("precision_recall"):
        across, up = shares(t.plain("recall")), shares(t.plain("precision"))
        found["precision_recall"] = draw(
            [Line(curves["precision_recall"])], across, up, t.plain("chart_precision_recall")
        )
    if curves.get("gain"):
        even = Line([[0, 0], [1, 1]], "c", is_dashed=True)
        revenue = curves.get("gain_revenue")
        lines = [even, Line([[0, 0], *curves["gain"]])]
        lines += [Line([[0, 0], *revenue], "b")] if revenue else []
        across, up = shares(t.plain("share_listed")), shares(t.plain("share_found"))
        found["gain"] = draw(lines, across, up, t.plain("chart_gain"))
        top = max(row[1] for row in curves["lift"])
        up = axis_over([0.0, max(top, 1.0)], t.plain("lift"))
        found["lift"] = draw(
            [Line([[0, 1], [1, 1]], "c", is_dashed=True), Line(curves["lift"], has_dots=True)],
            across,
            up,
            t.plain("chart_lift"),
        )
    if document.get("cohorts"):
        rows = [(row["as_of"], float(row["customers"]), float(row["left"])) for row in document["cohorts"]]
        up = axis_over([0.0, max(row[1] for row in rows)], t.plain("at_risk"))
        found["cohorts"] = draw_columns(rows, up, t.plain("chart_cohorts"), width=880)
    bins = document.get("lead_times", {}).get("bins", ())
    if bins:
        spans = [(f"{row['from']}–{row['to']}", float(row["left"]), float(row["listed"])) for row in bins]
        up = axis_over([0.0, max(1.0, *(row[1] for row in spans))], t.plain("leavers"))
        found["lead_times"] = draw_columns(spans, up, t.plain("chart_lead_times"))
    found["shapes"] = _shapes(document.get("shapes", ()), document.get("exponents", {}), t)
    return found


def _reliability(row: Mapping[str, Any], t: Words) -> Markup:
    """Predicted against observed share of one group, a dot a bin."""
    lines = [
        Line([[0, 0], [1, 1]], "c", is_dashed=True),
        Line([[predicted, observed] for _, predicted, observed in row["bins"]], has_dots=True),
    ]
    return chart(
        lines,
        shares(t.plain("predicted")),
        shares(t.plain("observed")),
        t.plain("chart_reliability", bins=len(row["bins"])),
        width=300,
        height=260,
        is_right_to_left=t.is_right_to_left,
    )


def _shapes(
    shapes: Sequence[Mapping[str, Any]], exponents: Mapping[str, int], t: Words
) -> list[dict[str, Any]]:
    """A small chart for each feature's function; all on one vertical scale, so that sizes compare."""
    reach = [value for shape in shapes for value in shape["y"]]
    if not reach:
        return []
    up = axis_over([min(0.0, *reach), max(0.0, *reach)], t.plain("log_odds"))
    return [
        {
            "label": t.pick(shape["label"]),
            "feature": shape["feature"],
            "cause": shape.get("cause"),
            "chart": chart(
                [
                    Line([[across.low, 0], [across.high, 0]], "c"),
                    Line(
                        list(zip(xs, shape["y"], strict=True)),
                        has_line="levels" not in shape,
                        has_dots="levels" in shape,
                    ),
                ],
                across,
                up,
                t.plain("chart_shape", feature=t.pick(shape["label"])),
                width=280,
                height=170,
                is_right_to_left=t.is_right_to_left,
            ),
            "null": shape.get("null"),
            "null_share": shape.get("null_share"),
        }
        for shape in shapes
        for xs, across in [_across(shape, exponents, t)]
    ]


def _across(shape: Mapping[str, Any], exponents: Mapping[str, int], t: Words) -> tuple[Sequence[float], Axis]:
    """Where a shape's points stand: by value in the feature's unit (amounts in major units where there is one
    currency), or one after the other where the values have names."""
    if "levels" in shape:
        known = words()
        names = [
            t.plain(f"value_{name}") if f"value_{name}" in known else str(name) for name in shape["levels"]
        ]
        places = [float(place) for place in range(len(names))]
        return places, Axis(-0.5, len(names) - 0.5, places, "", lambda value: names[round(value)])
    unit, xs = shape.get("unit", ""), shape["x"]
    if unit == "money" and len(exponents) == 1:
        ((code, exponent),) = exponents.items()
        xs = [value / 10**exponent for value in xs]
        return xs, axis_over(xs, code)
    axis = axis_over(xs, "")
    if unit == "share":
        return xs, replace(axis, form=lambda value: f"{value:.0%}")
    if unit == "log_ratio":
        return xs, replace(axis, form=lambda value: f"×{math.exp(value):.2g}")
    return xs, axis


# The document of a kept model.


TYPICAL = re.compile(r"\s*\([^()]*\{typical\}[^()]*\)|[,،]?\s*\{typical\}")
ABOUT_TRAINING = (
    *("horizon_days", "trained_from", "trained_to", "training_rows", "training_customers"),
    *("training_events", "closed_origins", "library", "season_offset"),
)
OF_FIGURE = ("candidate", "metric", "value", "low", "high", "customers", "base_rate")


def label_of(feature: Feature) -> dict[str, str]:
    """A feature's name for people: its sentence without the figures."""
    return {
        language: TYPICAL.sub("", template).replace(": {value}", "").replace("{value}", "…").strip()
        for language, template in (("en", feature.template_en), ("ar", feature.template_ar))
    }


def document_of_model(
    manifest: Mapping[str, Any], kept: Mapping[str, Any], features: Sequence[Feature]
) -> dict[str, Any]:
    """The document of a kept model: its manifest, the content of its metrics.json and its features.

    `kept["origin_figures"]`, where given, are the figures of the rolling origins, as `figures` are those of
    the test dates. `kept["parts"]`, where given, holds further parts by their names
    (`appraisal.evaluation_parts`, `shapes`, drift, freshness ...)."""
    is_repeat_trade = manifest.get("commitment_class", "non_contract") == "non_contract"
    champion = kept["champion"]
    means = {
        (figure["candidate"], figure["metric"]): figure["value"]
        for figure in kept["figures"]
        if figure["test_date"] is None
    }
    temporal = means.get((champion, "auc"))
    document = {
        "form": FORM,
        "version": VERSION,
        "kind": "repeat_trade" if is_repeat_trade else "contract",
        "model_id": manifest["model_id"],
        "made_on": manifest.get("trained_as_of"),
        "champion": champion,
        "headline": "leak" if kept["leak_alarms"] else kept["headline"],
        "figures": [
            {
                **{name: figure[name] for name in OF_FIGURE},
                "split": None if figure["test_date"] is None else str(figure["test_date"]),
                "role": role,
            }
            for role, part in (("test", "figures"), ("origin", "origin_figures"))
            for figure in kept.get(part, ())
        ],
        "choice": {"origins": kept["origins"], "log_loss": kept["origin_log_loss"]},
        "cohorts": kept["months"],
        "reliability": [_by_date(row) for row in kept["reliability"] if row["candidate"] == champion],
        "weekly_list": kept["weekly_list"],
        "leak": {
            "gap": kept["leak_gap"],
            "temporal_auc": temporal,
            "random_auc": None if temporal is None else temporal + kept["leak_gap"],
            "alarms": kept["leak_alarms"],
        },
        "card": {
            **{name: manifest[name] for name in ABOUT_TRAINING if manifest.get(name) is not None},
            "known_day_assumed": kept.get("known_day_assumed", False),
            "features": [{"name": feature.name, "label": label_of(feature)} for feature in features],
        },
    }
    parts = dict(kept.get("parts", {}))
    parts["reliability"] = [*parts.get("reliability", ()), *document["reliability"]]
    return document | parts


def parts_of_today(
    as_of: date,
    *,
    given: pl.DataFrame | None = None,
    effects: Sequence[SaveRate] = (),
    plays: Mapping[str, Mapping[str, str]] | None = None,
    inputs: Mapping[str, monitoring.Stability] | None = None,
    measures: Sequence[monitoring.Measure] = (),
    sources: Sequence[Source] = (),
    reasons: Sequence[Reason] = (),
    last_list: Mapping[str, Any] | None = None,
    exponents: Mapping[str, int] | None = None,
    flags: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """What a scoring run knows, as parts of a document: a page is written again where they have changed.

    given: rows of churn_monitoring of days that have closed (`monitoring.measure_given`). plays: the name of
    each play in both languages. inputs, measures:
    the run's drift and what follows from it (`drift_of`, `drift_measures`). reasons: why it wrote no scores.
    last_list: the newest list whose outcome is known (`appraisal.list_given`), in place of the backtest's.
    exponents: digits after the point of the currencies that amounts on the page are in. flags: the doubts
    that stand on today's rows, each with the number of rows.
    """
    noise = {name: one.noise for name, one in (inputs or {}).items()}
    drift = [
        {
            "feature": "score" if one.measure == "psi_score" else one.subject,
            "psi": one.value,
            "noise": noise.get(one.subject) if one.measure == "psi_input" else None,
            "is_over_limit": one.is_over_limit,
            "is_alarm": one.is_alarm,
        }
        for one in sorted(measures, key=lambda one: -(one.value or 0.0))
    ]
    parts: dict[str, Any] = {
        "last_list": last_list,
        "exponents": dict(exponents or {}),
        "flags": [{"flag": flag, "rows": rows} for flag, rows in (flags or {}).items()],
        "monitoring": []
        if given is None
        else [
            row | {"as_of": str(row["as_of"]), "measured_on": str(row["measured_on"])}
            for row in given.to_dicts()
        ],
        "effects": [
            asdict(one) | ({"label": dict(plays[one.play])} if plays and one.play in plays else {})
            for one in effects
        ],
        "drift": drift,
        "freshness": [
            {
                "source": one.name,
                "newest_on": None if one.newest_on is None else str(one.newest_on),
                "sla_days": one.sla_days,
                "is_late": is_late(one, as_of),
            }
            for one in sources
        ],
        "withheld": [
            {"code": one.code, "subject": one.subject, "text": {"en": one.text_en, "ar": one.text_ar}}
            for one in reasons
        ],
    }
    return {name: part for name, part in parts.items() if part}


def _by_date(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A test date's reliability with its calibration error."""
    bins = entry["bins"]
    customers = sum(row[0] for row in bins)
    return {
        "by": "test_date",
        "value": entry["test_on"],
        "customers": customers,
        "left": round(sum(row[0] * row[2] for row in bins)),
        "ece": sum(row[0] * abs(row[1] - row[2]) for row in bins) / customers,
        "bins": bins,
    }


def render(manifest: Mapping[str, Any], kept: Mapping[str, Any], features: Sequence[Feature]) -> str:
    """The page of a kept model as HTML text."""
    return page_of(document_of_model(manifest, kept, features))
