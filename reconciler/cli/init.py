"""`reconciler init`: the first files of a repository, a customer, a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reconciler.load.files import Folder


_EXAMPLES = {
    "customer": "an id, as in `reconciler init customer globex`",
    "script": "a name, as in `reconciler init script shop --customer globex`",
}


@click.command(options_metavar="[OPTIONS]")
@click.argument("words", nargs=-1, metavar="[DIR | customer ID | script NAME | workflows]")
@click.option("--platform", "platform_name", metavar="ID", help="The platform's id; else the folder's name.")
@click.option("--tier", metavar="NAME", help="The new customer's tier; else basic, or the first that there is.")
@click.option("--customer", metavar="ID", help="Whose script it is; else the only customer, or the folder you are in.")
@click.option(
    "-C", "folder", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Look for the repository here."
)
def init(
    words: tuple[str, ...], platform_name: str | None, tier: str | None, customer: str | None, folder: Path
) -> int:
    """Make a new platform repository in DIR, or add a customer or script to the one you are in.

    \b
    reconciler init                      a working platform in this folder
    reconciler init my-platform          the same in a new folder
    reconciler init customer globex      customers/globex/ with a first script
    reconciler init script shop --customer globex
    reconciler init workflows            .github/, for a repository that has none
    """
    match words:
        case ("customer", identity):
            return _customer(folder, identity, tier)
        case ("script", name):
            return _script(folder, name, customer)
        case ("customer" | "script" as what,):
            raise _refused(f"`init {what}` takes {_EXAMPLES[what]}; a platform of that name is `init ./{what}`")
        case ("workflows",):
            return _workflows(folder)
        case () | (_,):
            return _platform(folder / (words[0] if words else ""), platform_name)
    raise click.UsageError(f"init takes a folder, `customer ID`, `script NAME` or `workflows`, not {' '.join(words)!r}")


def _platform(folder: Path, name: str | None) -> int:
    from reconciler import origin
    from reconciler.begin import scaffold
    from reconciler.github import templates

    chosen = name or _identity(folder.resolve().name)
    _refuse_bad_name(chosen, "platform", most=24)
    requirement = origin.requirement()
    workflows = templates.files(requirement=requirement, owner=f"@{chosen}/platform")
    _write(folder, {**scaffold.platform(chosen), **workflows})
    _ask_for_origin(requirement)
    click.echo(f"\nNext:{f' cd {folder} &&' if folder != Path() else ''} reconciler plan --local", err=True)
    return 0


def _workflows(folder: Path) -> int:
    from reconciler import origin
    from reconciler.cli import loading
    from reconciler.github import templates
    from reconciler.load import config

    root = loading.repository_root(folder)
    owner = f"@{config.load(root, '', variables={}).platform.name}/platform"
    requirement = origin.requirement()
    _write(root, templates.files(requirement=requirement, owner=owner))
    _ask_for_origin(requirement)
    click.echo("\nNext: docs/github.md of the reconciler leads through tokens, environments and rules", err=True)
    return 0


def _ask_for_origin(requirement: str) -> None:
    from reconciler import origin
    from reconciler.github import templates

    if requirement.endswith(origin.UNKNOWN):
        told = "say in it, before the first push, where GitHub's runners install the reconciler from"
        click.echo(f"\n{templates.RECONCILER}: {told}", err=True)


def _customer(folder: Path, identity: str, tier: str | None) -> int:
    from reconciler.begin import scaffold
    from reconciler.cli import loading
    from reconciler.load import files, platform_file

    root = loading.repository_root(folder)
    _refuse_bad_name(identity, "customer")
    tiers = list(platform_file.read_source(root, "").data.get("tiers", {}))
    if identity in tiers:
        raise _refused(f"{identity} is the name of a tier, and both are tags of a script")
    if tier is not None and tier not in tiers:
        raise _refused(f"platform.yaml has no tier {tier}: {', '.join(tiers) or 'it has none at all'}")
    there = next((one.path for one in files.customers(root, "customers").customers if _id(one) == identity), "")
    if there:
        raise _refused(f"{there} exists already")
    script = f"{identity}-hello"
    _refuse_taken(root, script)
    chosen = tier or ("basic" if "basic" in tiers else next(iter(tiers), ""))
    _write(root, scaffold.customer(identity, chosen, {script: "hello.mjs"}))
    click.echo("\nNext: reconciler plan --local", err=True)
    return 0


def _script(folder: Path, name: str, customer: str | None) -> int:
    from reconciler.begin import scaffold
    from reconciler.cli import files, loading
    from reconciler.errors import UsageProblem

    root = loading.repository_root(folder)
    _refuse_bad_name(name, "script", most=63)
    _refuse_taken(root, name)
    file = _customer_file(root, folder, customer)
    main = file.with_name(f"{name}.mjs")
    if main.exists():
        raise _refused(f"{main.relative_to(root)} exists already")
    try:
        text = scaffold.with_script(files.read(file), scaffold.entry(name, main.name))
    except ValueError as error:
        raise _refused(f"{file.relative_to(root)}: {error}") from None
    _write(root, {str(main.relative_to(root)): scaffold.module()})
    try:
        files.write(file, text)
    except UsageProblem:
        _take_back([main])
        raise
    click.echo(f"{file.relative_to(root)}\n\nNext: reconciler plan --local", err=True)
    return 0


def _customer_file(root: Path, folder: Path, customer: str | None) -> Path:
    """The customer.yaml that a new script goes into: the named one, the one we stand in, or the only one."""
    here = folder.resolve() / "customer.yaml"
    found = sorted((root / "customers").rglob("customer.yaml"))
    if customer is not None:
        found = [one for one in found if one.parent.name == customer]
    elif here in found:
        found = [here]
    if len(found) != 1:
        raise _refused(f'there is no customer "{customer}"' if customer else "say whose it is with --customer ID")
    return found[0]


def _refuse_taken(root: Path, script: str) -> None:
    """The namespace has one script of a name. Files that are wrong are told by `validate`, and not here."""
    from reconciler.errors import ConfigError
    from reconciler.load import customer_file, files

    for folder in files.customers(root, "customers").customers:
        try:
            if script.encode() in folder.read(files.CUSTOMER_FILE):
                taken = script in customer_file.read_source(folder).data["scripts"]
            else:
                taken = False  # most files, and parsing them is what takes time
        except (ConfigError, OSError, ValueError):
            continue
        if taken:
            raise _refused(f"customer {_id(folder)} has a script {script} already")


def _id(folder: Folder) -> str:
    return folder.path.rpartition("/")[2]


def _refused(why: str) -> click.UsageError:
    return click.UsageError(f"{why}; nothing was written")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """All or nothing: a file that exists is never overwritten."""
    there = [path for path in files if (folder / path).exists()]
    if there:
        raise _refused(f"{there[0]} exists already in {folder}")
    made: list[Path] = []
    try:
        for path, text in sorted(files.items()):
            target = folder / path
            made += [one for one in reversed(target.parents) if not one.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            made.append(target)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        _take_back(made)
        raise _refused(f"{error.filename or folder} cannot be written ({error.strerror})") from None
    for path in sorted(files):
        click.echo(path, err=True)


def _take_back(made: Sequence[Path]) -> None:
    for one in reversed(made):
        with suppress(OSError):  # it was not made yet, or stands on what cannot be written any more
            one.rmdir() if one.is_dir() else one.unlink()


def _identity(text: str) -> str:
    """A folder's name as an id."""
    kept = "".join(one if one.isascii() and one.isalnum() else "-" for one in text.lower()).strip("-")
    return kept[:24].strip("-") or "platform"


def _refuse_bad_name(name: str, what: str, most: int = 48) -> None:
    from reconciler.begin import scaffold

    if not scaffold.NAME.fullmatch(name) or len(name) > most:
        raise _refused(f'"{name}" cannot name a {what}: a-z, 0-9 and "-", at most {most}')
