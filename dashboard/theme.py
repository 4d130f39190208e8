"""Colours, type, and where the constant style sheets lie.

Nothing from data ever enters a style or a script.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

STATIC = Path(__file__).parent / "static"
ICON = "data:image/png;base64," + b64encode((STATIC / "icon.png").read_bytes()).decode()
"""Written out, as a file would be read and looked through on each run of a page."""
FONT = "IBM Plex Sans Arabic, sans-serif"

BLUE = "#0f5fa8"  # totals, primary
GREEN = "#1a7f64"  # gain
RED = "#b3261e"  # loss
AMBER = "#9a5b00"  # warning text
GREY = "#5b6b7b"  # secondary text
TEXT = "#1b2733"
PANEL = "#f4f6f8"
LINE = "#d5dbe1"
WHITE = "#ffffff"
SKY = "#5aa0d8"  # fill only
MIST = "#cfe3f5"  # fill only

# Each pair is text on ground; a test holds them at a contrast of 4.5 or more.
TEXT_PAIRS = [
    (colour, ground) for colour in (BLUE, GREEN, RED, AMBER, GREY, TEXT) for ground in (WHITE, PANEL)
] + [(WHITE, BLUE), (WHITE, GREEN), (WHITE, RED), (WHITE, AMBER), (TEXT, MIST)]

STYLE = Path(__file__).parent / "styles" / "base.css"
STYLE_RIGHT_TO_LEFT = Path(__file__).parent / "styles" / "right_to_left.css"

# A link of a table opens its page as the list of pages does, without loading the dashboard anew.
FOLLOW = """
if (!window.tajdidFollows) {
  window.tajdidFollows = true;
  document.addEventListener('click', event => {
    const link = event.target.closest('.tj-table a');
    const isPlain = !event.button && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || new URL(link.href).origin !== location.origin) return;
    event.preventDefault();
    history.pushState({}, '', link.href);
    dispatchEvent(new PopStateEvent('popstate'));
  });
}
"""

# Sets the language of the document for screen readers and hyphenation; the text is one of two constants.
SCRIPT = {
    direction: f"<script>document.documentElement.lang = '{language}'; "
    f"document.documentElement.dir = '{direction}';{FOLLOW}</script>"
    for direction, language in (("ltr", "en"), ("rtl", "ar"))
}
