"""May this run write scores at all, and which doubts stand on a row? Decided from the inputs alone.

A whole run is withheld where its inputs cannot be trusted: a source older than its SLA, a failed test on an
input, a category the model never saw in more than 5 % of the rows. Then no score of the run is written; the
reader goes on seeing the last ones with their date and these reasons. An input that drifted beyond the limit
withholds nothing: it is flagged on every row and told with the status. What else concerns single inputs or
single accounts (a source that is not joined, a feature that is null or the same throughout, an account
without history) is scored and flagged on the row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from churn_model.dataset import Feature

Column = NDArray[np.float64]

UNSEEN_LIMIT = 0.05
DRIFT_LIMIT = 1.0
"""Stability index of one input's values above which the model would be read outside what it learned.

Over two years of real orders month by month, honest inputs reached .2 to .5, and .9 in the week after
Christmas; amounts in another unit or a broken feed go far beyond 1. Rows without a value do not count here:
an input that is empty is flagged, and one that fills up as the history grows is no fault."""


@dataclass(frozen=True)
class Source:
    """What one source last brought. `newest_on`: day of its newest row, None where it never brought any.

    `sla_days`: how many days behind the as-of day it may be; None where nobody promised anything.
    """

    name: str
    newest_on: date | None
    sla_days: int | None


@dataclass(frozen=True)
class Reason:
    """Why a run is withheld, or by `drift` doubted. `code`: stale_source, failed_test, unseen_category or
    drift; `subject`: of what."""

    code: str
    subject: str
    text_en: str
    text_ar: str


def withheld(
    as_of: date,
    *,
    sources: Sequence[Source] = (),
    failed_tests: Sequence[str] = (),
    unseen: Mapping[str, float] | None = None,
    drift: Mapping[str, float] | None = None,
    unseen_limit: float = UNSEEN_LIMIT,
    drift_limit: float = DRIFT_LIMIT,
) -> tuple[Reason, ...]:
    """Every reason not to trust a run; empty: none. A scoring run asks twice (run.py): without `drift` what
    withholds its scores, and with nothing but `drift` what is flagged on them.

    failed_tests: names of tests on an input that failed. unseen: for each categorical input the share of rows
    whose value training never saw (`unseen_shares`). drift: for each input its stability index against
    training, `beyond_noise` of `monitoring.drift_of`.
    """
    return (
        *(_stale(source, as_of) for source in sources if is_late(source, as_of)),
        *(_failed(test) for test in failed_tests),
        *(
            _unseen(name, share, unseen_limit)
            for name, share in (unseen or {}).items()
            if share > unseen_limit
        ),
        *(_drifted(name, psi, drift_limit) for name, psi in (drift or {}).items() if psi > drift_limit),
    )


def reason_text(reasons: Sequence[Reason], language: str) -> str:
    """The reasons as one text in a language, `en` or `ar`: what churn_status and the page show."""
    return " ".join(reason.text_ar if language == "ar" else reason.text_en for reason in reasons)


def is_late(source: Source, as_of: date) -> bool:
    """Whether a source is further behind the as-of day than agreed."""
    if source.sla_days is None:
        return False
    return source.newest_on is None or (as_of - source.newest_on).days > source.sla_days


def _stale(source: Source, as_of: date) -> Reason:
    if source.newest_on is None:
        return Reason(
            "stale_source",
            source.name,
            f"The source {source.name} has brought nothing yet; at most {source.sla_days} days are agreed.",
            f"لم يصل شيء بعد من المصدر {source.name}، والمتفق عليه ألا يتجاوز عمره {source.sla_days} يومًا.",
        )
    age = (as_of - source.newest_on).days
    return Reason(
        "stale_source",
        source.name,
        f"The newest row of the source {source.name} is of {source.newest_on}: {age} days old, "
        f"at most {source.sla_days} are agreed.",
        f"أحدث صف من المصدر {source.name} بتاريخ {source.newest_on}: عمره {age} يومًا، "
        f"والحد المتفق عليه {source.sla_days}.",
    )


def _failed(test: str) -> Reason:
    return Reason(
        "failed_test",
        test,
        f"The test {test} of an input failed.",
        f"فشل الاختبار {test} على أحد المدخلات.",
    )


def _unseen(name: str, share: float, limit: float) -> Reason:
    return Reason(
        "unseen_category",
        name,
        f"{share:.1%} of the rows have a value of {name} that the model never saw; the limit is {limit:.0%}.",
        f"قيمة {name} في {share:.1%} من الصفوف لم يرها النموذج قط؛ الحد {limit:.0%}.",
    )


def _drifted(name: str, psi: float, limit: float) -> Reason:
    return Reason(
        "drift",
        name,
        f"{name} is distributed unlike in training: stability index {psi:.2f}, the limit is {limit:.2f}.",
        f"توزيع {name} لا يشبه بيانات التدريب: مؤشر الاستقرار {psi:.2f}، والحد {limit:.2f}.",
    )


def unseen_shares(
    now: Mapping[str, Sequence[str | None]], trained: Mapping[str, Collection[str]]
) -> dict[str, float]:
    """For each categorical input the share of rows with a value outside training's; null is no category.

    now: the input's values, one a row; trained: the values of training. Inputs absent from either are left
    out.
    """
    shares = {}
    for name, values in now.items():
        if name in trained and len(values):
            known = set(trained[name])
            shares[name] = sum(value is not None and value not in known for value in values) / len(values)
    return shares


def input_flags(x: Column, names: Sequence[str], missing_sources: Sequence[str] = ()) -> list[str]:
    """Flags that stand on every row of a run: `missing_source:NAME`, `all_null:NAME`, `constant:NAME`.

    x: the run's rows x features, NaN for no history. One row alone is not called constant.
    """
    flags = [f"missing_source:{name}" for name in missing_sources]
    for j, name in enumerate(names):
        known = x[~np.isnan(x[:, j]), j]
        if not len(known):
            flags.append(f"all_null:{name}")
        elif len(x) > 1 and len(known) == len(x) and known.min() == known.max():
            flags.append(f"constant:{name}")
    return flags


def without_history(x: Column, features: Sequence[Feature]) -> list[bool]:
    """For each row whether it has no history: every feature that may be null (by its null rule) is null
    there.

    x: rows x features. Nobody is without history where no feature may be null.
    """
    places = [j for j, feature in enumerate(features) if not feature.null_rule.startswith("never")]
    return [bool(places) and bool(is_null.all()) for is_null in np.isnan(x[:, places])]


FLAGS = {
    "missing_source": ("The source {} is not joined.", "المصدر {} غير موصول."),
    "all_null": ("{} is empty for every account.", "{} فارغ لكل الحسابات."),
    "constant": ("{} is the same for every account.", "{} متطابق لكل الحسابات."),
    "drift": (
        "{} drifted beyond the limit: the model reads it outside of what it learned.",
        "تجاوز انحراف {} الحد: يقرؤه النموذج خارج ما تعلّمه.",
    ),
    "leak_alarm": (
        "{} alone almost gives away who leaves: do not use these scores.",
        "{} وحده يكاد يكشف المغادرين: لا تستعمل هذه الدرجات.",
    ),
    "known_day_assumed": (
        "The day on which an imported row became known is assumed to be its own day.",
        "يوم معرفة الصف المستورد يُفترض أنه يوم الحدث نفسه.",
    ),
    "no_usage_feed": ("No usage feed for this account.", "لا بيانات استخدام لهذا الحساب."),
    "no_crm_account": ("This account is not in the CRM.", "هذا الحساب ليس في نظام إدارة العملاء."),
    "no_history": (
        "Nothing but its contract is known of this account yet: the score is nearly that of a typical one.",
        "لا يُعرف عن هذا الحساب بعد سوى عقده: درجته قريبة من درجة حساب معتاد.",
    ),
}


def flag_text(flag: str, language: str) -> str:
    """A flag as a sentence in a language, `en` or `ar`; a flag of another kind as it is."""
    kind, _, subject = flag.partition(":")
    if kind not in FLAGS:
        return flag
    return FLAGS[kind][1 if language == "ar" else 0].format(subject)
