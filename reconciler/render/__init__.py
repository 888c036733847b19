"""How things look: a plan, the results of an apply, the findings of a drift run.

To add a format of the plan: one function from a Plan to a text, and one line in FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.plan import Plan
from reconciler.render import plan_json, plan_text

FORMATS: Mapping[str, Callable[[Plan], str]] = {
    "text": plan_text.render,  # on a terminal: plan_text.render(plan, style.coloured(width))
    "json": plan_json.render,
}
