"""Forms into files of the repository, with the loader's own rules for what a file may be called and where it is.

Law: only files below the folder of a customer are written, never through a link, and a customer.yaml keeps every line
and comment that it had: a new script is added to it as a person would write it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.begin import scaffold
from reconciler.dev.views import EDITABLE
from reconciler.errors import ConfigError, Problem, Where
from reconciler.load import files, schema
from reconciler.load.customer_file import CUSTOMER_ID
from reconciler.load.files import CUSTOMER_FILE
from reconciler.load.repository import Customer, Repository

CUSTOMERS = "customers"
NEW = "+"  # the choice of a customer that is not there yet
_SCRIPT = re.compile(schema.SCRIPT_NAME)
_TAG = re.compile(schema.TAG)
TEMPLATE = """export default {
  async fetch(request, env) {
    return new Response(`Hello from ${new URL(request.url).hostname}\\n`);
  },
};
"""


@dataclass(frozen=True, slots=True)
class NewScript:
    """The form of a new script, as it was typed."""

    customer: str = ""  # an id, or NEW
    new_id: str = ""
    new_name: str = ""
    tier: str = ""
    script: str = ""
    main: str = ""  # "" for <script>.mjs
    tags: str = ""  # separated by commas or spaces
    cpu_ms: str = ""
    subrequests: str = ""
    outbound_worker: str = ""
    code: str = TEMPLATE


@dataclass(frozen=True, slots=True)
class Text:
    """A file that is edited."""

    file: str
    text: str
    seen: str  # digest of what the page showed
    script: str = ""  # that it was opened from


def new_script(form: Mapping[str, str]) -> NewScript:
    names = NewScript.__dataclass_fields__
    return NewScript(**{name: form.get(name, "") if name == "code" else form.get(name, "").strip() for name in names})


def files_of(form: NewScript, repository: Repository) -> dict[str, bytes]:
    """What a new script adds to the repository. Raises ConfigError with everything that is wrong with the form."""
    problems = list(_form_problems(form, repository))
    if problems:
        raise ConfigError(problems)
    main = form.main or f"{form.script}.mjs"
    owner = repository.customers.get(form.customer)
    folder = owner.folder if owner else f"{CUSTOMERS}/{form.new_id}"
    place = f"{folder}/{main}"
    problems = list(_place_problems(repository, place))
    if (repository.root / place).exists():
        problems.append(_wrong(f"the file {place} is there already", "choose another name for the main module"))
    if problems:
        raise ConfigError(problems)
    lines = _script_lines(form, main)
    customer = _extended(repository, owner, lines) if owner else _customer_text(form, folder, lines)
    return {f"{folder}/{CUSTOMER_FILE}": customer.encode(), place: _normal(form.code).encode()}


def read(repository: Repository, file: str, script: str) -> Text:
    """A file for its form. Raises ConfigError for one that cannot be edited here."""
    problems = list(_place_problems(repository, file))
    if problems:
        raise ConfigError(problems)
    try:
        content = files.read_below(repository.root, file)
        text = content.decode()
    except (OSError, ValueError) as error:
        raise ConfigError([_wrong(f"{file} cannot be edited here: {error}", "")]) from None
    return Text(file, text, _seen(content), script)


def edited(form: Mapping[str, str]) -> Text:
    return Text(form.get("file", ""), form.get("text", ""), form.get("seen", ""), form.get("script", ""))


def checked(form: Text, repository: Repository) -> dict[str, bytes]:
    """What the form changes. Raises ConfigError, also when the file is not what the page showed any more."""
    now = read(repository, form.file, form.script)
    if now.seen != form.seen:
        problem = _wrong(
            f"{form.file} was changed by someone else meanwhile",
            "copy your text, open the file again, and put your change into it",
        )
        raise ConfigError([problem])
    text = _normal(form.text)
    return {form.file: (text.replace("\n", "\r\n") if "\r\n" in now.text else text).encode()}


@contextmanager
def written(root: Path, contents: Mapping[str, bytes]) -> Iterator[Callable[[], None]]:
    """Write files, each whole or not at all; gives the function that puts everything back as it was."""
    before = {name: _content(root / name) for name in contents}
    made: list[Path] = []

    def undo() -> None:
        for name, content in before.items():
            if content is None:
                (root / name).unlink(missing_ok=True)
            else:
                _write(root / name, content)
        for folder in reversed(made):
            folder.rmdir()

    try:
        for name, content in contents.items():
            made += _made_folders(root, (root / name).parent)
            _write(root / name, content)
    except OSError as error:
        undo()
        raise ConfigError([_wrong(f"the files cannot be written: {error.strerror or error}", "")]) from None
    yield undo


def _form_problems(form: NewScript, repository: Repository) -> Iterator[Problem]:
    if form.customer == NEW:
        if not CUSTOMER_ID.fullmatch(form.new_id):
            yield _wrong(
                f'"{form.new_id}" cannot be a customer\'s id', "use 1 to 48 small letters, digits and -, the first no -"
            )
        elif form.new_id in repository.customers:
            yield _wrong(f"customer {form.new_id} is there already", "choose it above")
        if repository.platform.tiers and form.tier not in repository.platform.tiers:
            yield _wrong("a new customer needs a tier", f"choose one of {', '.join(repository.platform.tiers)}")
    elif form.customer not in repository.customers:
        yield _wrong(f'there is no customer "{form.customer}"', "choose one")
    if not _SCRIPT.fullmatch(form.script):
        yield _wrong(
            f'"{form.script}" cannot be a script\'s name',
            "use 1 to 63 small letters, digits, - and _, and begin with a letter or a digit",
        )
    elif any(one.name == form.script for one in repository.scripts()):
        yield _wrong(f"script {form.script} is there already", "names are unique over all customers")
    for tag in _tags(form):
        if not _TAG.fullmatch(tag):
            yield _wrong(f'"{tag}" cannot be a tag', "a tag has no comma, & or :, and does not begin with rcn-")
    for label, text in (("CPU time", form.cpu_ms), ("subrequests", form.subrequests)):
        if text and not re.fullmatch(r"[1-9][0-9]{0,6}", text):
            yield _wrong(f'the limit of {label} is "{text}"', "write a whole number, or leave it empty")
    if form.outbound_worker and form.outbound_worker not in repository.platform.outbound_workers:
        yield _wrong(f'there is no outbound Worker "{form.outbound_worker}"', "choose one")


def _place_problems(repository: Repository, file: str) -> Iterator[Problem]:
    """Why a file cannot be written: by its path's text, and by what stands on the way to it."""
    if wrong := files.path_problem(file, Where(file), "the repository"):
        yield wrong
        return
    folder, _, name = file.rpartition("/")
    if not file.startswith(f"{CUSTOMERS}/") or folder == CUSTOMERS:
        yield _wrong(f"{file} is not a file of a customer", "the platform's own files are edited in your editor")
        return
    hidden = any(part.startswith(".") or part == "node_modules" for part in file.split("/"))
    if hidden or (name != CUSTOMER_FILE and not name.endswith(EDITABLE)):
        yield _wrong(f'"{name}" is no source file', f"source files end with {' '.join(EDITABLE)}")
        return
    path = repository.root
    for part in file.split("/"):
        path = path / part
        if path.is_symlink():
            yield _wrong(f"{file} leads through a symbolic link", "put the file itself there")
            return


def _script_lines(form: NewScript, main: str) -> list[str]:
    """A script's entry in customer.yaml, without indentation."""
    limits = [("cpu_ms", form.cpu_ms), ("subrequests", form.subrequests)]
    told = ", ".join(f"{name}: {value}" for name, value in limits if value)
    tags = ", ".join(scaffold.scalar(tag) for tag in _tags(form))
    settings = [
        *([f"tags: [{tags}]"] if tags else []),
        *([f"limits: {{{told}}}"] if told else []),
        *([f"outbound_worker: {scaffold.scalar(form.outbound_worker)}"] if form.outbound_worker else []),
    ]
    return scaffold.entry(form.script, main, settings)


def _customer_text(form: NewScript, folder: str, lines: list[str]) -> str:
    up = "../" * (folder.count("/") + 1)
    return "\n".join(
        [
            f"# yaml-language-server: $schema={up}schemas/customer.schema.json",
            f"name: {scaffold.scalar(form.new_name or form.new_id)}",
            *([f"tier: {scaffold.scalar(form.tier)}"] if form.tier else []),
            "",
            "scripts:",
            *(f"  {line}" for line in lines),
            "",
        ]
    )


def _extended(repository: Repository, owner: Customer, lines: list[str]) -> str:
    """customer.yaml with one more script at the end of `scripts`. Everything else stays as it is, to the byte."""
    file = f"{owner.folder}/{CUSTOMER_FILE}"
    try:
        return scaffold.with_script(files.read_below(repository.root, file).decode(), lines)
    except ValueError as error:
        fix = "add it to the file, from the customer's page or your editor"
        raise ConfigError([_wrong(f"a script cannot be added to {file}: {error}", fix)]) from None


def _tags(form: NewScript) -> list[str]:
    return list(dict.fromkeys(re.split(r"[\s,]+", form.tags.strip()))) if form.tags.strip() else []


def _normal(text: str) -> str:
    """A form's text as a file: lines end with one character, the last one too."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") or not text else f"{text}\n"


def _seen(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return files.read(path)
    except (OSError, ValueError):
        return None


def _made_folders(root: Path, folder: Path) -> list[Path]:
    """Make the folders that are missing, outermost first."""
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(root) and not one.exists()]
    for one in reversed(missing):
        one.mkdir()
    return missing[::-1]


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}~")
    partial.unlink(missing_ok=True)
    with partial.open("xb") as file:  # never through a link
        file.write(content)
    partial.replace(path)


def _wrong(what: str, fix: str) -> Problem:
    return Problem(what, fix=fix, code="local-dashboard")
