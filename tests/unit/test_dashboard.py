"""The pages over plain HTTP: what they show, who may send their forms, and what the forms write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from reconciler.dev.views import MOST_CUSTOMERS
from reconciler.plan import Action
from tests import small_platform
from tests.small_platform import GLOBEX, Pages

NEW = {
    "customer": "globex", "script": "globex-blog", "tags": "news, beta", "cpu_ms": "20",
    "code": "export default { fetch: () => new Response('blog') };\r\n",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_platform.write(tmp_path / "repository")


@pytest.fixture
def pages(root: Path, tmp_path: Path) -> Iterator[Pages]:
    with small_platform.pages(root, tmp_path / "state") as one:
        one.get("/new")
        yield one


# What is shown


def test_every_script_is_shown_with_its_terms(pages: Pages) -> None:
    text = pages.get("/").text
    assert "3 scripts" in text
    assert "in step" in text
    for told in ("globex-shop", "50 ms", "50 sub", "guard", "beta", "http://hello.localhost:1/", "acme-dispatcher"):
        assert told in text


def test_text_of_the_files_is_never_markup(pages: Pages) -> None:
    assert "Globex &lt;Corporation&gt;" in pages.get("/").text
    assert "&lt;b&gt;1&lt;/b&gt;" in pages.get("/scripts/globex-shop").text


def test_scripts_are_found_by_tag(pages: Pages) -> None:
    text = pages.get("/?tag=beta").text
    assert "globex-shop" in text
    assert "hello.localhost" not in text
    text = pages.get("/customers/globex?tag=beta").text
    assert "/scripts/globex-shop" in text
    assert "/scripts/globex-api" not in text


def test_customers_and_scripts_are_found_by_name(pages: Pages) -> None:
    text = pages.get("/?q=HELLO").text
    assert "1 script<" in text and "hello.localhost" in text and "/scripts/globex-shop" not in text
    assert "Globex" in pages.get("/?q=globex-api").text
    assert "No customer or script is called “&lt;x&gt;”" in pages.get("/?q=<x>").text


def test_a_page_stays_small_however_many_customers_there_are(root: Path, tmp_path: Path) -> None:
    for number in range(MOST_CUSTOMERS + 20):
        own = root / f"customers/many/c{number:03}"
        own.mkdir(parents=True)
        (own / "customer.yaml").write_text(f"tier: basic\nscripts:\n  s{number:03}: {{main: main.mjs}}\n")
        (own / "main.mjs").write_text("export default {};\n")
    with small_platform.pages(root, tmp_path / "state") as many:
        text = many.get("/").text
        assert "123 scripts" in text
        assert f"The first {MOST_CUSTOMERS} of 122 customers" in text
        assert "s119" not in text
        assert "/scripts/s119" in many.get("/?q=c119").text


def test_a_script_shows_its_code_and_the_version_of_the_platform_module(pages: Pages) -> None:
    worker = pages.get("/scripts/globex-api?module=platform_module.mjs").text
    assert '<span class="string">&#34;acme&#34;</span>' in worker
    module = pages.site.rounds.repository.terms.modules[0]  # type: ignore[union-attr]  # the first round was good
    assert module.sha256[:8] in worker
    assert "customers/globex/customer.yaml:11:3" in worker


def test_what_is_not_there_is_said(pages: Pages) -> None:
    for path in ("/scripts/nobody", "/customers/nobody", "/nowhere", "/static/../dashboard.py"):
        assert pages.get(path).status_code == 404


def test_problems_are_shown_in_place_and_the_last_good_version_stays(pages: Pages, root: Path) -> None:
    (root / "customers/initech/customer.yaml").write_text("tier: golden\nscripts:\n  hello: {main: hello.mjs}\n")
    pages.site.reconcile("a save")
    text = pages.get("/").text
    assert "1 problem" in text
    assert "customers/initech/customer.yaml:1:7" in text
    assert "there is no tier &#34;golden&#34;" in text
    assert "/scripts/hello" in text
    assert pages.get("/scripts/globex-shop").status_code == 200
    assert pages.get("/scripts/hello").status_code == 422


def test_the_plan_shows_what_a_save_changed(pages: Pages, root: Path) -> None:
    (root / "customers/initech/hello.mjs").write_text('export default { fetch: () => new Response("hello 2") };\n')
    pages.site.reconcile("customers/initech/hello.mjs")
    text = pages.get("/plan").text
    assert "what is live is what the files say" in text
    assert "-export default { fetch: () =&gt; new Response(&#34;hello 1&#34;) };" in text
    assert "+export default { fetch: () =&gt; new Response(&#34;hello 2&#34;) };" in text


def test_the_plan_shows_what_is_pending(pages: Pages, root: Path) -> None:
    pages.store.delete_script("acme-production", "hello")
    text = pages.get("/plan").text
    assert "1 pending" in text
    pages.post("/plan")
    assert [one.action for one in pages.site.rounds.history[-1].results] == [Action.CREATE]


# Who may see and send


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:80", "hello.localhost:8788", "127.0.0.1:8788.evil.example"]
)
def test_another_name_for_this_machine_is_refused(pages: Pages, host: str) -> None:
    assert pages.client.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://hello.localhost:8787", "http://127.0.0.1:8787", "null"]
)
def test_a_form_of_another_page_is_refused(pages: Pages, root: Path, origin: str) -> None:
    assert pages.post("/new", origin=origin, **NEW).status_code == 403
    assert not (root / "customers/globex/globex-blog.mjs").exists()


def test_a_form_needs_the_token_of_its_session(pages: Pages) -> None:
    token = pages.token
    for wrong in ("", "0" * 64, token.upper(), "é"):
        pages.token = wrong
        assert pages.post("/new", **NEW).status_code == 403
    pages.token = token
    pages.client.set_cookie("reconciler-session", "chosen-by-a-script", domain="127.0.0.1")
    assert pages.post("/new", **NEW).status_code == 403


def test_a_browser_is_told_to_run_nothing_foreign(pages: Pages) -> None:
    reply = pages.client.get("/", base_url=f"http://{small_platform.HOST}")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script>" not in reply.text
    assert "style=" not in reply.text
    fresh = Pages(pages.site, pages.store).client.get("/", base_url=f"http://{small_platform.HOST}")
    cookie = fresh.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


# What forms write


def test_a_new_script_is_added_as_a_person_would(pages: Pages, root: Path) -> None:
    reply = pages.post("/new", **NEW)
    assert (reply.status_code, reply.headers["location"]) == (303, "/scripts/globex-blog")
    text = (root / "customers/globex/customer.yaml").read_text()
    added = "  globex-blog:\n    main: globex-blog.mjs\n    tags: [news, beta]\n    limits: {cpu_ms: 20}\n"
    assert text == GLOBEX.replace("    main: api/main.mjs\n", f"    main: api/main.mjs\n{added}")
    assert (root / "customers/globex/globex-blog.mjs").read_bytes() == NEW["code"].replace("\r\n", "\n").encode()
    assert pages.store.row("acme-production", "globex-blog") is not None


def test_a_new_customer_gets_a_folder(pages: Pages, root: Path) -> None:
    form = {
        **NEW,
        "customer": "+",
        "new_id": "wonka",
        "new_name": "Wonka: sweets",
        "tier": "basic",
        "main": "src/a.mjs",
    }
    assert pages.post("/new", **form).status_code == 303
    assert (root / "customers/wonka/customer.yaml").read_text() == (
        "# yaml-language-server: $schema=../../schemas/customer.schema.json\n"
        'name: "Wonka: sweets"\ntier: basic\n\nscripts:\n  globex-blog:\n    main: src/a.mjs\n'
        "    tags: [news, beta]\n    limits: {cpu_ms: 20}\n"
    )
    assert (root / "customers/wonka/src/a.mjs").exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"customer": "nobody"}, "there is no customer"),
        ({"customer": "+", "new_id": "../evil", "tier": "basic"}, "cannot be a customer"),
        ({"customer": "+", "new_id": "globex", "tier": "basic"}, "is there already"),
        ({"customer": "+", "new_id": "wonka", "tier": "golden"}, "needs a tier"),
        ({"script": "Shop"}, "cannot be a script"),
        ({"script": "hello"}, "is there already"),
        ({"main": "../initech/hello.mjs"}, "a path stays inside"),
        ({"main": "/etc/passwd"}, "cannot be used"),
        ({"main": ".git/hooks/x.js"}, "is no source file"),
        ({"main": "shop.mjs"}, "is there already"),
        ({"main": "shop.exe"}, "is no source file"),
        ({"main": "customer.yaml"}, "is there already"),
        ({"tags": "rcn-mine"}, "cannot be a tag"),
        ({"cpu_ms": "many"}, "the limit of CPU time"),
        ({"outbound_worker": "nobody"}, "there is no outbound Worker"),
        ({"code": 'import "./gone.mjs";'}, "gone.mjs"),
    ],
)
def test_a_wrong_form_writes_nothing(pages: Pages, root: Path, wrong: dict[str, str], told: str) -> None:
    before = _tree(root)
    reply = pages.post("/new", **{**NEW, **wrong})
    assert reply.status_code == 422
    assert told in reply.text
    assert "Nothing was written" in reply.text
    assert _tree(root) == before


def test_a_link_on_the_way_is_not_followed(pages: Pages, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (root / "customers/globex/out").symlink_to(tmp_path / "outside")
    reply = pages.post("/new", **{**NEW, "main": "out/x.mjs"})
    assert "leads through a symbolic link" in reply.text
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_edited_file_is_live_at_once(pages: Pages, root: Path) -> None:
    text = pages.get("/edit?file=customers/initech/hello.mjs&script=hello").text
    assert "hello 1" in text
    reply = _save(pages, "customers/initech/hello.mjs", 'export default { fetch: () => new Response("2") };\r\n')
    assert (reply.status_code, reply.headers["location"]) == (303, "/scripts/hello")
    live = pages.store.script("acme-production", "hello")
    assert live is not None
    assert live.main_module is not None
    assert live.main_module.content == b'export default { fetch: () => new Response("2") };\n'


def test_an_edit_with_a_problem_is_put_back(pages: Pages, root: Path) -> None:
    before = _tree(root)
    reply = _save(pages, "customers/initech/customer.yaml", "tier: golden\nscripts:\n  hello: {main: hello.mjs}\n")
    assert reply.status_code == 422
    assert "there is no tier" in reply.text
    assert "tier: golden" in reply.text  # what was typed is not lost
    assert _tree(root) == before


def test_an_edit_of_a_file_that_changed_meanwhile_is_refused(pages: Pages, root: Path) -> None:
    seen = _seen(pages.get("/edit?file=customers/initech/hello.mjs").text)
    (root / "customers/initech/hello.mjs").write_text("// mine\nexport default {};\n")
    form = {"file": "customers/initech/hello.mjs", "text": "// theirs\nexport default {};\n", "seen": seen}
    assert "was changed by someone else" in pages.post("/edit", **form).text
    assert (root / "customers/initech/hello.mjs").read_text().startswith("// mine")


@pytest.mark.parametrize(
    "file",
    ["platform.yaml", "platform/guard.mjs", "customers/../platform.yaml", "/etc/passwd", "customers/x.mjs", "",
     "customers/globex/.env", "customers/globex/nothing.mjs"],
)  # fmt: skip
def test_only_source_files_of_customers_are_edited(pages: Pages, file: str) -> None:
    assert pages.get(f"/edit?file={file}").status_code == 422


def test_other_problems_do_not_stand_in_the_way_of_an_edit(pages: Pages, root: Path) -> None:
    (root / "customers/globex/customer.yaml").write_text("tier: golden\nscripts: {}\n")
    pages.site.reconcile("a save")
    reply = _save(pages, "customers/initech/hello.mjs", "export default {};\n")
    assert reply.status_code == 303
    assert (root / "customers/initech/hello.mjs").read_text() == "export default {};\n"


def test_a_request_goes_to_a_known_script_alone(pages: Pages) -> None:
    for form, told in (
        ({"script": "nobody"}, "there is no script"),
        ({"script": "hello", "method": "CONNECT"}, "the methods are"),
        ({"script": "hello", "path": "http://evil.example/"}, "begins with /"),
        ({"script": "hello", "headers": "nonsense"}, "is no header"),
        ({"script": "hello", "path": "/", "headers": "A: b\x01"}, "nothing came back"),
    ):
        assert told in pages.post("/requests", **{"path": "/", "method": "GET", **form}).text


def test_what_happens_is_streamed_from_where_a_page_stopped(pages: Pages) -> None:
    journal = pages.site.journal
    for number in (1, 2, 3):
        journal.add("round", {"cause": f"save {number}", "problems": 0})
    reply = pages.get("/events?after=1")
    stream = reply.iter_encoded()
    found = [next(iter(stream)) for _ in range(3)]
    assert found[0].startswith(b":")
    assert b"id: 2\n" in found[1]
    assert b'"text": "save 3"' in found[2]
    reply.close()


def _save(pages: Pages, file: str, text: str) -> TestResponse:
    seen = _seen(pages.get(f"/edit?file={file}&script=hello").text)
    return pages.post("/edit", file=file, text=text, seen=seen, script="hello")


def _seen(text: str) -> str:
    return text.partition('name="seen" value="')[2].partition('"')[0]


def _tree(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}
