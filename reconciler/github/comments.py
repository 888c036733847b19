"""The plan as a comment on its pull request: one for each environment, written over at every push.

A comment is ours when it begins with our marker and we wrote it: anybody can write the marker. What the marker
remembers is compared with the fresh plan when the pull request is merged (reviewed.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from reconciler.github.api import Comment, GitHub
from reconciler.github.reviewed import Reviewed, remember
from reconciler.plan import Plan
from reconciler.show import markdown, plan_markdown

LIMIT = 65_536  # characters of a comment; GitHub answers 422 beyond
_SAFE_MARGIN = 500

_MARKER = re.compile(
    r"<!-- reconciler plan env=(?P<environment>[^ \n]*) digest=(?P<digest>[0-9a-f]{32}) "
    r"risks=(?P<risks>[0-9a-f,]*) head=(?P<head>[0-9a-f]*) -->\n"
)
_OUTDATED = "> [!WARNING]\n> **Outdated.** "


def body(plan: Plan, head: str, run_url: str = "") -> str:
    """The whole comment, never over the limit."""
    begin = _marker(remember(plan, head))
    end = _footer(head, run_url)
    room = LIMIT - _SAFE_MARGIN - markdown.length(begin) - markdown.length(end)
    return begin + plan_markdown.render(plan, min(markdown.CAP, room)) + end


def read(text: str) -> Reviewed | None:
    """What a comment's marker remembers; None where the text does not begin with one."""
    found = _MARKER.match(text.replace("\r\n", "\n"))
    if found is None:
        return None
    risks = tuple(one for one in found["risks"].split(",") if one)
    return Reviewed(unquote(found["environment"]), found["digest"], risks, found["head"])


def ours(github: GitHub, pull: int, environment: str) -> list[Comment]:
    """Our comments for an environment, oldest first. More than one only where two runs wrote at once."""
    login = github.login()
    found = ((comment, read(comment.body)) for comment in github.comments(pull) if comment.author == login)
    return [comment for comment, mark in found if mark is not None and mark.environment == environment]


def upsert(github: GitHub, pull: int, plan: Plan, head: str, run_url: str = "") -> Comment | None:
    """Write the plan over our comment, or into a new one. None where there is nothing to say and never was."""
    before = ours(github, pull, plan.environment)
    if not before and not plan:
        return None
    text = body(plan, head, run_url)
    if not before:
        return github.create_comment(pull, text)
    for doubled in before[1:]:
        github.minimize(doubled)
    return before[0] if before[0].body == text else github.update_comment(before[0], text)


def outdate(github: GitHub, pull: int, environment: str, why: str) -> Comment | None:
    """Say on our comment that its plan no longer stands. None where there is no comment."""
    found = ours(github, pull, environment)
    for doubled in found[1:]:
        github.minimize(doubled)
    if not found:
        return None
    text = found[0].body.replace("\r\n", "\n")
    mark = read(text)
    assert mark is not None
    rest = text[text.index("\n") + 1 :]
    if rest.startswith(_OUTDATED):
        return found[0]
    marker = _marker(Reviewed(environment, mark.digest))  # without a head it is nobody's review any more
    notice = f"{_OUTDATED}{why}\n\n"
    room = LIMIT - markdown.length(marker + notice)
    return github.update_comment(found[0], marker + notice + (rest if markdown.length(rest) <= room else ""))


def _marker(mark: Reviewed) -> str:
    environment = quote(mark.environment, safe="").replace("-", "%2D")  # "--" would end the HTML comment
    risks = ",".join(mark.risks)
    return f"<!-- reconciler plan env={environment} digest={mark.digest} risks={risks} head={mark.head} -->\n"


def _footer(head: str, run_url: str) -> str:
    whole = f" · [the whole plan]({run_url})" if run_url else ""
    return f"\n<sub>made for {markdown.code(head[:12])}{whole}</sub>\n" if head else ""


def run_url(environment: Mapping[str, str]) -> str:
    """The page of this workflow run; "" outside one."""
    parts = [environment.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""
