"""In a real browser a click on a bar, or a point of a line, opens the rows behind it, in both languages."""

from __future__ import annotations

import pytest
from window import Reader

from dashboard.i18n import text
from dashboard.words import dunning_outcome

pytestmark = pytest.mark.browser

WIDE_BARS = """chart => {
  const bars = [...document.querySelectorAll(`.st-key-chart-${chart} .point path`)];
  const boxes = bars.map(bar => [bar, bar.getBoundingClientRect()]);
  return boxes.filter(([, box]) => box.width > 1 && box.height > 1).map(([bar]) => bar);
}"""


POINTS = "chart => [...document.querySelectorAll(`.st-key-chart-${chart} .scatterlayer path.point`)]"


def click(reader: Reader, chart: str, place: int, drawn: str = WIDE_BARS) -> str:
    """Click a bar that can be seen, or a point, the first being 0; gives what the rows opened by it say."""
    reader.page.wait_for_function(f"chart => ({drawn})(chart).length > 1", arg=chart)
    box = reader.page.evaluate(
        f"""([chart, place]) => {{
            const bar = ({drawn})(chart)[place];
            bar.scrollIntoView({{block: 'center'}});
            const box = bar.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }}""",
        [chart, place],
    )
    reader.page.mouse.click(*box)
    reader.page.wait_for_selector(".st-key-drill .tj-table")
    reader.settle()
    return reader.page.locator(".st-key-drill").inner_text()


@pytest.mark.parametrize(
    ("lang", "churn", "current"), [("en", "Churn, Mar 2025", "Not yet due"), ("ar", "تسرّب", "غير مستحقة بعد")]
)
def test_a_click_on_a_bar_opens_its_rows(reader: Reader, lang: str, churn: str, current: str) -> None:
    reader.open("", company="lumen", lang=lang)
    shown = click(reader, "bridge", 5)
    assert churn in shown
    assert "✓" in shown
    assert "✗" not in shown
    reader.open("", company="lumen", lang=lang)
    shown = click(reader, "trend", 6, POINTS)  # January 2024 is the first
    assert "rows=mrr-2024-07" in reader.page.url
    assert "✓" in shown
    assert "✗" not in shown
    reader.open("cash", company="lumen", lang=lang)
    shown = click(reader, "aging", 0)
    assert current in shown
    assert "✓" in shown
    assert "✗" not in shown
    outcome = dunning_outcome(text(lang))("exhausted")
    for page, company, chart, place, said in (
        ("cash", "lumen", "dunning", 3, outcome),  # below all that failed, and two ways it was paid
        ("renewals", "vela", "renewal-weeks", 0, ""),
        ("", "bazaar", "countries", 1, "Germany"),
    ):
        reader.open(page, company=company, lang=lang)
        shown = click(reader, chart, place)
        assert said in shown
        assert "✓" in shown
        assert "✗" not in shown
