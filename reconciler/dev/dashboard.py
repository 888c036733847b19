"""The pages at the API's address: what runs, what a save would change, what was asked and answered, and forms that
write the files.

Server-rendered; the JavaScript beside it only keeps open pages current. To add a page: one method of Dashboard, its
row in _PAGES, and a template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NoPage
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from reconciler.dev import asking, entries, highlight, views, writing
from reconciler.dev.gate import FIELD, Gate
from reconciler.dev.journal import Entry, Journal
from reconciler.dev.rounds import Round, Rounds
from reconciler.dev.urls import Address
from reconciler.errors import ConfigError, Problem, ReconcilerError
from reconciler.load.repository import Repository
from reconciler.local.api import PREFIX

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FOLDER = Path(__file__).parent
LARGEST_FORM = 4 * 1024 * 1024
MOST_CHOICES = 200  # scripts in a list to choose from; beyond, their names are typed
STREAM_START = 60  # entries that a page shows before the stream goes on
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Site:
    """What the pages show and may do."""

    rounds: Rounds
    journal: Journal
    reconcile: Callable[[str], Round]
    addresses: Callable[[], list[Address]]
    port: Callable[[], int]  # of the data plane
    api_port: int


def dashboard(site: Site) -> WSGIApplication:
    """The pages as a WSGI app."""
    return Dashboard(site)


class Dashboard:
    """One server's pages. Thread-safe: what it shows is the rounds' and the journal's."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._gate = Gate(site.api_port)
        self._map = Map([Rule(path, methods=[method], endpoint=page) for method, path, page in _PAGES])

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = request.max_form_memory_size = LARGEST_FORM
        session = self._gate.session(request)
        try:
            response = self._answer(request, session)
        except HTTPException as error:
            response = self._plain(request, session, error.code or 500, str(error.description))
        return self._gate.sealed(request, response, session)(environ, start_response)

    def _answer(self, request: Request, session: str) -> Response:
        if refusal := self._gate.refusal(request):
            return Response(f"{refusal}\n", 403, mimetype="text/plain")
        page, values = self._map.bind_to_environ(request.environ).match()
        try:
            answer: Response = page(self, Visit(request, session), **values)
        except ReconcilerError as error:
            status = 422 if isinstance(error, ConfigError) else 502
            return self._page(
                Visit(request, session), "problems.html", status, title="Problems", problems=error.problems
            )
        return answer

    # Pages

    def overview(self, visit: Visit) -> Response:
        asked = visit.request.args
        tag, search = asked.get("tag", ""), asked.get("q", "").strip()
        shown = views.overview(self._site, tag, search)
        recent = self._recent(12)
        return self._page(visit, "overview.html", title="Overview", tag=tag, q=search, shown=shown, entries=recent)

    def customer(self, visit: Visit, customer: str) -> Response:
        shown = views.customer(self._site, customer, visit.request.args.get("tag", ""))
        if shown is None:
            raise NoPage(f"there is no customer {customer} in the repository")
        return self._page(visit, "customer.html", title=shown.name, shown=shown)

    def script(self, visit: Visit, script: str) -> Response:
        shown = views.script(self._site, script, visit.request.args.get("module", ""))
        if shown is None:
            raise NoPage(f"there is no script {script} in the repository")
        recent = self._recent(20, script)
        return self._page(visit, "script.html", title=script, shown=shown, entries=recent, asked=asking.EMPTY)

    def plan(self, visit: Visit) -> Response:
        return self._page(visit, "plan.html", title="Plan", shown=views.plan(self._site))

    def requests(self, visit: Visit) -> Response:
        return self._requests(visit, asking.EMPTY._replace(script=visit.request.args.get("script", "")), None)

    def ask(self, visit: Visit) -> Response:
        """Send a request to a script, from this machine's own data plane and no other host."""
        asked = asking.read(visit.request.form)
        answer = asking.ask(asked, self._site.addresses(), self._site.port())
        return self._requests(visit, asked, answer)

    def reconcile(self, visit: Visit) -> Response:
        del visit
        self._site.reconcile("asked for on the dashboard")
        return _to("/plan")

    # Forms that write files

    def new(self, visit: Visit) -> Response:
        form = writing.NewScript(customer=visit.request.args.get("customer", ""))
        return self._page(visit, "new.html", title="New script", form=form, choices=views.choices(self._site))

    def create(self, visit: Visit) -> Response:
        form = writing.new_script(visit.request.form)
        try:
            done = self._written(writing.files_of(form, self._repository()), f"script {form.script}")
        except ReconcilerError as error:
            choices = views.choices(self._site)
            return self._page(
                visit, "new.html", 422, title="New script", form=form, choices=choices, problems=error.problems
            )
        return _to("/plan" if done.problems or done.failed else f"/scripts/{quote(form.script)}")

    def edit(self, visit: Visit) -> Response:
        asked = visit.request.args
        text = writing.read(self._repository(), asked.get("file", ""), asked.get("script", ""))
        back = views.back(self._site, text.file, text.script)
        return self._page(visit, "edit.html", title=text.file, form=text, back=back)

    def save(self, visit: Visit) -> Response:
        form = writing.edited(visit.request.form)
        back = views.back(self._site, form.file, form.script)
        try:
            self._written(writing.checked(form, self._repository()), form.file)
        except ReconcilerError as error:
            return self._page(visit, "edit.html", 422, title=form.file, form=form, back=back, problems=error.problems)
        return _to(back)

    # What pages load

    def events(self, visit: Visit) -> Response:
        """The journal from now on, as server-sent events."""
        after = visit.request.headers.get("last-event-id", visit.request.args.get("after", ""))
        start = int(after) if after.isascii() and after.isdigit() else self._site.journal.last
        response = Response(self._stream(start), mimetype="text/event-stream")
        response.headers["Cache-Control"] = "no-store"
        return response

    def static(self, visit: Visit, name: str) -> Response:
        del visit
        content = _static().get(name)
        if content is None:
            raise NoPage(f"there is no file {name}")
        response = Response(content, mimetype=_TYPES[Path(name).suffix])
        response.headers["Cache-Control"] = "no-cache"
        return response

    def _stream(self, after: int) -> Iterator[bytes]:
        yield b": the local platform\n\n"
        for entry in self._site.journal.follow(after):
            if entry is None:
                yield b": nothing new\n\n"
            else:
                yield f"id: {entry.number}\ndata: {json.dumps(entries.line(entry))}\n\n".encode()

    def _requests(self, visit: Visit, asked: asking.Asked, answer: asking.Answer | None) -> Response:
        return self._page(
            visit,
            "requests.html",
            title="Requests",
            asked=asked,
            answer=answer,
            scripts=[one.script for one in self._site.addresses()],
            entries=self._recent(STREAM_START, visit.request.args.get("script", "")),
        )

    def _written(self, files: Mapping[str, bytes], what: str) -> Round:
        """Write files and reconcile; with new problems everything is put back as it was. Raises ConfigError."""
        rounds = self._site.rounds
        with rounds.paused():
            known = _known(rounds)
            with writing.written(rounds.root, files) as undo:
                try:
                    rounds.load()
                except ConfigError as error:
                    if fresh := [one for one in error.problems if (one.where, one.what) not in known]:
                        undo()
                        raise ConfigError(fresh) from None
            return self._site.reconcile(f"{what}, written on the dashboard")

    def _repository(self) -> Repository:
        repository = self._site.rounds.repository
        if repository is None:
            what = "the repository has problems, so that there is nothing to add to"
            raise ConfigError([Problem(what, fix="mend them in your editor; see Plan", code="local-dashboard")])
        return repository

    def _recent(self, most: int, script: str = "") -> list[dict[str, Any]]:
        recent: list[Entry] = self._site.journal.recent()
        found = [entries.line(one) for one in recent if not script or one.what.get("script") == script]
        return found[-most:][::-1]

    def _page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        text = (
            _templates()
            .get_template(template)
            .render(
                site=views.frame(self._site),
                token=self._gate.token(visit.session),
                path=visit.request.path,
                last=self._site.journal.last,
                api_path=PREFIX,
                most_choices=MOST_CHOICES,
                **{"problems": (), "asked": asking.EMPTY, "answer": None, **values},
            )
        )
        return Response(text, status, mimetype="text/html")

    def _plain(self, request: Request, session: str, status: int, why: str) -> Response:
        return self._page(Visit(request, session), "nothing.html", status, title=str(status), why=why)


@dataclass(frozen=True)
class Visit:
    """A request of a browser."""

    request: Request
    session: str


_PAGES = (
    ("GET", "/", Dashboard.overview),
    ("GET", "/customers/<customer>", Dashboard.customer),
    ("GET", "/scripts/<script>", Dashboard.script),
    ("GET", "/plan", Dashboard.plan),
    ("POST", "/plan", Dashboard.reconcile),
    ("GET", "/requests", Dashboard.requests),
    ("POST", "/requests", Dashboard.ask),
    ("GET", "/new", Dashboard.new),
    ("POST", "/new", Dashboard.create),
    ("GET", "/edit", Dashboard.edit),
    ("POST", "/edit", Dashboard.save),
    ("GET", "/events", Dashboard.events),
    ("GET", "/static/<name>", Dashboard.static),
)


def _known(rounds: Rounds) -> set[tuple[object, str]]:
    """Problems that the files had before."""
    try:
        return {(one.where, one.what) for one in rounds.load().warnings}
    except ConfigError as error:
        return {(one.where, one.what) for one in error.problems}


def _url(path: str, **values: str) -> str:
    """A link with its query; empty values are left out."""
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{quote(path)}?{query}" if query else quote(path)


def _to(path: str) -> Response:
    return Response(status=303, headers={"Location": path})


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(views.FILTERS)
    made.globals.update(highlighted=highlight.lines, url=_url, field=FIELD)
    return made


@cache
def _static() -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((FOLDER / "static").iterdir()) if file.suffix in _TYPES}
