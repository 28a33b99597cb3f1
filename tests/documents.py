"""The code in the documents, for tests that run it."""

import re

from tests.support import ROOT


def code_blocks(page: str, heading: str, language: str = "") -> list[str]:
    """Return the code blocks of this language under a heading of a document."""
    section = (ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)
