"""Others write while a run is on its way, or the listing does not tell the truth: nothing is deleted that should not
be, nothing foreign is touched, and the next run ends where one run alone would have.

A rival acts between two calls of the run. The deep tests let it act before and after every call; a sample goes with
the normal ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.errors import ReconcilerError
from reconciler.local.switches import Switches
from reconciler.plan import Action
from reconciler.plan.results import Outcome
from tests.campaign.plans import everything_at_once
from tests.scenarios.platform import MODULE, Platform, Strike

NAMESPACE = "acme-production"
STRANGE = "export default { fetch: () => new Response('a stranger') };\n"


class Rivalry:
    """A platform in the midst of its plan, and another working copy of it at the same account."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = Platform(folder / "ours"), Platform(folder / "theirs")
        everything_at_once(self.ours)
        self.theirs.store.close()
        self.theirs.store, self.theirs.clock, self.theirs.faults = self.ours.store, self.ours.clock, self.ours.faults
        self.ours.upload_elsewhere("stranger", STRANGE)
        self.stranger = self.ours.store.script(NAMESPACE, "stranger")

    def same_files(self) -> None:
        """The rival works from the same commit; else it is one commit behind."""
        for file in self.ours.root.rglob("*"):
            if file.is_file():
                self.theirs.write({str(file.relative_to(self.ours.root)): file.read_text(encoding="utf-8")})
        self.theirs.variables = self.ours.variables

    def run(self, at: int, rival: Callable[[], object], *, before: bool) -> bool:
        """Our apply, with the rival at one of its calls. Whether that call was made."""
        met: list[int] = []

        def between(answer: Callable[[], httpx.Response]) -> httpx.Response:
            met.append(at)
            if before:
                rival()
                return answer()
            reply = answer()
            rival()
            return reply

        self.ours.striking = Strike(at, between)
        try:
            for result in self.ours.attempt(workers=1):
                assert result.outcome is Outcome.APPLIED or result.problem is not None or not result.key
        except ReconcilerError as error:
            assert error.exit_code == 1
        finally:
            self.ours.striking = None
        return bool(met)

    def end(self) -> None:
        """Two runs by ourselves at the most, and nothing is left to do."""
        for _ in range(2):
            self.ours.attempt()
        assert not self.ours.plan(verify=None)
        assert self.ours.store.script(NAMESPACE, "stranger") == self.stranger
        self.ours.store.close()


def positions(folder: Path, step: int) -> Iterator[tuple[Rivalry, int, bool]]:
    """Every so-manieth call of the run, before it and after it, until there are no more."""
    at = 1
    while True:
        for before in (True, False):
            yield Rivalry(folder / f"{at}-{before}"), at, before
        at += step
        if at > 60:
            return


def every_position(folder: Path, step: int, tell: Callable[[Rivalry], Callable[[], object]]) -> Iterator[Rivalry]:
    for rivalry, at, before in positions(folder, step):
        met = rivalry.run(at, tell(rivalry), before=before)
        yield rivalry
        rivalry.end()
        if not met:
            return


STEPS = [pytest.param(17, id="sample"), pytest.param(1, id="all", marks=pytest.mark.deep)]


@pytest.mark.parametrize("step", STEPS)
def test_two_applies_of_one_commit(tmp_path: Path, step: int) -> None:
    def apply(rivalry: Rivalry) -> Callable[[], object]:
        rivalry.same_files()
        return lambda: rivalry.theirs.attempt(workers=1)

    for rivalry in every_position(tmp_path, step, apply):
        assert rivalry.ours.dangling == rivalry.theirs.dangling == []


@pytest.mark.parametrize("step", STEPS)
def test_an_apply_that_is_a_commit_behind(tmp_path: Path, step: int) -> None:
    """What it takes away comes again with the next run; what neither of the two owns stays."""
    for rivalry in every_position(tmp_path, step, lambda rivalry: lambda: rivalry.theirs.attempt(workers=1)):
        assert rivalry.ours.store.script(NAMESPACE, "stranger") == rivalry.stranger


@pytest.mark.parametrize("step", STEPS)
def test_someone_with_wrangler(tmp_path: Path, step: int) -> None:
    """A name that this run is about to delete is taken meanwhile: it is theirs from then on."""

    def upload(rivalry: Rivalry) -> Callable[[], object]:
        def two() -> None:
            rivalry.ours.upload_elsewhere("initech-old", STRANGE)
            rivalry.ours.upload_elsewhere("newcomer", STRANGE)

        return two

    for rivalry in every_position(tmp_path, step, upload):
        for name in ("initech-old", "newcomer"):
            stored = rivalry.ours.store.script(NAMESPACE, name)
            if stored is None:
                continue  # the run ended before this call
            assert stored.modules[0].content == STRANGE.encode()
        assert rivalry.ours.dangling == []


@pytest.mark.parametrize("step", STEPS)
def test_a_drift_check_in_the_midst(tmp_path: Path, step: int) -> None:
    """It holds itself to GET (Platform.findings), and disturbs nobody."""

    def check(rivalry: Rivalry) -> Callable[[], object]:
        rivalry.same_files()
        return lambda: rivalry.theirs.drift(verify=None)

    for rivalry in every_position(tmp_path, step, check):
        assert rivalry.ours.dangling == []
        assert not rivalry.ours.plan()


@pytest.mark.parametrize("counted", [True, False], ids=["with a count", "without"])
@pytest.mark.parametrize("lag", [3, 60])
def test_a_listing_that_lags_through_a_row_of_commits(
    make_platform: Callable[..., Platform], counted: bool, lag: int
) -> None:
    """What was made seconds ago does not show, and what was deleted still does."""
    platform = make_platform(Switches(script_count=counted))
    platform.apply()
    platform.upload_elsewhere("stranger", STRANGE)
    platform.faults.lag = lag
    stranger = platform.store.script(NAMESPACE, "stranger")
    commits = [
        ("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  globex-new: {main: shop.mjs}\n"),
        ("customers/globex/customer.yaml", "globex-new: {", "globex-newer: {previously: [globex-new], "),
        ("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", ""),
        ("customers/initech/customer.yaml", "scripts:\n", "scripts:\n  initech-old: {main: status.mjs}\n"),
        ("customers/globex/customer.yaml", "  globex-newer: {previously: [globex-new], main: shop.mjs}\n", ""),
    ]
    for file, before, after in commits:
        platform.edit(file, before, after)
        wanted = {script.name for script in platform.load().scripts()}
        assert {one.key.name for one in platform.plan().changes if one.action is Action.DELETE} & wanted == set()
        platform.attempt()
        platform.clock.sleep(1)
        assert wanted <= set(platform.scripts)
        assert platform.store.script(NAMESPACE, "stranger") == stranger
    platform.faults.lag = 0
    platform.apply()


# A listing that does not tell the truth


Lie = Callable[[dict[str, Any], int, str], None]


def spoiled(lie: Lie) -> Callable[[Callable[[], httpx.Response]], httpx.Response]:
    """Replies of the listing as `lie` leaves them; it is told which page it is, and the cursor of the first."""
    cursors: list[str] = []

    def how(answer: Callable[[], httpx.Response]) -> httpx.Response:
        body = json.loads(answer().content)
        cursors.append(body["result_info"].get("cursor", ""))
        lie(body, len(cursors), cursors[0])
        return httpx.Response(200, json=body)

    return how


def ends_early(body: dict[str, Any], page: int, first: str) -> None:
    body["result_info"] = {}


def comes_round(body: dict[str, Any], page: int, first: str) -> None:
    body["result_info"]["cursor"] = first


def loses_a_row(body: dict[str, Any], page: int, first: str) -> None:
    body["result"] = body["result"][1:] if page == 2 else body["result"]


def shrinks(body: dict[str, Any], page: int, first: str) -> None:
    """Rows that went between two pages, so that those behind them moved up and were passed over."""
    if page >= 2:
        body["result"] = body["result"][1:]
    body["result_info"].pop("total_count", None)


def shows_nothing(body: dict[str, Any], page: int, first: str) -> None:
    body["result"], body["result_info"] = [], {}


def repeats_rows(body: dict[str, Any], page: int, first: str) -> None:
    body["result"] = body["result"] * 3


def loses_the_first(body: dict[str, Any], page: int, first: str) -> None:
    body["result"] = body["result"][1:] if page == 1 else body["result"]


LIES = (ends_early, comes_round, loses_a_row, shrinks, shows_nothing, repeats_rows)


@pytest.mark.parametrize("counted", [True, False], ids=["with a count", "without"])
@pytest.mark.parametrize("lie", LIES)
def test_a_listing_that_loses_or_repeats_rows(make_platform: Callable[..., Platform], lie: Lie, counted: bool) -> None:
    platform = make_platform(Switches(page_size=2, honours_limit=False, script_count=counted))
    platform.apply()
    platform.upload_elsewhere("stranger", STRANGE)
    stranger = platform.store.script(NAMESPACE, "stranger")
    platform.edit("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "")
    platform.striking = Strike(f"{NAMESPACE}/scripts", spoiled(lie))
    kept = {"globex-shop", "globex-reports", "initech-status", "stranger"}
    try:
        platform.attempt()
        if counted and lie is not repeats_rows:
            assert "initech-old" in platform.scripts
    except ReconcilerError as error:
        assert error.exit_code == 1
    platform.striking = None
    assert kept <= set(platform.scripts)
    assert platform.store.script(NAMESPACE, "stranger") == stranger
    platform.apply()
    assert "initech-old" not in platform.scripts


def test_a_name_that_an_incomplete_listing_leaves_out_is_not_taken_for_free(
    make_platform: Callable[..., Platform],
) -> None:
    platform = make_platform(Switches(page_size=2, honours_limit=False))
    platform.apply()
    platform.upload_elsewhere("aaa", STRANGE)  # the first row of the first page
    platform.edit("customers/globex/customer.yaml", "scripts:\n", "scripts:\n  aaa: {main: shop.mjs}\n")
    platform.striking = Strike(f"{NAMESPACE}/scripts", spoiled(loses_the_first))
    plan = platform.plan()
    assert [problem.code for problem in plan.problems] == ["foreign-name"]
    platform.attempt()
    platform.striking = None
    stored = platform.store.script(NAMESPACE, "aaa")
    assert stored is not None
    assert stored.modules[0].content == STRANGE.encode()
    platform.edit("customers/globex/customer.yaml", "  aaa: {main: shop.mjs}\n", "")


# What was seen, and is something else by the time it would be deleted


def meanwhile(platform: Platform, ending: str, act: Callable[[], object]) -> None:
    """Our apply, and what someone else does once the dispatcher is switched: deletes come after."""
    done: list[int] = []

    def how(answer: Callable[[], httpx.Response]) -> httpx.Response:
        reply = answer()
        if not done:
            done.append(1)
            act()
        return reply

    platform.striking = Strike(ending, how)
    results = platform.attempt(workers=1)
    platform.striking = None
    assert done
    assert [one.problem.code for one in results if one.problem] == ["changed-since"]


def test_a_script_that_is_protected_meanwhile_stays(platform: Platform) -> None:
    platform.apply()
    platform.edit("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "")
    row = platform.store.row(NAMESPACE, "initech-old")
    assert row is not None
    tags = [*(row.tags or ()), "rcn-protect"]
    path = platform.script("initech-old") + "/tags"
    meanwhile(platform, "scripts/acme-dispatcher", lambda: platform.elsewhere("PUT", path, json=tags))
    assert [one.code for one in platform.plan().refusals] == ["protected"]
    platform.edit("customers/initech/customer.yaml", "scripts:\n", "scripts:\n  initech-old: {main: status.mjs}\n")
    platform.apply()


@pytest.mark.parametrize(
    "form", [Switches(tags_in_rows=False), Switches(etag_in_rows=False)], ids=["no tags", "no etag"]
)
def test_a_script_that_is_written_meanwhile_stays_whatever_rows_show(
    make_platform: Callable[..., Platform], form: Switches
) -> None:
    platform = make_platform(form)
    platform.apply()
    platform.edit("customers/initech/customer.yaml", "  initech-old: {main: status.mjs}\n", "")
    meanwhile(platform, "scripts/acme-dispatcher", lambda: platform.upload_elsewhere("initech-old", STRANGE))
    assert "initech-old" in platform.scripts


def test_a_route_and_a_domain_that_are_led_elsewhere_meanwhile_stay(platform: Platform) -> None:
    platform.edit("platform.yaml", "zone: acme.app}", "zone: acme.app}, {pattern: globex.com/*, zone: globex.com}")
    platform.apply()
    platform.upload_elsewhere("theirs", MODULE, namespace="")
    platform.edit("platform.yaml", ", {pattern: globex.com/*, zone: globex.com}", "")
    platform.edit("customers/globex/customer.yaml", "cpu_ms: 80", "cpu_ms: 81")
    route = next(one for one in platform.store.edge.routes() if one.pattern == "globex.com/*")
    path = f"zones/{route.zone_id}/workers/routes/{route.id}"
    body = {"pattern": route.pattern, "script": "theirs"}
    meanwhile(platform, "scripts/globex-reports", lambda: platform.elsewhere("PUT", path, json=body))
    assert {one.script for one in platform.store.edge.routes()} == {"acme-dispatcher", "theirs"}
