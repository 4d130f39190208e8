"""Page 10, data health: can I trust it today? Sources, tests, rows set aside, restated figures, models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import streamlit as st

from dashboard import address, charts, figures, frame, theme, trust_words, words
from dashboard.frame import Card, Check, Drill
from dashboard.health import failed_metrics, freshness_table
from dashboard.queries import churn, health, lineage
from dashboard.tables import Column
from dashboard.view import Freshness, Metric, Published, View, month_before, open_view

SHOWN_BUILDS = 20
SHOWN_RESTATEMENTS = 100
EXAMPLES = 10
# Each part of the walk: the figure it begins with, and the one it arrives at.
WALKS = {
    "mrr_to_recognised": ("closing_mrr", "recognised"),
    "recognised_to_invoiced": ("recognised", "net_invoiced"),
    "gross_to_cash": ("gross_invoiced", "cash_received"),
}


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(view, "health", _("Can I trust it today?"))
    if view.published is None:
        frame.nothing_published(view)
        with frame.panel(view):
            builds(view)
        return
    published = view.published
    for part in (overview, failures, freshness, loads, quarantine, restatements, reconciliation):
        with frame.panel(view):
            part(view, published)
    with frame.panel(view):
        for model in published.rows(churn.MODELS).iter_rows(named=True):
            model_record(view, published, model)
            monitoring(view, published, model)
    for part in (definitions, alternatives):
        with frame.panel(view):
            part(view, published)
    with frame.panel(view):
        builds(view)


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
            {"reason": address.read("reason") or "all"},
            [
                Column("file_name", _("File"), "id"),
                Column("row_number", _("Row"), "count"),
                Column("row_key", _("Key"), "id"),
                Column("reason", _("Reason"), words=words.reject_reason(view.text)),
                Column("column_name", _("Column"), "id"),
                Column("original_row", _("Row as it came"), "id"),
            ],
            expected_rows=rejected(rejects, address.read("reason")),
        ),
    ]


def rejected(rejects: pl.DataFrame, reason: str | None) -> int:
    """How many rows were set aside: for one reason and table, or all."""
    chosen = rejects.filter(pl.col("reason") + " " + pl.col("target_table") == reason) if reason else rejects
    return int(chosen["reject_count"].sum())


def failures(view: View, published: Published) -> None:
    """Tests that did not pass, what they ask, and what rests on the tables they read."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    build = published.build
    if not build.failed_tests and not build.warned_tests:
        return
    st.subheader(_("Tests that did not pass"), anchor=False)
    columns = [
        Column("test_name", _("Test"), "id"),
        Column("model", _("Table"), "id"),
        Column("status", _("Result"), words=words.test_status(view.text)),
        Column("failures", _("Rows that fail"), "count"),
        Column("asks", _("What it asks")),
        Column("message", _("Message")),
    ]
    try:
        rows = published.rows(health.FAILURES)
    except duckdb.CatalogException:  # built before models were described beside the figures
        rows = published.rows(health.TEST_ROWS).filter(pl.col("status") != "pass")
        columns = [column for column in columns if column.name != "asks"]
    frame.table(view, _("Tests that did not pass"), columns, rows)
    metrics = sorted(failed_metrics(published))
    if not metrics:
        st.caption(_("No metric rests on what failed."))
        return
    touched = ngettext(
        "{count} metric rests on a table whose test failed:",
        "{count} metrics rest on tables whose tests failed:",
        len(metrics),
    )
    st.text(touched.format(count=show.number(len(metrics))))
    labels = pl.DataFrame({"metric_id": metrics, "label": [view.metric(one).label for one in metrics]})
    columns = [
        Column("label", _("Metric"), href=lambda row: address.to("metrics", metric=row["metric_id"])),
        Column("metric_id", _("Id"), "id"),
    ]
    frame.table(view, _("Metrics that rest on what failed"), columns, labels)


def freshness(view: View, published: Published) -> None:
    """What each source promised, and how old its newest rows are."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    st.subheader(_("Freshness of the sources"), anchor=False)
    rows = freshness_table(view, published, _("Freshness of the sources"))
    late = int(rows["is_late"].sum())
    if late:
        told = ngettext("{count} source is late.", "{count} sources are late.", late)
        st.warning(told.format(count=show.number(late)))
    if published.build.is_sample:
        st.caption(_("Of a sample company, as it was when it was built."))


def quarantine(view: View, published: Published) -> None:
    """Rows that were set aside: how many for which reason, and examples of one."""
    _, show = view.text.gettext, view.show
    reasons = published.rows(health.REJECT_REASONS)
    if reasons.is_empty():
        return
    st.subheader(_("Rows set aside, by reason"), anchor=False)
    told = words.reject_reason(view.text)
    frame.table(
        view,
        _("Rows set aside, by reason"),
        [
            Column("reason", _("Reason"), words=told),
            Column("target_table", _("Table"), "id"),
            Column("reject_count", _("Rows"), "count"),
        ],
        reasons,
    )
    names = {
        f"{reason} {table}": f"{told(reason)} · {show.identifier(table)}"
        for reason, table in reasons.select("reason", "target_table").iter_rows()
    }
    chosen = address.choice(
        "reason", _("Examples of"), list(names), next(iter(names)), names.__getitem__, resets=("rows", "page")
    )
    rows = published.rows(health.REJECT_ROWS, reason=chosen).head(EXAMPLES)
    columns = [
        Column("file_name", _("File"), "id"),
        Column("row_number", _("Row"), "count"),
        Column("row_key", _("Key"), "id"),
        Column("column_name", _("Column"), "id"),
        Column("original_row", _("Row as it came"), "id"),
    ]
    frame.table(view, _("Examples"), columns, rows)


def restatements(view: View, published: Published) -> None:
    """Figures of closed months that are not as they were first reported, and why."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    st.subheader(_("Restated figures"), anchor=False)
    count = published.rows(health.RESTATED).row(0, named=True)
    if not count["figures"]:
        st.caption(_("Every figure of a closed month is as it was first reported."))
        return
    told = ngettext(
        "{count} figure of closed months is not as it was first reported.",
        "{count} figures of closed months are not as they were first reported.",
        count["figures"],
    )
    st.text(told.format(count=show.number(count["figures"])))
    has_causes = True
    try:
        rows = published.rows(health.RESTATEMENTS_WITH_CAUSES, limit=SHOWN_RESTATEMENTS)
    except duckdb.Error:  # nobody has worked them out for this build
        has_causes, rows = False, published.rows(health.RESTATEMENTS, limit=SHOWN_RESTATEMENTS)
    known = set(published.rows(lineage.REGISTRY)["metric_id"])
    metrics = {one: view.metric(one) for one in set(rows["metric_id"]) & known}
    causes = {
        name: said
        for name, said in trust_words.restatement_cause(view.text).items()
        if has_causes and rows[name].fill_null(0).ne(0).any()
    }
    amounts = ("first_value", "value", "difference", *causes)
    shown = pl.DataFrame(
        [
            {
                "metric": metric.label if (metric := metrics.get(row["metric_id"])) else row["metric_id"],
                "month": row["month"],
                "restated_at": row["restated_at"],
                "times_restated": row["times_restated"],
                **{name: amount(view, metric, row[name], row["currency"], name) for name in amounts},
            }
            for row in rows.iter_rows(named=True)
        ],
        infer_schema_length=None,
    )
    columns = [
        Column("metric", _("Metric")),
        Column("month", _("Month"), "month"),
        written("first_value", _("First reported")),
        written("value", _("Now")),
        written("difference", _("Difference")),
        *(written(name, said) for name, said in causes.items()),
        Column("restated_at", _("Restated"), "day", words=lambda at: show.day_short(at and at.date())),
    ]
    if rows["times_restated"].max() != 1:
        columns.append(Column("times_restated", _("Times"), "count"))
    frame.table(view, _("Restated figures"), columns, shown)
    if not has_causes:
        st.caption(_("What caused them is worked out by:"))
        works_out(view)


def amount(view: View, metric: Metric | None, value: float | None, currency: str, name: str) -> str:
    """A stored figure in its unit; a difference with its sign, of percentages in points."""
    _, show = view.text.gettext, view.show
    if value is None:
        return show.number(None)
    exact = Decimal(repr(value))
    is_difference = name not in ("first_value", "value", "figure", "figure_in_force")
    if metric is not None and metric.unit in figures.MONEY:
        return show.money(exact, currency, signed=is_difference)
    if metric is None or not figures.is_percentage(metric):
        is_whole = metric is not None and metric.unit == "count" and exact == exact.to_integral_value()
        return show.number(exact, 0 if is_whole else 2, signed=is_difference)
    if is_difference:
        return _("{points} points").format(points=show.points(exact, 2))
    return show.percent(exact, 2)


def written(name: str, label: str) -> Column:
    """A column of what `amount` has written: its last places line up like those of numbers."""
    return Column(name, label, "decimal", words=str)


def works_out(view: View) -> None:
    company = view.company.name if view.company else ""
    st.code(f"tajdid warehouse alternatives --company {company}", language=None)


def reconciliation(view: View, published: Published) -> None:
    """The walk from MRR to cash of one month: every step, and what none of them explains."""
    _, show = view.text.gettext, view.show
    months = published.rows(health.RECONCILED_MONTHS)
    if months.is_empty():
        return
    st.subheader(_("Reconciliation: from MRR to cash"), anchor=False, help=view.definition("mrr_to_cash"))
    all_of_it = published.rows(health.UNEXPLAINED).row(0, named=True)
    st.caption(
        _("Of all months: {fine} fine, {warned} to look into, {marked} too much.").format(
            fine=show.number(all_of_it["fine"]),
            warned=show.number(all_of_it["warned"]),
            marked=show.number(all_of_it["marked"]),
        )
    )
    cells = [(month, currency) for month, currency in months.iter_rows()]
    closed = [cell for cell in cells if month_before(cell[0], -1) <= published.build.as_of] or cells
    own = [cell for cell in closed if cell[1] == published.build.reporting_currency] or closed
    month, currency = address.choice(
        "walk",
        _("Month and currency"),
        cells,
        own[0],
        lambda cell: f"{show.month(cell[0])} · {show.identifier(cell[1])}",
        code=lambda cell: f"{cell[0].isoformat()} {cell[1]}",
        resets=("page",),
    )
    values = {"month": month, "currency": currency}
    rows = published.rows(health.RECONCILIATION, **values)
    step, status = trust_words.walk_step(view.text), trust_words.walk_status(view.text)
    unexplained = rows.filter(pl.col("kind") == "unexplained")
    frame.cards(
        view,
        [
            Card(
                step(row["step"]),
                show.money(row["amount"], currency),
                help=view.definition("unexplained"),
                note=status(row["status"]),
                rows=row["step"],
            )
            for row in unexplained.iter_rows(named=True)
        ],
    )
    frame.drill(
        view,
        published,
        [
            walk_drill(view, row["step"], row["walk"], row["amount"], values)
            for row in unexplained.iter_rows(named=True)
        ],
    )
    drawn = rows.filter((pl.col("kind") == "figure") | (pl.col("amount") != 0))
    money = Column("amount", _("Amount"), "money", currency=currency)
    for walk, name in (
        ("mrr_to_recognised", "a"),
        ("recognised_to_invoiced", "b"),
        ("gross_to_cash", "c"),
    ):
        part = steps_of(drawn, walk)
        title = trust_words.walk(view.text)(walk)
        frame.chart(
            view,
            published,
            f"walk-{name}",
            title,
            functools.partial(walk_figure, view, part, currency, name == "a"),
            _("{title}, {month}: {count} steps.").format(
                title=title, month=show.month(month), count=show.number(part.height)
            ),
            [
                Column("step", _("Step"), words=step),
                money,
                Column("status", _("State"), words=status),
            ],
            part,
            query=health.RECONCILIATION,
            values=values,
        )


def walk_drill(view: View, step: str, walk: str, expected: Decimal, values: Mapping[str, Any]) -> Drill:
    """The steps of a part of the walk: where it arrives, less all the rest, is what is unexplained."""
    _ = view.text.gettext
    begins, arrives = WALKS[walk]
    money = {
        name: Column(name, label, "money", currency=values["currency"], signed=name == "share")
        for name, label in (("amount", _("Amount")), ("share", _("Counts as")))
    }
    name = trust_words.walk_step(view.text)
    return Drill(
        step,
        figures.of_month(view, name(step), values["month"]),
        health.UNEXPLAINED_ROWS,
        {**values, "walk": walk, "begins": begins, "arrives": arrives},
        [Column("step", _("Step"), words=name), *money.values()],
        [Check(money["share"], expected)],
        notes=[_("What it arrives at counts in full; where it begins and every step between are taken off.")],
    )


def steps_of(rows: pl.DataFrame, walk: str) -> pl.DataFrame:
    """The steps of a part of the walk between its two figures: where it begins stands in the part before."""
    opens_with = {"recognised_to_invoiced": None, "gross_to_cash": "gross_invoiced"}.get(walk)
    closes_with = {"mrr_to_recognised": "recognised"}.get(walk)
    borrowed = [one for one in (opens_with, closes_with) if one]
    return rows.filter((pl.col("walk") == walk) | pl.col("step").is_in(borrowed)).sort("step_no")


def walk_figure(view: View, rows: pl.DataFrame, currency: str, is_long: bool) -> Any:
    """A bridge; the many steps of a long walk lie below each other, so that their names can be read."""
    step, show, is_right_to_left = trust_words.walk_step(view.text), view.show, view.text.is_right_to_left
    names = [step(code) for code in rows["step"]]
    sizes = [show.size(amount, currency) for amount in rows["amount"]]
    is_total = [kind == "figure" for kind in rows["kind"]]
    shown = [
        show.money_short(amount, currency, signed=not total)
        for amount, total in zip(rows["amount"], is_total, strict=True)
    ]
    if is_long:
        labels = [f"{name} · {amount}" for name, amount in zip(names, shown, strict=True)]
        signs = [
            theme.BLUE if total else theme.GREEN if size > 0 else theme.RED
            for size, total in zip(sizes, is_total, strict=True)
        ]
        return charts.bars(labels, sizes, [""] * len(labels), is_right_to_left, colour=signs)
    steps = zip(names, sizes, shown, is_total, strict=True)
    return charts.bridge([charts.Step(*one) for one in steps], is_right_to_left)


def monitoring(view: View, published: Published, model: Mapping[str, Any]) -> None:
    """What the model's scores turned out to be worth, and whether its inputs drift; the newest of each."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    rows = published.rows(health.MONITORING, model_id=model["model_id"])
    if rows.is_empty():
        return
    alarms = int(rows["is_alarm"].fill_null(False).sum())
    title = _("Monitoring of the churn model: {customers}").format(
        customers=words.model_class(view.text)(model["commitment_class"])
    )
    with st.expander(title, key=f"monitoring-{model['commitment_class']}", expanded=alarms > 0):
        if alarms:
            told = ngettext("{count} measure raises an alarm.", "{count} measures raise an alarm.", alarms)
            st.warning(told.format(count=show.number(alarms)))
        else:
            st.caption(_("No measure raises an alarm."))
        columns = [
            Column("measure", _("Measure"), words=trust_words.monitored(view.text)),
            Column("subject", _("Of"), words=lambda one: _("all") if one == "all" else show.identifier(one)),
            Column("commitment_class", _("Customers"), words=trust_words.monitored_class(view.text)),
            Column("as_of", _("Scores of"), "day"),
            Column("value", _("Value"), "ratio"),
            Column("low", _("From"), "ratio"),
            Column("high", _("To"), "ratio"),
            Column("is_over_limit", _("Over the limit"), words=words.yes_no(view.text)),
            Column("is_alarm", _("Alarm"), words=words.yes_no(view.text)),
        ]
        frame.table(view, title, columns, rows)


def alternatives(view: View, published: Published) -> None:
    """What the figures of the last closed month would be under another policy, one setting at a time."""
    _, show = view.text.gettext, view.show
    if not published.build.has_subscriptions:
        return
    st.subheader(_("The same figures under other definitions"), anchor=False)
    try:
        ids = published.rows(health.SENSITIVE_METRICS)["metric_id"].to_list()
    except duckdb.Error:
        st.caption(_("They have not been worked out for this build. This does it:"))
        works_out(view)
        return
    if not ids:
        st.caption(_("No other definition moves a figure."))
        return
    labels = {one: view.metric(one).label for one in ids}
    metric_id = address.choice(
        "compared", _("Metric"), ids, "mrr" if "mrr" in ids else ids[0], labels.__getitem__
    )
    metric = view.metric(metric_id)
    rows = published.rows(health.SENSITIVITY, metric=metric_id)
    month = rows["month"][0]
    st.caption(show.month(month))
    shown = pl.DataFrame(
        [
            {
                **row,
                **{
                    name: amount(view, metric, row[name], row["currency"], name)
                    for name in ("figure_in_force", "figure", "difference")
                },
            }
            for row in rows.iter_rows(named=True)
        ],
        infer_schema_length=None,
    )
    columns = [
        Column("setting", _("Setting"), "id"),
        Column("value_in_force", _("In force"), "id"),
        Column("alternative", _("Instead"), "id"),
        Column("currency", _("Currency"), "id"),
        written("figure_in_force", _("Figure in force")),
        written("figure", _("Figure instead")),
        written("difference", _("Difference")),
    ]
    frame.table(view, _("The same figures under other definitions"), columns, shown)


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
            "message": view.told_of(attempt),
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
    ]
    if view.may("manage_people"):
        columns.append(Column("message", _("Message")))
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
        query=churn.RELIABILITY,
        values={"model_id": model["model_id"]},
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
