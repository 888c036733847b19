"""A plan, what an apply did, drift and problems, as the summary and the outputs of a workflow step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import ConfigError, Problem, Where
from reconciler.github import actions
from reconciler.github.issues import Drift
from reconciler.plan import Action, Plan
from reconciler.plan.results import Outcome
from reconciler.show import findings as render_findings
from reconciler.show import markdown, plan_html, plan_markdown, words
from reconciler.show.plan_text import problem_lines
from reconciler.show.style import Style

_SMALLEST = 20_000  # what the Markdown of a plan needs at the least
_ROW_ROOM = 400
_FENCED = Style(width=110)


@dataclass(frozen=True, slots=True)
class Done:
    """One line of an audit."""

    action: str
    what: str
    customer: str
    outcome: str
    problem: str


def plan_page(plan: Plan) -> str:
    return plan_html.render(plan)


def plan_summary(plan: Plan, cap: int) -> str:
    environment = f" for {markdown.code(plan.environment)}" if plan.environment else ""
    digest = f"\n\nDigest: {markdown.code(plan.digest)}\n"
    title = f"## Plan{environment}\n\n"
    room = cap - markdown.length(title) - markdown.length(digest)
    return title + plan_markdown.render(plan, max(_SMALLEST, room)) + digest


def plan_outputs(plan: Plan, json_file: Path, html_file: Path | None) -> Mapping[str, str]:
    """Counts, digests and paths; never a name, which a customer might have chosen."""
    counts = {f"to-{action.value}": str(count) for action, count in plan.count.items()}
    return {
        "plan-digest": plan.digest,
        "changes": str(len(plan.changes)),
        **counts,
        "withheld": str(len(plan.withheld)),
        "blocked": str(len(plan.blocked)),
        "problems": str(len(plan.problems)),
        "plan-json": str(json_file),
        **({"plan-html": str(html_file)} if html_file is not None else {}),
    }


def problems_summary(problems: Sequence[Problem], cap: int) -> str:
    """All of them, since GitHub shows ten annotations of a step."""
    lines = [line for one in problems for line in problem_lines(one, _FENCED)]
    title = "## Problems\n\n"
    fenced = markdown.within(markdown.fence(lines, "text"), cap - markdown.length(title) - 1)
    return title + "\n".join(fenced) + "\n"


def add_problems(environment: Mapping[str, str], problems: Sequence[Problem]) -> None:
    """Who opens the page of a run that failed sees why."""
    actions.add_summary(environment, lambda cap: problems_summary(problems, cap))


def drift_summary(drift: Drift, environment: str, cap: int) -> str:
    title = f"## Drift{f' in {markdown.code(environment)}' if environment else ''}\n\n"
    return title + render_findings.as_markdown(drift.findings, cap - markdown.length(title), drift.coverage)


def drift_outputs(drift: Drift) -> Mapping[str, str]:
    return {"drift": "true" if any(one.kind in render_findings.ALARMS for one in drift.findings) else "false"}


def read_audit(text: str, file: str) -> tuple[Done, ...]:
    """The lines of `apply --audit`. Raises ConfigError for one that is none."""
    return tuple(_done(line, Where(file, number)) for number, line in enumerate(text.splitlines(), 1))


def audit_summary(done: Sequence[Done], cap: int) -> str:
    """What did not take first, then all of it as far as there is room."""
    counts = ", ".join(f"{words.number(count)} {name}" for name, count in _counts(done).items() if count)
    text = f"## Apply\n\n**{counts or 'nothing was changed'}**\n"
    rows = [_row(one) for one in sorted(done, key=lambda one: one.outcome == Outcome.APPLIED)]
    if rows:
        text += "\n| | what | customer | outcome |\n|-|-|-|-|\n"
    room = cap - len(text.encode("utf-8", "replace")) - _ROW_ROOM
    for position, row in enumerate(rows):
        room -= len(row.encode("utf-8", "replace")) + 1
        if room < 0:
            return f"{text}\n… and {words.number(len(rows) - position)} more; the audit file holds them all\n"
        text += f"{row}\n"
    return text


def audit_outputs(done: Sequence[Done]) -> Mapping[str, str]:
    return {name.replace(" ", "-"): str(count) for name, count in _counts(done).items()}


def _counts(done: Iterable[Done]) -> dict[str, int]:
    counted = dict.fromkeys(map(str, Outcome), 0)
    for one in done:
        counted[one.outcome] = counted.get(one.outcome, 0) + 1
    return counted


def _row(one: Done) -> str:
    told = f"**{one.outcome}**" if one.outcome != Outcome.APPLIED else one.outcome
    problem = f"<br>{markdown.cell(one.problem)}" if one.problem else ""
    symbol = markdown.code(Action(one.action).symbol)
    customer = markdown.name(one.customer) if one.customer else ""
    return f"| {symbol} | {markdown.cell(one.what)} | {customer} | {told}{problem} |"


def _done(line: str, where: Where) -> Done:
    try:
        row = json.loads(line)
        problem = f"{row['problem']['what']}: {row['problem']['why']}".rstrip(": ") if row["problem"] else ""
        what = f"{row['kind']}/{row['name']}"
        return Done(Action(row["action"]).value, what, str(row["customer"]), Outcome(row["outcome"]).value, problem)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            [Problem("this line is not of an audit", where, why=str(error), fix="use the file of `apply --audit`")]
        ) from None
