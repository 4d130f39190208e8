"""Page 10, data health: can I trust it today? Builds, tests, rows set aside, models, definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, frame, words
from dashboard.frame import Card, Drill
from dashboard.queries import churn, health
from dashboard.tables import Column
from dashboard.view import Freshness, Published, View, open_view

SHOWN_BUILDS = 20


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "health", _("Data health"), _("Can I trust it today?"))
    if view.published is None:
        frame.nothing_published(view)
    else:
        with frame.panel(view):
            overview(view, view.published)
    with frame.panel(view):
        builds(view)
    if view.published is not None:
        with frame.panel(view):
            loads(view, view.published)
        with frame.panel(view):
            for model in view.published.rows(churn.MODELS).iter_rows(named=True):
                model_record(view, view.published, model)
        with frame.panel(view):
            definitions(view, view.published)


def overview(view: View, published: Published) -> None:
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    tests = published.rows(health.TESTS).row(0, named=True)
    rejects = published.rows(health.REJECT_REASONS)
    build = published.build
    trust = {
        Freshness.FRESH: _("Up to date"),
        Freshness.LATE: _("Late"),
        Freshness.FAILED: _("Attention"),
    }
    days = (view.now.date() - build.as_of).days
    age = ngettext("{count} day ago", "{count} days ago", days).format(count=show.number(days))
    frame.cards(
        view,
        [
            Card(
                _("State"),
                trust[view.freshness],
                note=_("built {built}").format(built=show.instant(build.built_at)),
            ),
            Card(
                _("Data to"),
                show.day(build.as_of),
                note=_("A sample company stays on its last day.") if build.is_sample else age,
            ),
            Card(
                _("Tests passed"),
                _("{passed} of {all}").format(
                    passed=show.number(tests["passed"]), all=show.number(tests["test_count"])
                ),
                note=_("{failed} failed, {warned} warned").format(
                    failed=show.number(tests["failed"]), warned=show.number(tests["warned"])
                ),
                rows="tests",
            ),
            Card(_("Rows set aside"), show.number(int(rejects["reject_count"].sum())), rows="rejects"),
        ],
    )
    frame.drill(view, published, drills(view, tests, rejects))


def drills(view: View, tests: dict[str, Any], rejects: pl.DataFrame) -> list[Drill]:
    _ = view.text.gettext
    return [
        Drill(
            "tests",
            _("Tests"),
            health.TEST_ROWS,
            {},
            [
                Column("test_name", _("Test"), "id"),
                Column("model", _("Table"), "id"),
                Column("status", _("Result"), words=words.test_status(view.text)),
                Column("failures", _("Rows that fail"), "count"),
                Column("message", _("Message")),
            ],
            expected_rows=tests["test_count"],
        ),
        Drill(
            "rejects",
            _("Rows set aside"),
            health.REJECT_ROWS,
            {"reason": "all"},
            [
                Column("file_name", _("File"), "id"),
                Column("row_number", _("Row"), "count"),
                Column("row_key", _("Key"), "id"),
                Column("reason", _("Reason"), words=words.reject_reason(view.text)),
                Column("column_name", _("Column"), "id"),
                Column("original_row", _("Row as it came"), "id"),
            ],
            expected_rows=int(rejects["reject_count"].sum()),
        ),
    ]


def builds(view: View) -> None:
    """The last builds, from the log: also those that failed and changed nothing."""
    _ = view.text.gettext
    st.subheader(_("Builds"), anchor=False)
    rows = [
        {
            "build_id": attempt.build_id,
            "status": attempt.status,
            "finished_at": attempt.finished_at,
            "seconds": attempt.seconds,
            "peak_memory_mb": attempt.peak_memory_mb,
            "step": attempt.step,
            "message": attempt.message,
        }
        for attempt in view.attempts[:SHOWN_BUILDS]
    ]
    columns = [
        Column("build_id", _("Build"), "id"),
        Column("status", _("Result"), words=words.build_status(view.text)),
        Column("finished_at", _("Finished"), "instant"),
        Column("seconds", _("Seconds"), "decimal"),
        Column("peak_memory_mb", _("Peak memory, MB"), "count"),
        Column("step", _("Last step"), "id"),
        Column("message", _("Message")),
    ]
    frame.table(view, _("Builds"), columns, pl.DataFrame(rows, infer_schema_length=None))


def loads(view: View, published: Published) -> None:
    """What came in, table by table; each line has to add up."""
    _, show = view.text.gettext, view.show
    rows = published.rows(health.LOADS)
    st.subheader(_("Sources"), anchor=False)
    frame.table(
        view,
        _("Sources"),
        [
            Column("source_name", _("Source")),
            Column("target_table", _("Table"), "id"),
            Column("file_name", _("File"), "id"),
            Column("rows_read", _("Rows read"), "count"),
            Column("rows_accepted", _("Accepted"), "count"),
            Column("rows_rejected", _("Set aside"), "count"),
            Column("rows_unchanged", _("Unchanged"), "count"),
        ],
        rows,
    )
    if not rows.is_empty():
        wrong = rows.filter(~pl.col("adds_up")).height
        frame.verdict(view, _("Accepted + set aside = read, for each source"), wrong == 0, show.number(wrong))
    reasons = published.rows(health.REJECT_REASONS)
    if not reasons.is_empty():
        frame.table(
            view,
            _("Rows set aside, by reason"),
            [
                Column("reason", _("Reason"), words=words.reject_reason(view.text)),
                Column("target_table", _("Table"), "id"),
                Column("reject_count", _("Rows"), "count"),
            ],
            reasons,
        )


def model_record(view: View, published: Published, model: Mapping[str, Any]) -> None:
    """How a churn model did on days it had not seen, beside the rules it has to beat."""
    _, show = view.text.gettext, view.show
    evaluation = published.rows(churn.EVALUATION, model_id=model["model_id"])
    if evaluation.is_empty():
        return
    st.subheader(_("Record of the churn model"), anchor=False)
    st.caption(
        _(
            "{customers}. Model {model}, trained on {rows} rows up to {day}; "
            "measured on later days it had not seen."
        ).format(
            customers=words.model_class(view.text)(model["commitment_class"]),
            model=f"`{model['model_id']}`",
            rows=show.number(model["training_rows"]),
            day=show.day(model["trained_to"]),
        )
    )
    metric = words.evaluation_metric(view.text)
    wide = evaluation.pivot(on="metric", index=["candidate", "is_champion"], values="value")
    measured = [name for name in words.EVALUATION_ORDER if name in wide.columns]
    frame.table(
        view,
        _("Record of the churn model"),
        [
            Column("candidate", _("Candidate"), words=words.candidate(view.text)),
            *(Column(name, metric(name), "ratio") for name in measured),
            Column("is_champion", _("In use"), words=words.yes_no(view.text)),
        ],
        wide,
    )
    reliability = published.rows(churn.RELIABILITY, model_id=model["model_id"])
    if model["commitment_class"] == "non_contract":
        described = _(
            "Predicted against observed share of customers without an order in 90 days, in {count} groups."
        )
    else:
        described = _(
            "Predicted against observed share of customers whose last subscription ended within 90 days, in "
            "{count} groups."
        )
    frame.chart(
        view,
        published,
        f"reliability-{model['commitment_class']}",
        _("Calibration: predicted and observed share, by group of equal size"),
        lambda: charts.lines(
            [show.number(number) for number in reliability["bin"]],
            [
                charts.Series(
                    label, reliability[name].to_list(), [show.percent(share) for share in reliability[name]]
                )
                for name, label in (("predicted", _("Predicted")), ("observed", _("Observed")))
            ],
            view.text.is_right_to_left,
            is_percent=True,
        ),
        described.format(count=show.number(reliability.height)),
        [
            Column("bin", _("Group"), "count"),
            Column("customers", _("Customers"), "count"),
            Column("predicted", _("Predicted"), "percent"),
            Column("observed", _("Observed"), "percent"),
        ],
        reliability,
    )


def definitions(view: View, published: Published) -> None:
    """The policy in force: settings that differ from the default first."""
    _ = view.text.gettext
    policy = published.rows(health.POLICY)
    if policy.is_empty():
        return
    first = policy.row(0, named=True)
    with st.expander(_("Definitions in force")):
        st.text(
            _("Version {version}, hash {hash}").format(
                version=view.show.identifier(first["definition_version"]),
                hash=view.show.identifier(first["policy_hash"]),
            )
        )
        frame.table(
            view,
            _("Definitions in force"),
            [
                Column("setting", _("Setting"), "id"),
                Column("value", _("Value"), "id"),
                Column("default_value", _("Default"), "id"),
            ],
            policy,
        )


render(open_view())
