"""How things look: a plan, the results of an apply, the findings of a drift run.

To add a format of the plan: one function from a Plan to a text, and one line in FORMATS. A format that is not for a
terminal leaves the style alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.plan import Plan
from reconciler.render import plan_html, plan_json, plan_markdown, plan_text
from reconciler.render.results_text import result_line, results_summary
from reconciler.render.style import Style

FORMATS: Mapping[str, Callable[[Plan, Style], str]] = {
    "text": plan_text.render,
    "json": lambda plan, _: plan_json.render(plan),
    "markdown": lambda plan, _: plan_markdown.render(plan),
    "html": lambda plan, _: plan_html.render(plan),
}

__all__ = ["FORMATS", "result_line", "results_summary"]
