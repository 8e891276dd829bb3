"""Pages of docs/ as tests read them: their headings, links and blocks of code."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
SERVICE: Final = "http://127.0.0.1:8000"
"""Where the pages say that the service listens."""

_FENCE: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^(#+) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and what is in it."""

    language: str
    text: str


@dataclass(frozen=True)
class Guide:
    """One page."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        return [Block(*each) for each in _FENCE.findall(self.text)]

    @property
    def headings(self) -> list[tuple[int, str]]:
        return [(len(level), text) for level, text in _HEADING.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        return [each for each in _LINK.findall(self.prose) if not each.startswith(("http", "mailto:"))]

    def script(self, url: str) -> str:
        """All that is to be typed into a shell, one block after the other; where one fails, it ends."""
        typed = [each.text for each in self.blocks if each.language == "sh"]
        return "\n".join(["set -euo pipefail", *typed]).replace(SERVICE, url)

    def said(self) -> list[str]:
        """Lines that the page shows of what the shell prints, in their order."""
        return [line for each in self.blocks if each.language == "text" for line in each.text.splitlines()]
