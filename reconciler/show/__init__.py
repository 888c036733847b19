"""How things look: a plan, the results of an apply, the findings of a drift run.

To add a format of the plan: one function from a Plan to a text, and one line in FORMATS. A format that is not for a
terminal leaves the style alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.plan import Plan
from reconciler.show import plan_text
from reconciler.show.results_text import result_line, results_summary
from reconciler.show.style import Style


def _json(plan: Plan, _: Style) -> str:
    from reconciler.show import plan_json  # the three that are not text take 13 ms, and a run prints one

    return plan_json.render(plan)


def _markdown(plan: Plan, _: Style) -> str:
    from reconciler.show import plan_markdown

    return plan_markdown.render(plan)


def _html(plan: Plan, _: Style) -> str:
    from reconciler.show import plan_html

    return plan_html.render(plan)


FORMATS: Mapping[str, Callable[[Plan, Style], str]] = {
    "text": plan_text.render,
    "json": _json,
    "markdown": _markdown,
    "html": _html,
}

__all__ = ["FORMATS", "result_line", "results_summary"]
