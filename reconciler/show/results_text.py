"""The results of an apply on a terminal: one line as each ends, and a summary that tells what is left to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.plan import Action, Plan
from reconciler.plan.results import Outcome, Result, outcomes
from reconciler.show import words
from reconciler.show.style import PLAIN, Style, pad, shown

FAILURES_SHOWN = 20
_DONE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted"}
_MARKS = {
    Outcome.APPLIED: ("✓", "good"),
    Outcome.FAILED: ("✗", "error"),
    Outcome.SKIPPED: ("○", "warning"),
    Outcome.NOT_STARTED: ("○", "faint"),
}


def result_line(result: Result, style: Style = PLAIN) -> str:
    """`✓ + globex-shop  1.2 s`; what failed says why on the lines below it."""
    mark, role = _MARKS[result.outcome]
    name = pad(shown(words.title(result.key)), 32)
    told = _took(result.seconds) if result.outcome is Outcome.APPLIED else result.outcome.value
    told = f"{told} · {shown(result.note)}" if result.note else told
    head = f"{style.paint(role, mark)} {style.symbol(result.action)} {name}  {style.paint('faint', told)}"
    return "\n".join([head, *_reason(result, style)])


def results_summary(results: Sequence[Result], plan: Plan, style: Style = PLAIN) -> str:
    """What failed once more, what was withheld, what comes next; the last line alone is enough."""
    count = outcomes(results)
    lines = []
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if failed:
        lines += ["", style.paint("error", words.many(len(failed), "change failed", "changes failed"))]
        lines += [result_line(result, style) for result in failed[:FAILURES_SHOWN]]
        if len(failed) > FAILURES_SHOWN:
            lines.append(style.paint("faint", f"  … and {words.number(len(failed) - FAILURES_SHOWN)} more"))
    lines += ["", f"{_headline(results, style)}{''.join(f' · {part}' for part in _left(count, plan))}"]
    if count[Outcome.APPLIED] < len(results):
        lines.insert(-1, style.paint("faint", "the next run goes on from what is live: run `reconciler apply` again"))
    return "\n".join(lines) + "\n"


def _headline(results: Sequence[Result], style: Style) -> str:
    """`Applied 15 of 15: 3 created, 12 updated`."""
    applied = [result.action for result in results if result.outcome is Outcome.APPLIED]
    head = f"Applied {words.number(len(applied))} of {words.number(len(results))}"
    done = [f"{words.number(applied.count(action))} {word}" for action, word in _DONE.items() if action in applied]
    return style.paint("heading", f"{head}: {', '.join(done)}" if done else head)


def _left(count: dict[Outcome, int], plan: Plan) -> Iterator[str]:
    for outcome in (Outcome.FAILED, Outcome.SKIPPED, Outcome.NOT_STARTED):
        if count[outcome]:
            yield f"{words.number(count[outcome])} {outcome.value}"
    if plan.withheld:
        yield words.many(len(plan.withheld), "delete withheld", "deletes withheld")
    if plan.blocked:
        yield f"{words.number(len(plan.blocked))} blocked"


def _reason(result: Result, style: Style) -> Iterator[str]:
    problem = result.problem
    if problem is None:
        return
    yield f"    {shown(problem.what)}"
    if problem.where:
        yield f"    {style.paint('place', shown(str(problem.where)))}"
    for label, text in (("why", problem.why), ("fix", problem.fix)):
        if text:
            yield f"    {style.paint('faint', f'{label}:')} {shown(text)}"
    if result.ray:
        yield f"    {style.paint('faint', 'ref:')} cf-ray {shown(result.ray)}"


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else words.duration(seconds)
