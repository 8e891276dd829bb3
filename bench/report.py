"""What was measured, as a table on the terminal, as Markdown and as a chart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from rich.console import Console
from rich.table import Table

_WIDTH: Final = 760
_LABELS: Final = 300
_BAR: Final = 24
_HEADINGS: Final = ("", "what", "measured", "goal", "ratio", "met")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal. `ratio` is what was measured over what it is measured against; `met` None: this size does not say."""

    id: str
    what: str
    measured: str
    goal: str
    ratio: float | None
    met: bool | None

    def cells(self) -> tuple[str, ...]:
        """As text."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.id, self.what, self.measured, self.goal, ratio, {None: "–", True: "yes", False: "no"}[self.met]


def show(goals: Sequence[Goal], console: Console) -> None:
    """The table."""
    table = Table(title="The whole service", title_justify="left")
    for name in _HEADINGS:
        table.add_column(name, justify="right" if name in {"measured", "ratio"} else "left")
    for goal in goals:
        table.add_row(*goal.cells(), style={None: "", True: "green", False: "red"}[goal.met])
    console.print(table)


def markdown(goals: Sequence[Goal]) -> str:
    """The same for a text."""
    lines = [" | ".join(_HEADINGS), " | ".join("---" for _ in _HEADINGS), *(" | ".join(each.cells()) for each in goals)]
    return "".join(f"| {line} |\n" for line in lines)


def chart(rates: Mapping[str, float], first: str) -> str:
    """Contacts a second of each system as bars on a logarithmic scale, an SVG; `first…` in strong colour."""
    top = math.log10(max(rates.values()) * 2)
    height = _BAR * (len(rates) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        '<style>text { font-size: 13px }</style><rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="{_BAR * 0.7:.0f}">Contacts a second, whole life of each (logarithmic)</text>',
    ]
    for place, (name, rate) in enumerate(rates.items(), 1):
        width = max(2.0, (_WIDTH - _LABELS - 90) * math.log10(max(rate, 1.1)) / top)
        colour = "#1668dc" if name.startswith(first) else "#a6b1c2"
        y = _BAR * place + 6
        parts.append(
            f'<text x="{_LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LABELS}" y="{y}" width="{width:.0f}" height="{_BAR - 8}" fill="{colour}"/>'
            f'<text x="{_LABELS + width + 6:.0f}" y="{y + 13}">{rate:,.0f}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])
