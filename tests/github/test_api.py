"""The GitHub client, against a GitHub on loopback: pages, logins, limits, and where the token goes."""

from __future__ import annotations

import httpx
import pytest

from reconciler.errors import ReconcilerError, UsageProblem
from reconciler.github import api
from reconciler.github.api import GitHub, GitHubError
from reconciler.look.transport import OneHost
from tests.github.hub import Hub, connected

TOKEN = "ghs_token_of_the_run"


def test_every_page_is_walked(hub: Hub, github: GitHub) -> None:
    for number in range(131):
        hub.says(7, f"comment {number}")
    assert [one.body for one in github.comments(7)] == [f"comment {number}" for number in range(131)]


def test_the_token_of_a_workflow_is_the_bot_and_that_of_a_person_is_that_person(hub: Hub, github: GitHub) -> None:
    assert github.login() == "github-actions[bot]"
    hub.login = "acme-bot[bot]"
    other = connected(hub)
    assert other.login() == "acme-bot[bot]"
    other.close()


def test_who_we_are_is_not_guessed_while_github_is_in_trouble(hub: Hub, github: GitHub) -> None:
    """Someone else's name would make a second comment of every one."""
    hub.down = 401
    with pytest.raises(GitHubError):
        github.login()


def test_a_login_can_be_named_for_an_app_that_may_not_ask(hub: Hub) -> None:
    github = connected(hub, RECONCILER_GITHUB_LOGIN="acme-app[bot]")
    assert github.login() == "acme-app[bot]"
    assert hub.calls == []
    github.close()


def test_a_secondary_rate_limit_is_waited_out(hub: Hub, github: GitHub) -> None:
    hub.says(7, "hello")
    hub.throttled = 1
    assert [one.body for one in github.comments(7)] == ["hello"]


def test_an_enterprise_server_has_its_graphql_beside_its_rest(hub: Hub) -> None:
    hub.enterprise = True
    github = connected(hub)
    comment = github.create_comment(7, "hello")
    github.minimize(comment)
    assert hub.minimized == {comment.node}
    github.close()


def test_a_link_to_another_host_is_not_followed(hub: Hub, github: GitHub) -> None:
    """The token would go with it."""
    with Hub() as elsewhere:
        for number in range(31):
            hub.says(7, str(number))
        hub.next_page_at = elsewhere.url
        with pytest.raises(GitHubError) as error:
            list(github.comments(7))
        assert "another server" in error.value.problems[0].why
        assert elsewhere.calls == []


@pytest.mark.parametrize("status, fix", [(401, "GITHUB_TOKEN"), (403, "permission"), (404, "permission")])
def test_a_refusal_tells_the_call_and_what_to_do_and_never_the_token(
    hub: Hub, github: GitHub, status: int, fix: str
) -> None:
    hub.down = status
    with pytest.raises(GitHubError) as error:
        github.create_comment(7, "hello")
    (problem,) = error.value.problems
    assert problem.what == f"GitHub answered {status} to POST repos/acme/platform/issues/7/comments"
    assert problem.why == "Unicorn!"
    assert fix in problem.fix
    assert TOKEN not in repr(error.value) + str(problem)


def test_a_comment_that_is_too_long_is_refused_by_github(github: GitHub) -> None:
    """So that the tests that rely on the limit mean something."""
    with pytest.raises(GitHubError):
        github.create_comment(7, "x" * 65_537)


def test_what_is_missing_is_told_at_once() -> None:
    with pytest.raises(UsageProblem) as error:
        api.connect({})
    assert [one.what for one in error.value.problems] == ["GITHUB_REPOSITORY is not set", "GITHUB_TOKEN is not set"]


@pytest.mark.parametrize("url", ["http://api.github.example", "ftp://127.0.0.1", "file:///etc/passwd"])
def test_a_token_is_sent_over_https_or_to_this_machine_only(url: str) -> None:
    with pytest.raises(UsageProblem) as error:
        api.connect({"GITHUB_API_URL": url, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "acme/platform"})
    assert "neither https nor on this machine" in error.value.problems[0].why


@pytest.mark.parametrize("repository", ["acme", "../..", "acme/..", "acme/../x", "acme/platform/../../user", "a b/c"])
def test_a_repository_that_would_climb_is_refused(repository: str) -> None:
    with pytest.raises(ReconcilerError):
        api.connect({"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": repository})


def test_membership_of_a_team_that_the_token_may_not_see_is_not_known(hub: Hub, github: GitHub) -> None:
    hub.teams = {"acme/platform": {"octo-boss"}}
    assert github.in_team("acme", "platform", "octo-boss") is True
    assert github.in_team("acme", "platform", "mallory") is False
    assert github.in_team("acme", "secret", "octo-boss") is None


@pytest.mark.parametrize("row", [1, "x", None, [], True])
def test_a_list_of_something_else_is_an_error_and_no_traceback(row: object) -> None:
    github = _answering(httpx.Response(200, json=[row]))
    for call in (lambda: list(github.issues("drift")), lambda: list(github.comments(1)), lambda: github.pulls_of("c")):
        with pytest.raises(GitHubError) as caught:
            call()
        assert caught.value.problems[0].why == "the reply is no list of objects"


def test_a_server_that_repeats_the_token_is_told_without_it() -> None:
    for status in (401, 403, 422, 500):
        with pytest.raises(GitHubError) as caught:
            _answering(httpx.Response(status, json={"message": f"bad credentials {TOKEN}"})).create_comment(1, "x")
        assert "***" in caught.value.problems[0].why
        assert TOKEN not in str(caught.value.problems)


def test_the_proxy_that_was_asked_for_is_asked_for_here_too() -> None:
    """tests/cli/test_proxy.py has what goes through it."""
    given = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "acme/platform", "RECONCILER_PROXY": "socks5://proxy:1"}
    with pytest.raises(UsageProblem) as caught:
        api.connect(given)
    assert caught.value.problems[0].code == "proxy"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("https://github.com/o/r/pull/7#issuecomment-1", "https://github.com/o/r/pull/7#issuecomment-1"),
        ("::add-mask::x", ""),
        ("https://github.com/x\n::error::owned", ""),
        ("https://x/\x1b[2J", ""),
    ],
)
def test_an_address_that_is_none_is_not_shown(said: str, shown: str) -> None:
    """The runner takes commands from what the steps print."""
    row = {"id": 1, "user": {"login": "bot"}, "body": "", "html_url": said}
    assert [one.url for one in _answering(httpx.Response(200, json=[row])).comments(7)] == [shown]


def _answering(reply: httpx.Response) -> GitHub:
    transport = httpx.MockTransport(
        lambda request: httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)
    )
    host = OneHost("https://api.example.com", {"authorization": f"Bearer {TOKEN}"}, transport)
    return GitHub(host, "acme/platform", sleep=lambda seconds: None)
