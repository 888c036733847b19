"""CODEOWNERS as GitHub reads it, and what a customer's own people may change."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.errors import Severity
from reconciler.github import approvals, owners
from reconciler.github.api import GitHub
from reconciler.github.owners import Files
from reconciler.load import source
from reconciler.load.source import Source
from tests.github.hub import Hub

PLATFORM = "platform: acme\nself_service: [scripts.*.vars, scripts.*.limits.cpu_ms]\n"
BEFORE = "tier: basic\nscripts:\n  shop:\n    main: shop.mjs\n    vars: {A: one}\n"
RULES = "* @acme/platform\n/customers/globex/ @globex-dev\n"


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*", ["a", "a/b/c.mjs"], []),
        ("*.mjs", ["a.mjs", "x/y/a.mjs"], ["a.mjs.txt", "a.js"]),
        ("/customers/globex/", ["customers/globex/a", "customers/globex/x/y"], ["customers/globexcorp/a"]),
        ("/globex/", ["globex/a"], ["customers/globex/a"]),
        ("/customers/globex", ["customers/globex", "customers/globex/a"], ["customers/globexcorp/a"]),
        ("customers/globex/", ["customers/globex/a"], ["x/customers/globex/a"]),
        ("globex/", ["globex/a", "customers/globex/a"], ["customers/globex.txt"]),
        ("docs/*", ["docs/a.md"], ["docs/x/a.md"]),
        ("**/globex", ["globex/a", "customers/eu/globex/a"], ["customers/globex2/a"]),
        ("/customers/**/shop.mjs", ["customers/shop.mjs", "customers/a/b/shop.mjs"], ["x/customers/shop.mjs"]),
        ("/customers/**", ["customers/a", "customers/a/b"], ["customers"]),
        ("/a?c", ["abc"], ["a/c", "abbc"]),
        ("/a.c", ["a.c"], ["abc"]),
    ],
)  # fmt: skip
def test_a_pattern_matches_as_github_says(pattern: str, matching: list[str], other: list[str]) -> None:
    (rule,) = owners.rules(f"{pattern} @x\n")
    assert [file for file in (*matching, *other) if rule.matches(file)] == matching


def test_patterns_match_as_git_itself_matches_them(tmp_path: Path) -> None:
    """But for a "/*" at the end, which to git holds what is deeper too, and to GitHub does not."""
    chance = random.Random(8)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for _ in range(60):
        steps = [chance.choice(["a", "b", "ab", "*", "a*", "**", "?", "*.m"]) for _ in range(chance.randint(1, 4))]
        pattern = f"{chance.choice(['', '/'])}{'/'.join(steps)}{chance.choice(['', '', '/'])}"
        paths = (chance.choices(["a", "b", "ab", "x.m", "abc"], k=chance.randint(1, 4)) for _ in range(40))
        files = sorted({"/".join(path) for path in paths})
        if pattern.rstrip("/").endswith("/*"):
            continue
        (tmp_path / ".gitignore").write_text(f"{pattern}\n")
        command = ["git", "check-ignore", "--no-index", "--stdin"]
        found = subprocess.run(
            command, cwd=tmp_path, input="\n".join(files), capture_output=True, text=True, check=False
        )
        (rule,) = owners.rules(f"{pattern} @x")
        assert [file for file in files if rule.matches(file)] == found.stdout.split(), pattern


def test_the_last_line_that_matches_counts_and_may_name_nobody() -> None:
    known = owners.rules(
        "# all\n* @a @b # trailing\n\n/customers/x/ @x\n/customers/x/free/\n!* @no\n[ab] @no\nsp\\ ace @s\n"
    )
    assert owners.owners_of("platform.yaml", known) == ("@a", "@b")
    assert owners.owners_of("customers/x/a.mjs", known) == ("@x",)
    assert owners.owners_of("customers/x/free/a.mjs", known) == ()
    assert owners.owners_of("sp ace", known) == ("@s",)


def files(customers: Mapping[str, str], platform: str = PLATFORM) -> Files:
    return Files(
        read("platform.yaml", platform), {name: read(f"{name}/customer.yaml", one) for name, one in customers.items()}
    )


def read(file: str, text: str) -> Source:
    return source.parse(file, text.encode())


def beyond(after: str, before: str = BEFORE) -> list[str]:
    """The keys that a change of globex's customer.yaml sets beyond self-service."""
    old, new = (files({"customers/globex": one}) if one else files({}) for one in (before, after))
    verdict = owners.judge(["customers/globex/customer.yaml"], old, new, owners.rules(RULES))
    return [problem.what.partition('"')[2].partition('"')[0] for problem in verdict.beyond]


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (("A: one", "A: two, B: {c: [1]}"), []),
        (("main: shop.mjs", "main: shop.mjs\n    limits: {cpu_ms: 9}"), []),
        (("vars:", "limits: {cpu_ms: 9, subrequests: 9}\n    vars:"), ["scripts.shop.limits.subrequests"]),
        (("basic", "advanced"), ["tier"]),
        (("tier: basic\n", ""), ["tier"]),
        (("shop:\n", "store:\n"), ["scripts.shop.main", "scripts.store.main"]),
        (("scripts:", "suspended: true\nscripts:"), ["suspended"]),
    ],
)  # fmt: skip
def test_customers_change_the_keys_that_self_service_lists(change: tuple[str, str], keys: list[str]) -> None:
    assert beyond(BEFORE.replace(*change)) == keys


def test_reordering_and_comments_are_no_change() -> None:
    assert beyond("# ours\nscripts: {shop: {vars: {A: one}, main: shop.mjs}}\ntier: basic\n") == []


def test_a_new_customer_and_one_that_leaves_need_an_owner_of_the_platform() -> None:
    assert beyond(BEFORE, before="") == ["scripts.shop.main", "tier"]
    assert beyond("", before=BEFORE) == ["scripts.shop.main", "tier"]


def test_a_new_customer_needs_one_also_where_every_key_of_it_is_self_service() -> None:
    """Else `customers/globex/free/customer.yaml` would be a customer without globex's tier, limits and suspension."""
    platform = PLATFORM.replace("[", "[scripts.*.main, ")
    new = "scripts:\n  free:\n    main: free.mjs\n"
    for before, after in (({}, {"customers/globex/free": new}), ({"customers/globex/free": new}, {})):
        old, later = (files({"customers/globex": BEFORE, **one}, platform) for one in (before, after))
        verdict = owners.judge(["customers/globex/free/customer.yaml"], old, later, owners.rules(RULES))
        assert [one.what for one in verdict.beyond] == ["the file as a whole is not theirs"]


def test_which_variable_a_secret_is_read_from_is_never_self_service() -> None:
    """The run that applies holds the secrets of every customer, by name."""
    platform = PLATFORM.replace("[", "[scripts.*.secrets, secrets, ")
    after = f"{BEFORE}    secrets: {{KEY: {{env: HOOLI_KEY, version: 1}}}}\n"
    old, new = (files({"customers/globex": one}, platform) for one in (BEFORE, after))
    verdict = owners.judge(["customers/globex/customer.yaml"], old, new, owners.rules(RULES))
    assert [one.what.split('"')[1] for one in verdict.beyond] == ["scripts.shop.secrets.KEY.env"]


def test_code_is_the_customers_own_and_everything_outside_is_not() -> None:
    both = files({"customers/globex": BEFORE})
    changed = [
        "customers/globex/shop.mjs",
        "customers/globex/lib/x.mjs",
        "platform/x.mjs",
        ".github/workflows/plan.yml",
    ]
    verdict = owners.judge(changed, both, both, owners.rules(RULES))
    told = [str(one.where) for one in verdict.beyond]
    assert told == [".github/workflows/plan.yml:1:1", "platform/x.mjs:1:1"]


def test_the_rules_are_those_before_the_change() -> None:
    """A pull request cannot give itself more."""
    before = files({"customers/globex": BEFORE})
    after = files({"customers/globex": BEFORE.replace("basic", "free")}, PLATFORM.replace("[", "[tier, "))
    verdict = owners.judge(["customers/globex/customer.yaml", "platform.yaml"], before, after, owners.rules(RULES))
    assert len(verdict.beyond) == 2


def test_a_folder_without_an_owner_is_told_once() -> None:
    both = files({"customers/globex": BEFORE, "customers/eu/hooli": BEFORE})
    changed = ["customers/eu/hooli/a.mjs", "customers/eu/hooli/b.mjs", "customers/globex/a.mjs"]
    verdict = owners.judge(changed, both, both, owners.rules("/customers/globex/ @g\n/platform.yaml @boss\n"))
    assert [one.what for one in verdict.unowned] == ["customers/eu/hooli/ has no owner"]
    assert verdict.platform_owners == ("@boss",)


# From git


def repository(folder: Path, before: Mapping[str, str], after: Mapping[str, str]) -> Path:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for side in (before, after):
        for name, text in side.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], cwd=folder, check=True)
    return folder


CUSTOMER = "customers/globex/customer.yaml"


def test_without_codeowners_nothing_is_checked(tmp_path: Path) -> None:
    root = repository(tmp_path, {"platform.yaml": PLATFORM}, {"platform.yaml": "x: 1\n"})
    assert approvals.check(root, "HEAD^1", None, {}, None).code == 0


def test_without_a_token_what_needs_an_approval_is_a_warning(tmp_path: Path) -> None:
    before = {"platform.yaml": PLATFORM, "CODEOWNERS": RULES, CUSTOMER: BEFORE}
    root = repository(tmp_path, before, {CUSTOMER: BEFORE.replace("basic", "advanced")})
    outcome = approvals.check(root, "HEAD^1", None, {}, None)
    assert outcome.code == 0
    assert [one.severity for one in outcome.problems] == [Severity.WARNING]
    assert str(outcome.problems[0].where) == f"{CUSTOMER}:1:7"


def test_files_that_are_not_yaml_are_the_validators_business(tmp_path: Path) -> None:
    before = {"platform.yaml": PLATFORM, "CODEOWNERS": RULES, CUSTOMER: BEFORE}
    root = repository(tmp_path, before, {CUSTOMER: "a: [\n"})
    outcome = approvals.check(root, "HEAD^1", None, {}, None)
    assert [one.severity for one in outcome.problems] == [Severity.WARNING, Severity.WARNING]


def asked(tmp_path: Path, github: GitHub, author: str) -> approvals.Outcome:
    """A change beyond self-service, by someone, where the team acme/platform owns the platform."""
    before = {"platform.yaml": PLATFORM, "CODEOWNERS": RULES, CUSTOMER: BEFORE}
    root = repository(tmp_path / "repository", before, {CUSTOMER: BEFORE.replace("basic", "advanced")})
    side = {"sha": "a" * 40, "repo": {"full_name": "acme/platform"}}
    pull = {"number": 7, "user": {"login": author}, "head": side, "base": side}
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": pull}))
    return approvals.check(root, "HEAD^1", None, {"GITHUB_EVENT_PATH": str(tmp_path / "event.json")}, github)


def review(author: str, state: str, commit: str = "a" * 40) -> dict[str, object]:
    return {"user": {"login": author}, "state": state, "commit_id": commit}


def test_a_member_of_the_team_that_owns_the_platform_may_set_anything(tmp_path: Path, hub: Hub, github: GitHub) -> None:
    hub.teams = {"acme/platform": {"boss"}}
    assert asked(tmp_path, github, "boss").code == 0


@pytest.mark.parametrize(("role", "code"), [("admin", 0), ("maintain", 0), ("write", 1), ("none", 1)])
def test_where_the_team_cannot_be_seen_who_maintains_the_repository_counts(
    tmp_path: Path, hub: Hub, github: GitHub, role: str, code: int
) -> None:
    hub.roles = {"someone": role}
    outcome = asked(tmp_path, github, "someone")
    assert outcome.code == code
    assert ("team-unseen" in {one.code for one in outcome.problems}) is bool(code)


@pytest.mark.parametrize(
    ("reviews", "code"),
    [
        ([], 1),
        ([review("boss", "APPROVED")], 0),
        ([review("boss", "COMMENTED")], 1),
        ([review("boss", "APPROVED"), review("boss", "COMMENTED")], 0),
        ([review("boss", "APPROVED"), review("boss", "CHANGES_REQUESTED")], 1),
        ([review("boss", "APPROVED", "b" * 40)], 1),  # of an earlier push
        ([review("mallory", "APPROVED"), review("globex-dev", "APPROVED")], 1),
    ],
)
def test_the_last_word_of_an_owner_on_the_last_push_counts(
    tmp_path: Path, hub: Hub, github: GitHub, reviews: list[dict[str, object]], code: int
) -> None:
    hub.teams = {"acme/platform": {"boss"}}
    hub.reviews = {7: reviews}
    assert asked(tmp_path, github, "globex-dev").code == code
