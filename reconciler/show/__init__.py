"""How things look: a plan, the results of an apply, the findings of a drift run.

plan_text, plan_markdown, plan_html, plan_json   a plan; outline is the order in which people read it
results_text, findings, problems, resolution     an apply, a drift run, what is wrong, what holds
words, style, markdown                           what formats share: words and numbers, colours, Markdown
terminal                                         the one place where foreign text is made harmless

To add a format of the plan: one module here, and its line in FORMATS. A format that is not for a terminal leaves the
style alone. A run prints one format and imports no other; the command line knows them all and imports none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.plan import Plan
    from reconciler.show.style import Style


def _text(plan: Plan, style: Style) -> str:
    from reconciler.show import plan_text

    return plan_text.render(plan, style)


def _json(plan: Plan, _: Style) -> str:
    from reconciler.show import plan_json

    return plan_json.render(plan)


def _markdown(plan: Plan, _: Style) -> str:
    from reconciler.show import plan_markdown

    return plan_markdown.render(plan)


def _html(plan: Plan, _: Style) -> str:
    from reconciler.show import plan_html

    return plan_html.render(plan)


FORMATS: Mapping[str, Callable[[Plan, Style], str]] = {
    "text": _text,
    "json": _json,
    "markdown": _markdown,
    "html": _html,
}
