"""The options that say what a run looks at and what it may do, and the one value that they come to."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from reconciler.plan.sharding import Shard


class Amount(click.ParamType[int | None]):
    """A number, or `all` (which is None)."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "all":
            return None
        if not str(value).isdigit():
            self.fail(f'"{value}" is neither a number nor "all"', param, ctx)
        return int(value)


class ShardType(click.ParamType["Shard"]):
    """The I-th of N shares, as in 3/8."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        from reconciler.plan.sharding import Shard

        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            self.fail(f'"{value}" is no share such as 3/8', param, ctx)
        return Shard(int(number), int(of))


@dataclass(frozen=True)
class Choice:
    """What a run looks at, and what it may do."""

    customers: tuple[str, ...] = ()
    shard: Shard | None = None
    changed_since: str = ""
    at: str = ""
    verify: int | None = 0  # None for all
    adopt: tuple[str, ...] = ()
    allow_deletes: int = 0


def scoped(command: Callable[..., Any]) -> Any:
    """The options that say it, which the command gets as one Choice."""

    @functools.wraps(command)
    def chosen(*given: Any, **rest: Any) -> Any:
        choice = Choice(**{one.name: rest.pop(one.name) for one in dataclasses.fields(Choice)})
        return command(*given, choice=choice, **rest)

    for option in (
        click.option(
            "--allow-deletes", type=click.IntRange(0), default=0, metavar="N", help="Let this run delete up to N."
        ),
        click.option(
            "--verify", type=Amount(), default=0, metavar="N|all", help="Read back N, the least recently read first."
        ),
        click.option(
            "--adopt", multiple=True, metavar="NAME", help="Take over a foreign script; '*' for all that nobody owns."
        ),
        click.option(
            "--at", metavar="REF", default="", help="Use the files of a commit, without touching the work tree."
        ),
        click.option("--changed-since", metavar="REF", default="", help="Look at customers that differ from a commit."),
        click.option("--customer", "customers", multiple=True, metavar="ID", help="Look at these customers only."),
        click.option("--shard", type=ShardType(), metavar="I/N", help="Write one of N shares of the scripts."),
    ):
        chosen = option(chosen)
    return chosen
