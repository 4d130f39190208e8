"""Page 9, metrics and lineage: what does this number mean, and where does it come from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, frame, health, lineage, links, menu, trust_words, words
from dashboard.figures import stored
from dashboard.lineage import Lineage
from dashboard.queries import lineage as lineage_queries
from dashboard.tables import Column
from dashboard.view import Published, View, open_view


def render(view: View) -> None:
    _ = view.text.gettext
    frame.header(
        view,
        "metrics",
        _("What does this number mean, and where does it come from?"),
    )
    if view.published is None:
        frame.nothing_published(view)
        return
    published = view.published
    registry = list(published.rows(lineage_queries.REGISTRY).iter_rows(named=True))
    failed = lineage.failed_metrics(published)
    chosen = address.read("metric")
    metric = next((row for row in registry if row["metric_id"] == chosen), None)
    with frame.panel(view):
        found = search(view, registry)
        listing(view, published, found, failed)
    if chosen and metric is None:
        st.info(_("There is no metric of that name in the registry."))
    if metric is not None:
        one_metric(view, published, metric, failed)


def search(view: View, registry: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The metrics that hold the words looked for, in either language, in what is said of them."""
    _ = view.text.gettext
    key = "metrics-search"
    st.session_state[key] = address.read("find") or ""

    def changed() -> None:
        address.write("find", str(st.session_state[key]).strip()[:100] or None)

    st.text_input(_("Search the metrics"), key=key, max_chars=100, on_change=changed)
    wanted = (address.read("find") or "").casefold().split()
    said = (
        "metric_id",
        "label_en",
        "label_ar",
        "definition_en",
        "definition_ar",
        "formula",
        "owner",
        "model",
    )
    return [
        row
        for row in registry
        if all(any(word in str(row[part] or "").casefold() for part in said) for word in wanted)
    ]


def listing(view: View, published: Published, found: Sequence[Mapping[str, Any]], failed: set[str]) -> None:
    """The metrics found, each with the pages it stands on, and a choice of one."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    if not found:
        frame.empty(view, _("No metric has these words."), ("find",))
        return
    count = ngettext("{count} metric", "{count} metrics", len(found))
    st.caption(count.format(count=show.number(len(found))))
    titles = {row["metric_id"]: row[f"label_{view.language}"] for row in found}
    pages = words.page_titles(view.text)
    rows = pl.DataFrame(
        [
            {
                "metric_id": row["metric_id"],
                "label": row[f"label_{view.language}"],
                "unit": row["unit"],
                "owner": row["owner"],
                "pages": "، ".join(names) if view.text.is_right_to_left else ", ".join(names),
                "is_failed": row["metric_id"] in failed,
            }
            for row in found
            for names in [[pages[page] for page in standing(published, row["metric_id"]) if page in pages]]
        ]
    )
    with st.expander(_("All metrics found"), expanded=address.read("metric") is None, key="metrics-list"):
        columns = [
            Column("label", _("Metric"), href=lambda row: address.to("metrics", metric=row["metric_id"])),
            Column("metric_id", _("Id"), "id"),
            Column("unit", _("Unit"), words=trust_words.unit(view.text)),
            Column("owner", _("Owner"), words=trust_words.metric_owner(view.text)),
            Column("pages", _("Stands on")),
            Column("is_failed", _("Test failed"), words=words.yes_no(view.text)),
        ]
        frame.table(view, _("All metrics found"), columns, rows)
    codes = ["", *titles]
    key = "metrics-choice"
    opened = address.read("metric")
    st.session_state[key] = opened if opened in titles else ""

    def changed() -> None:
        address.write("metric", str(st.session_state[key]) or None)

    st.selectbox(
        _("Metric"),
        codes,
        key=key,
        format_func=lambda code: titles.get(code) or _("Choose …"),
        on_change=changed,
    )


def standing(published: Published, metric_id: str) -> list[str]:
    """The pages a reader has on which a metric stands."""
    ids = frozenset(published.rows(lineage_queries.REGISTRY)["metric_id"].to_list())
    return [page for page in lineage.pages_with(metric_id, ids) if address.offers(page)]


def one_metric(view: View, published: Published, metric: Mapping[str, Any], failed: set[str]) -> None:
    """Everything about one metric."""
    _ = view.text.gettext
    metric_id = metric["metric_id"]
    st.subheader(metric[f"label_{view.language}"], anchor=False)
    if metric_id in failed:
        st.error(_("A test failed on a table this metric is made from. Its tests below say which."))
    tree = lineage.lineage(published)
    tabs = st.tabs([_("Definition"), _("Figures and SQL"), _("Lineage"), _("Tests"), _("Freshness")])
    with tabs[0], frame.panel(view):
        meaning(view, published, metric)
    with tabs[1], frame.panel(view):
        figures(view, published, metric, tree)
    if tree is None:
        for tab in tabs[2:]:
            with tab:
                st.caption(
                    _("This build is of an earlier release and tells nothing of its models. Build again.")
                )
        return
    steps = tree.upstream(lineage.models_of(metric))
    with tabs[2], frame.panel(view):
        descent(view, tree, steps)
    with tabs[3], frame.panel(view):
        tests(view, tree, steps)
    with tabs[4], frame.panel(view):
        sources = {name.removeprefix("raw_").split(".")[0] for name in steps if "." in name}
        health.freshness_table(view, published, _("Sources of this metric"), sources)


def meaning(view: View, published: Published, metric: Mapping[str, Any]) -> None:
    """The definition in both languages, the formula, and which settings of the policy it follows."""
    _, show = view.text.gettext, view.show
    other = {"en": "ar", "ar": "en"}[view.language]
    st.text(metric[f"definition_{view.language}"])
    st.caption(_("Formula"))
    st.code(metric["formula"], language=None, wrap_lines=True)
    facts = pl.DataFrame(
        {
            "fact": [
                _("Id"),
                _("Unit"),
                _("Which way is better"),
                _("Owner"),
                _("Read from"),
                _("Numerator"),
                _("Denominator"),
                _("Since version"),
            ],
            "value": [
                show.identifier(metric["metric_id"]),
                trust_words.unit(view.text)(metric["unit"]),
                trust_words.good_direction(view.text)(metric["good_direction"]),
                trust_words.metric_owner(view.text)(metric["owner"]),
                show.identifier(metric["model"]),
                show.identifier(metric["numerator"]),
                show.identifier(metric["denominator"]),
                show.identifier(metric["since_version"]),
            ],
        }
    )
    frame.table(view, _("Facts"), [Column("fact", _("What")), Column("value", _("Value"))], facts)
    with st.expander(_("In the other language"), key="metric-other"):
        st.text(metric[f"label_{other}"])
        st.text(metric[f"definition_{other}"])
    pages = words.page_titles(view.text)
    there = [page for page in standing(published, metric["metric_id"]) if page in pages]
    if there:
        st.caption(_("Stands on"))
        with st.container(horizontal=True, key="metric-pages"):
            for page in there:
                links.page_link(view, page, pages[page])
    if metric["settings"]:
        settings = published.rows(lineage_queries.SETTINGS, settings=metric["settings"])
        with st.expander(_("Settings it follows"), key="metric-settings"):
            columns = [
                Column("setting", _("Setting"), "id"),
                Column("value", _("Value"), "id"),
                Column("default_value", _("Default"), "id"),
            ]
            frame.table(view, _("Settings it follows"), columns, settings)


def figures(view: View, published: Published, metric: Mapping[str, Any], tree: Lineage | None) -> None:
    """Its newest figures, the statement that reads them, and the SQL that makes its table."""
    _ = view.text.gettext
    values = {"metric": metric["metric_id"]}
    rows = published.rows(lineage_queries.METRIC_FIGURES, **values)
    if not rows.is_empty():
        columns = [
            Column("month", _("Month"), "month"),
            Column("currency", _("Currency"), "id"),
            Column("shown", _("Figure")),
            Column("customers", _("Customers"), "count"),
            Column("is_provisional", _("Provisional"), words=words.yes_no(view.text)),
        ]
        shown = [
            stored(view, metric["unit"], row["value"], row["currency"]) for row in rows.iter_rows(named=True)
        ]
        frame.table(view, _("Newest figures"), columns, rows.with_columns(pl.Series("shown", shown)))
        menu.sql(view, published, lineage_queries.METRIC_FIGURES, values)
    for name in lineage.models_of(metric):
        if view.may("sql"):
            links.page_link(view, "workbench", _("Open its table in the SQL workbench"), table=name)
        if tree is not None and name in tree.models and tree.models[name].kind == "model":
            made = published.rows(lineage_queries.MODEL_SQL, table=name)
            with st.expander(_("The SQL that makes its table"), key=f"metric-sql-{name}"):
                st.text(name)
                st.code(made["sql"][0] or "", language="sql", wrap_lines=True)


def descent(view: View, tree: Lineage, steps: Mapping[str, int]) -> None:
    """The tables between the figure and its sources, from the sources on."""
    _, ngettext, show = view.text.gettext, view.text.ngettext, view.show
    names = sorted(steps, key=lambda name: (-steps[name], name))
    sources = [name for name in names if tree.models[name].kind == "source"]
    counted = ngettext("{count} source table", "{count} source tables", len(sources))
    st.caption(counted.format(count=show.number(len(sources))))
    layer = trust_words.layer(view.text)
    failing = tree.failing
    rows = pl.DataFrame(
        [
            {
                "layer": layer("source" if tree.models[name].kind == "source" else tree.models[name].schema),
                "name": name,
                "parents": "\n".join(tree.models[name].parents),
                "description": tree.models[name].description.replace("`", ""),
                "is_failed": name in failing,
            }
            for name in names
        ],
        schema={
            "layer": pl.String,
            "name": pl.String,
            "parents": pl.String,
            "description": pl.String,
            "is_failed": pl.Boolean,
        },
    )
    columns = [
        Column("name", _("Table"), "id", href=lambda _row: None),
        Column("layer", _("Layer")),
        Column("parents", _("Made from")),
        Column("description", _("What it is")),
        Column("is_failed", _("Test failed"), words=words.yes_no(view.text)),
    ]
    frame.table(view, _("Lineage"), columns, rows)


def tests(view: View, tree: Lineage, steps: Mapping[str, int]) -> None:
    """The tests of every table on the way, with their last result."""
    _, show = view.text.gettext, view.show
    found = tree.tests_of(steps)
    passed = found.filter(pl.col("status") == "pass")["test_name"].n_unique()
    st.caption(
        _("{passed} of {all} passed").format(
            passed=show.number(passed), all=show.number(found["test_name"].n_unique())
        )
    )
    columns = [
        Column("test_name", _("Test"), "id"),
        Column("model", _("Table"), "id"),
        Column("status", _("Result"), words=words.test_status(view.text)),
        Column("failures", _("Rows that fail"), "count"),
        Column("asks", _("What it asks")),
    ]
    frame.table(view, _("Tests"), columns, found)


render(open_view())
