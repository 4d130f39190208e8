"""One page in both languages from one JSON form: complete, well-formed, and fetching nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn_model import appraisal, report
from churn_model.charts import axis_over
from churn_model.dataset import features_of
from churn_model.effects import save_rate
from churn_model.monitoring import Measure, Stability, drift_measures, measure_given, ratio
from churn_model.report import FORM, OPTIONAL, Words, checked, page_of, words
from churn_model.withholding import Source, flag_text, withheld

VOID = {"meta", "br", "link", "img", "input", "line", "rect", "circle", "polyline"}


class Page(HTMLParser):
    """The page's elements; raises where one is closed that is not open. Keeps the text of each language."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {"en": [], "ar": []}
        self.language = ""
        self.drawings = 0
        self.described = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.attributes += given.items()
        if tag == "article":
            self.language = given["id"]
            assert (given["lang"], given["dir"]) == (self.language, {"en": "ltr", "ar": "rtl"}[self.language])
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "svg":
            self.drawings += 1
            self.described += bool(given.get("aria-label")) and given.get("role") == "img"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.language and data.strip():
            self.texts[self.language].append(data.strip())

    def text(self, language: str) -> str:
        return " ".join(self.texts[language])


def figures(splits: tuple[str | None, ...], role: str = "test") -> list[dict[str, Any]]:
    return [
        {
            "candidate": name,
            "split": split,
            "role": role,
            "metric": metric,
            "value": value,
            "low": value - 0.012,
            "high": value + 0.012,
            "customers": 400,
            "base_rate": 0.25,
        }
        for split in splits
        for name in ("recency_rule", "blend")
        for metric, value in (("auc", 0.7812), ("brier", 0.1501))
    ]


def document() -> dict[str, Any]:
    """Every part there is, of contract accounts."""
    random = np.random.default_rng(1)
    p = random.beta(1.5, 4, 400)
    y = (random.random(400) < p).astype(float)
    groups = {
        "commitment_class": ["monthly", "term"] * 200,
        "auto_renew": ["true", "true", "false", None] * 100,
    }
    days = np.where(y == 1, random.integers(1, 91, 400), np.nan)
    judged = appraisal.Judged(y, p, groups, random.integers(1, 9999, 400) * 1.0, ["EUR"] * 400, days)
    names = [f"<b>customer {n}</b>" for n in range(400)]
    sentences = [[("Active users 3 of 20", "مستخدمون نشطون 3 من 20")]] * 400
    shape = {
        "feature": "seat_use",
        "label": {"en": "Seats in use", "ar": "المقاعد المستعملة"},
        "weight": 0.4,
        "x": [0.0, 0.5, 1.0],
        "y": [0.8, 0.1, -0.4],
        "null": 0.2,
        "null_share": 0.1,
        "typical": 0.6,
    }
    named = shape | {
        "feature": "payment_method",
        "cause": "involuntary",
        "levels": ["card", "transfer", "debit"],
    }
    limit = {"en": "Usage is joined since May.", "ar": "بيانات الاستخدام موصولة منذ مايو."}
    made = {
        "form": FORM,
        "version": 1,
        "kind": "contract",
        "champion": "blend",
        "headline": "model_wins",
        "figures": [
            *figures(("2026-01-31", "2026-04-30", None)),
            *figures(("2025-07-31", "2025-08-31"), "origin"),
        ],
        "subject": "Atlas & Sons",
        "made_on": "2026-08-31",
        "model_id": "abc123",
        "capacity": 50,
        "rules": ["recency_rule"],
        "counts": [{"what": {"en": "Rows without a time", "ar": "صفوف بلا زمن"}, "rows": 12}],
        "cohorts": [
            {"as_of": "2026-01-31", "customers": 1234, "left": 100, "voluntary": 70, "involuntary": 30},
            {"as_of": "2026-02-28", "customers": 0, "left": 0, "voluntary": 0, "involuntary": 0},
        ],
        "choice": {"origins": ["2025-07-31", "2025-08-31"], "log_loss": {"blend": 0.4123}},
        **appraisal.parts_of(judged, judged, 50),
        "last_list": appraisal.last_list(judged, names, sentences, 50, "2026-04-30", "2026-08-28"),
        "shapes": [shape, named],
        "monitoring": [
            asdict(ratio(np.repeat([1.0, 0.0], [260, 740]), np.full(1000, 0.2), "band:high"))
            | {"as_of": "2026-04-30"},
            asdict(Measure("auc", "all", None)) | {"as_of": "2026-04-30"},
        ],
        "effects": [asdict(save_rate(480, 800, 560, 700, play="call")), asdict(save_rate(1, 2, 1, 2))],
        "drift": [{"feature": "mrr", "psi": 0.31, "noise": 0.02, "is_over_limit": True, "is_alarm": True}],
        "leak": {"random_auc": 0.82, "temporal_auc": 0.78, "gap": 0.04, "alarms": []},
        "freshness": [
            {"source": "billing", "newest_on": "2026-08-30", "sla_days": 2, "is_late": False},
            {"source": "crm", "newest_on": None, "sla_days": 7, "is_late": True},
        ],
        "withheld": [{"code": "drift", "subject": "mrr", "text": {"en": "mrr drifted.", "ar": "انحرف mrr."}}],
        "limits": [limit],
        "flags": [{"flag": "no_history", "rows": 4321}],
        "exponents": {"EUR": 2},
        "card": {
            "horizon_days": 90,
            "trained_from": "2024-01-31",
            "trained_to": "2026-05-31",
            "seed": 0,
            "training_rows": 20000,
            "training_customers": 1500,
            "training_events": 2000,
            "closed_origins": 28,
            "library": {"scikit-learn": "1.9.1"},
            "season_offset": -0.12,
            "known_day_assumed": True,
            "features": [{"name": "seat_use", "label": shape["label"]}],
            "known_failures": [limit],
            "not_for": [limit],
            "licences": [limit],
            "purpose": limit,
        },
    }
    assert set(OPTIONAL) <= set(made)
    return made


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(page_of(document()))


def test_the_page_is_well_formed_and_every_id_is_its_own(page: Page) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    links = [value[1:] for name, value in page.attributes if name == "href"]
    assert links
    assert set(links) <= set(page.ids)


def test_the_page_runs_no_script_and_fetches_nothing(page: Page) -> None:
    text = page_of(document())
    assert not {"script", "link", "iframe", "object", "embed", "img", "form", "use", "image"} & page.tags
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:|data:", text)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))


def test_every_chart_is_described(page: Page) -> None:
    assert page.drawings == page.described > 10


def test_both_languages_say_the_same_in_their_own_words(page: Page) -> None:
    arabic, english = page.text("ar"), page.text("en")
    headings = (
        "today was_it_right effects figures ranking calibration lead_times subgroups drivers drift leak"
    )
    for key in (*headings.split(), "freshness", "cohorts", "limits", "card"):
        assert words()[key][0] in english, key
        assert words()[key][1] in arabic, key
    sides = [re.findall(r"\d[\d,.]*\d", text) for text in (english, arabic)]
    assert len(set(sides[0])) > 100
    assert set(sides[0]) == set(sides[1])
    assert not re.search("[؀-ۿ]", english.replace("العربية", ""))


def test_the_figures_of_the_document_stand_on_the_page(page: Page) -> None:
    told = ["0.781 [0.769, 0.793]", "0.4123", "1,234", "8.1%", "+20.0", "2026-08-28", "abc123"]
    told += ["1.300 [1.169, 1.440]", "0.310", "+0.040", "-0.120", "Atlas & Sons", "scikit-learn 1.9.1"]
    for text in told:
        assert text in page.text("en"), text
        assert text in page.text("ar"), text
    assert "4,321" in page.text("ar")
    assert flag_text("no_history", "ar") in page.text("ar")
    assert "not enough data" in page.text("en")
    assert "Of the band high 260 left, 200 were expected" in page.text("en")
    assert "لا بيانات كافية" in page.text("ar")


def test_figures_after_the_first_week_stand_apart(page: Page) -> None:
    later = [
        figure | {"metric": f"{figure['metric']}_after_a_week", "value": 0.7654}
        for figure in figures((None,))
    ]
    given = document() | {"figures": [*figures((None,)), *later]}
    shown = Page(page_of(given))
    assert "0.765" in shown.text("en")
    assert words()["after_week_note"][1] in shown.text("ar")
    assert words()["after_week_note"][0] not in page.text("en")
    assert "after_a_week" not in shown.text("en")


@pytest.mark.parametrize("by", ["value", "probability"])
def test_the_page_says_by_what_the_last_list_was_ranked(by: str) -> None:
    shown = Page(page_of(document() | {"last_list": document()["last_list"] | {"ranked_by": by}}))
    assert words()[f"ranked_by_{by}"][0] in shown.text("en")
    assert words()[f"ranked_by_{by}"][1] in shown.text("ar")


def test_names_from_the_data_are_shown_and_never_read_as_markup(page: Page) -> None:
    assert "<b>customer" in page.text("en")


def test_a_part_that_is_absent_is_left_out() -> None:
    least = {key: document()[key] for key in ("form", "version", "kind", "champion", "headline", "figures")}
    small = Page(page_of(least))
    assert small.open == []
    for key in ("ranking", "drift", "effects", "cohorts", "was_it_right"):
        assert words()[key][0] not in small.text("en")
        assert words()[key][1] not in small.text("ar")
    for key in ("figures", "limits", "card"):
        assert words()[key][0] in small.text("en")


@pytest.mark.parametrize("part", OPTIONAL)
def test_any_one_part_may_be_absent(part: str) -> None:
    Page(page_of({name: value for name, value in document().items() if name != part}))


@pytest.mark.parametrize("kind", report.KINDS)
@pytest.mark.parametrize("headline", report.HEADLINES)
def test_every_kind_and_headline_has_a_page(kind: str, headline: str) -> None:
    folds = figures(("1", "2", None), "fold")
    given = document() | {"kind": kind, "headline": headline, "figures": folds, "choice": {"folds": 4}}
    shown = Page(page_of({**given, "choice": {"folds": 4, "log_loss": {}}}))
    assert words()[f"headline_{headline}"][0] in shown.text("en")
    assert words()[f"kind_{kind}"][1] in shown.text("ar")
    assert (words()["today"][0] in shown.text("en")) == (kind in ("repeat_trade", "contract"))


def test_folds_and_times_are_told_in_words() -> None:
    given = figures(("fold 1", None))
    given[0] |= {"metric": "auc_at_12"}
    shown = Page(page_of(document() | {"kind": "survival", "figures": given}))
    assert "Fold 1 " in shown.text("en")
    assert "القسم 1 " in shown.text("ar")
    assert "AUC at 12" in shown.text("en")
    assert "fold 1" not in shown.text("ar")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "another"}, "form"),
        ({"version": 2}, "version 1"),
        ({"kind": "guess"}, "guess"),
        ({"headline": "great"}, "great"),
        ({"curve": {}}, "curve"),
        ({"figures": [{"candidate": "blend"}]}, "a figure needs"),
        ({"figures": [figures((None,))[0] | {"role": "train"}]}, "train"),
    ],
)
def test_a_document_of_another_form_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(document() | change)
    with pytest.raises(ValueError, match="lacks champion"):
        checked({name: value for name, value in document().items() if name != "champion"})


def test_the_json_beside_the_page_is_the_document(tmp_path: Path) -> None:
    place = report.write(
        tmp_path / "new" / "folder", document() | {"leak": {"gap": float("nan"), "alarms": []}}
    )
    kept = json.loads((place.parent / "report.json").read_text(encoding="utf-8"))
    assert place.name == "report.html"
    assert kept["leak"] == {"gap": None, "alarms": []}
    assert kept["card"] == document()["card"]
    assert Page(page_of(kept)).open == []


def test_every_text_exists_in_both_languages_with_the_same_gaps() -> None:
    for key, texts in words().items():
        english, arabic = texts
        assert sorted(re.findall(r"{(\w+)}", english)) == sorted(re.findall(r"{(\w+)}", arabic)), key
        assert english, key
        assert arabic, key


def used_words() -> Iterator[str]:
    source = Path(report.__file__).parent
    for name in ("report.html.j2", "report.py"):
        text = (source / name).read_text(encoding="utf-8")
        yield from re.findall(r"""\bt(?:\.plain)?\(\s*"(\w+)"[,)]""", text)


def test_every_text_that_is_asked_for_is_there() -> None:
    used = set(used_words())
    assert len(used) > 60
    assert used <= set(words())


def test_a_value_without_a_word_stands_as_it_is() -> None:
    assert Words("ar").of("candidate", "my <model>") == "<bdi>my &lt;model&gt;</bdi>"
    assert "Kaplan" in Words("en").of("candidate", "kaplan_meier")


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 100.0], [0, 50, 100]),
        ([-0.4, 0.8], [-0.0, 0.5]),
        ([3.0, 3.0], [2.5, 3.0, 3.5]),
        ([10.0, 12.0], [10, 10.5, 11, 11.5, 12]),
        ([0.001, 0.004], [0.0, 0.001, 0.002, 0.003, 0.004]),
    ],
)
def test_axes_have_round_ticks_within_their_range(values: list[float], ticks: list[float]) -> None:
    axis = axis_over(values, "")
    assert list(axis.ticks) == pytest.approx(ticks)
    assert axis.low <= min(values)
    assert axis.high >= max(values)


@pytest.mark.parametrize(
    ("unit", "x", "ticks"),
    [
        ("money", [0.0, 40000.0], [">0<", ">200<", ">400<", ">EUR<"]),
        ("share", [0.0, 1.0], [">0%<", ">50%<", ">100%<"]),
        ("log_ratio", [-1.0, 1.0], [">×0.37<", ">×1<", ">×2.7<"]),
        ("days", [0.0, 90.0], [">0<", ">50<"]),
    ],
)
def test_a_shape_is_drawn_in_the_features_unit(unit: str, x: list[float], ticks: list[str]) -> None:
    shape = document()["shapes"][0] | {"unit": unit, "x": x, "y": [0.0, 1.0]}
    text = page_of(
        document()
        | {
            "shapes": [shape],
            "curves": {},
            "reliability": [],
            "lead_times": {"bins": [], "median_days": None},
            "cohorts": [],
        }
    )
    assert all(tick in text for tick in ticks)


def test_a_chart_in_arabic_is_the_mirror_of_the_one_in_english() -> None:
    arabic, english = re.split('<article id="en"', page_of(document()))
    pairs = list(zip(*(re.findall("<svg.*?</svg>", side) for side in (arabic, english)), strict=True))
    assert len(pairs) > 4
    for mirrored, drawn in pairs:
        width = float(re.findall('viewBox="0 0 ([0-9]+) ', drawn)[0])
        for place, wide in ((r' cx="([\d.]+)"()', 0), (r'<rect[^>]* x="([\d.]+)"[^>]* width="([\d.]+)"', 1)):
            here, there = (re.findall(place, one) for one in (drawn, mirrored))
            assert [(width - float(x) - float(w or 0), w) for x, w in here] == [
                (pytest.approx(float(x), abs=0.11), w) for x, w in there
            ], wide
        corners = [
            [
                tuple(map(float, one.split(",")))
                for line in re.findall(' points="([^"]+)"', svg)
                for one in line.split()
            ]
            for svg in (drawn, mirrored)
        ]
        assert [(width - x, y) for x, y in corners[0]] == [
            (pytest.approx(x, abs=0.11), y) for x, y in corners[1]
        ]
        # A tick of the vertical axis ends at its line, on whichever side that is.
        ends = [
            re.findall(r'<line class="grid"[^>]*/><text x="([\d.]+)"[^>]*text-anchor="(\w+)"', one)
            for one in (drawn, mirrored)
        ]
        assert {anchor for _, anchor in ends[0]} == {"end"}
        assert {anchor for _, anchor in ends[1]} == {"start"}
        assert [width - float(x) for x, _ in ends[0]] == [float(x) for x, _ in ends[1]]


def test_a_percentage_is_written_as_on_the_pages() -> None:
    """As the dashboard writes it in both languages: without a space before the sign."""
    text = page_of(document())
    assert re.search(r"\d%", text)
    assert not re.search(r"\d[ \u00a0]%", text.split("</style>")[1])


def test_a_features_name_is_its_sentence_without_figures() -> None:
    for feature in features_of():
        label = report.label_of(feature)
        assert "{" not in label["en"] + label["ar"]
        assert label["en"] != label["ar"]
    assert report.label_of(features_of()[0]) == {
        "en": "Days since the last order",
        "ar": "الأيام منذ آخر طلب",
    }


def test_what_a_scoring_run_knows_becomes_parts_of_the_page() -> None:
    """Of its own inputs: one over the limit for the second time; of its sources: one late, one without an
    SLA."""
    day = date(2026, 8, 31)
    given = measure_given(
        pl.DataFrame(
            {"customer_id": ["a", "b"], "as_of": [day] * 2, "model_id": "m", "p_90": [0.5, 0.1]}
        ).with_columns(commitment_class=pl.lit("term")),
        pl.DataFrame({"customer_id": ["a", "b"], "as_of": [day] * 2, "left": [True, False]}),
        measured_on=date(2026, 12, 31),
        horizon_days=90,
    )
    inputs = {"mrr": Stability(0.31, 0.02, 500), "seats": Stability(0.05, 0.02, 500)}
    measures = drift_measures(inputs, Stability(0.04, 0.02, 500), {("psi_input", "mrr")})
    sources = [Source("crm", date(2026, 8, 1), 7), Source("orders", None, None)]
    parts = report.parts_of_today(
        day,
        given=given,
        effects=[save_rate(480, 800, 560, 700)],
        inputs=inputs,
        measures=measures,
        sources=sources,
        reasons=withheld(day, sources=sources),
    )
    assert [(row["feature"], row["is_alarm"], row["noise"]) for row in parts["drift"]] == [
        *(("mrr", True, 0.02), ("seats", False, 0.02), ("score", False, None))
    ]
    assert [row["is_late"] for row in parts["freshness"]] == [True, False]
    shown = Page(page_of(document() | parts))
    assert "The input mrr drifted from training in two runs" in shown.text("en")
    assert "عمره 30 يومًا" in shown.text("ar")
    assert report.parts_of_today(day) == {}
    listed = document()["last_list"]
    flags = {"constant:mrr": 7}
    assert report.parts_of_today(day, last_list=listed, exponents={"EUR": 2}, flags=flags) == {
        "last_list": listed,
        "exponents": {"EUR": 2},
        "flags": [{"flag": "constant:mrr", "rows": 7}],
    }


def test_many_inputs_are_folded_away_and_none_is_lost() -> None:
    rows = [
        {"feature": f"input_{n}", "psi": 0.1, "noise": 0.2, "is_over_limit": False, "is_alarm": False}
        for n in range(40)
    ]
    shown = Page(page_of(document() | {"drift": rows}))
    assert shown.open == []
    assert all(f"input_{n}" in shown.text("ar") for n in range(40))
    assert "All other inputs ( 28 )" in shown.text("en")


def test_a_kept_model_has_a_page_with_its_rows_parts() -> None:
    day = {"test_date": "2026-02-01", "low": None, "high": None, "customers": 90, "base_rate": 0.4}
    kept = {
        "champion": "blend",
        "headline": "model_wins",
        "leak_gap": 0.03,
        "leak_alarms": [],
        "figures": [
            {"candidate": "blend", "metric": "auc", "value": 0.76, **day},
            {"candidate": "blend", "metric": "auc", "value": 0.77, **day, "test_date": None},
        ],
        "reliability": [
            {"candidate": "blend", "test_on": "2026-02-01", "bins": [(50, 0.2, 0.1), (50, 0.5, 0.7)]}
        ],
        "months": [{"as_of": "2026-01-31", "customers": 90, "left": 36}],
        "weekly_list": {"capacity": 50, "precision": 0.6, "caught": 30, "left": 36},
        "origins": [],
        "origin_log_loss": {},
        "known_day_assumed": True,
        "parts": {
            "reliability": [{"by": "all", "value": None, "customers": 9, "left": 3, "ece": 0, "bins": []}]
        },
    }
    manifest = {"model_id": "m1", "horizon_days": 90, "commitment_class": "non_contract"}
    made = report.document_of_model(manifest, kept, features_of())
    assert made["leak"]["random_auc"] == pytest.approx(0.80)
    rolled = {**kept, "origin_figures": [{"candidate": "blend", "metric": "auc", "value": 0.71, **day}]}
    roles = [figure["role"] for figure in report.document_of_model(manifest, rolled, [])["figures"]]
    assert roles == ["test", "test", "origin"]
    by_date = made["reliability"][1]
    assert (by_date["left"], by_date["ece"]) == (40, pytest.approx((50 * 0.1 + 50 * 0.2) / 100))
    shown = Page(report.render(manifest, kept, features_of()))
    assert words()["kind_repeat_trade"][0] in shown.text("en")
    assert (
        report.document_of_model(manifest | {"commitment_class": "contract"}, kept, [])["kind"] == "contract"
    )
