"""A run whose inputs can't be trusted writes no scores and says why; doubts about a row stand on the row."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from churn_model.dataset import Feature
from churn_model.withholding import (
    FLAGS,
    Source,
    flag_text,
    input_flags,
    reason_text,
    unseen_shares,
    withheld,
    without_history,
)

AS_OF = date(2026, 3, 31)


@pytest.mark.parametrize(
    ("newest_on", "sla_days", "codes"),
    [
        (date(2026, 3, 29), 2, []),
        (date(2026, 3, 28), 2, ["stale_source"]),
        (date(2024, 2, 29), 760, ["stale_source"]),
        (date(2024, 2, 29), 761, []),
        (date(2020, 1, 1), None, []),
        (None, None, []),
        (None, 7, ["stale_source"]),
        (date(2026, 4, 1), 0, []),
    ],
)
def test_a_source_older_than_agreed_withholds_the_run(
    newest_on: date | None, sla_days: int | None, codes: list[str]
) -> None:
    found = withheld(AS_OF, sources=[Source("billing", newest_on, sla_days)])
    assert [reason.code for reason in found] == codes


@pytest.mark.parametrize(("share", "is_withheld"), [(0.0, False), (0.05, False), (0.051, True), (1.0, True)])
def test_an_unseen_category_above_one_row_in_twenty_withholds_the_run(
    share: float, is_withheld: bool
) -> None:
    assert bool(withheld(AS_OF, unseen={"segment": share})) == is_withheld


@pytest.mark.parametrize(("psi", "is_withheld"), [(0.0, False), (0.9, False), (1.01, True)])
def test_drift_beyond_the_limit_withholds_the_run(psi: float, is_withheld: bool) -> None:
    assert bool(withheld(AS_OF, drift={"mrr": psi})) == is_withheld


def test_a_failed_test_on_an_input_withholds_the_run() -> None:
    (reason,) = withheld(AS_OF, failed_tests=["not_null_fct_invoices_due_on"])
    assert (reason.code, reason.subject) == ("failed_test", "not_null_fct_invoices_due_on")


def test_nothing_wrong_withholds_nothing() -> None:
    assert withheld(AS_OF) == ()
    assert (
        withheld(AS_OF, sources=[Source("crm", AS_OF, 1)], unseen={"segment": 0.01}, drift={"mrr": 0.1}) == ()
    )


def test_every_reason_is_given_in_both_languages_with_its_figures() -> None:
    found = withheld(
        AS_OF,
        sources=[Source("crm", date(2026, 3, 1), 7), Source("usage", None, 2)],
        failed_tests=["unique_dim_customers"],
        unseen={"segment": 0.123},
        drift={"mrr": 1.5},
    )
    assert [reason.code for reason in found] == [
        *("stale_source", "stale_source", "failed_test", "unseen_category", "drift")
    ]
    for words in ("2026-03-01", "30", "7", "unique_dim_customers", "12.3%", "5%", "1.50", "1.00"):
        assert words in reason_text(found, "en")
        assert words in reason_text(found, "ar")
    for reason in found:
        assert reason.text_en.isascii()
        assert any("؀" <= letter <= "ۿ" for letter in reason.text_ar)


def test_the_share_beyond_noise_that_training_never_saw() -> None:
    now = {"segment": ["small", "mid", None, "giant"], "channel": ["web"], "country": []}
    trained = {"segment": ["small", "mid"], "country": ["GB"]}
    assert unseen_shares(now, trained) == {"segment": 0.25}


def test_an_empty_and_a_constant_feature_are_flagged() -> None:
    x = np.array([[1.0, np.nan, 7.0, np.nan], [2.0, np.nan, 7.0, 7.0], [3.0, np.nan, 7.0, 7.0]])
    flags = input_flags(x, ["varied", "empty", "same", "same_or_unknown"], ["crm"])
    assert flags == ["missing_source:crm", "all_null:empty", "constant:same"]


def test_one_account_alone_is_not_called_constant() -> None:
    assert input_flags(np.array([[1.0]]), ["mrr"]) == []


def test_an_account_without_history_is_told_by_the_features_that_may_be_null() -> None:
    rules = {
        "tenure_days": "never",
        "segment": "never: unknown",
        "gap_mean": "no order yet",
        "nps": "no answer",
    }
    features = [Feature(name, "", "", "", 0, "", rule, "", "") for name, rule in rules.items()]
    x = np.array([[5, 1, 1, 2], [0, 0, np.nan, np.nan], [9, np.nan, np.nan, 3]])
    assert without_history(x, features) == [False, True, False]
    assert without_history(x[:, :2], features[:2]) == [False, False, False]


def test_flags_speak_both_languages() -> None:
    for kind in FLAGS:
        assert flag_text(f"{kind}:mrr", "en") != flag_text(f"{kind}:mrr", "ar")
    assert flag_text("all_null:mrr", "en") == "mrr is empty for every account."
    assert flag_text("another:mrr", "en") == "another:mrr"
