"""Which reconciler this is: its version, and where it was installed from, so that a workflow installs the same.

The package index has another project under the name `reconciler`: what is written for others to install never rests on
a bare name and version, but on a commit or a file with its hash.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from importlib import metadata
from pathlib import Path

from reconciler import DISTRIBUTION
from reconciler.load import git

UNKNOWN = "git+https://github.com/OWNER/reconciler@COMMIT"
_SSH = re.compile(r"(?:ssh://)?git@(?P<host>[\w.-]+)[:/](?P<path>[\w./-]+)")


def version() -> str:
    """As pyproject.toml says it, the one place."""
    return metadata.version(DISTRIBUTION)


def requirement() -> str:
    """What pip installs this very reconciler from; UNKNOWN where this machine cannot tell others."""
    return f"{DISTRIBUTION} @ {source(metadata.distribution(DISTRIBUTION).read_text('direct_url.json') or '{}')}"


def source(direct_url: str) -> str:
    """The URL in what pip notes of an installation (PEP 610): a commit, or an archive with its hash."""
    noted = json.loads(direct_url)
    url = _without_credentials(str(noted.get("url", "")))
    match noted:
        case {"vcs_info": {"vcs": "git", "commit_id": str(commit)}} if url.startswith("https://"):
            return f"git+{url}@{commit}"
        case {"archive_info": {"hashes": {"sha256": str(digest)}}} if url.startswith("https://"):
            return f"{url}#sha256={digest}"
        case {"dir_info": _}:
            return _clone(Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)))
        case _:
            return UNKNOWN


def _clone(folder: Path) -> str:
    """A folder is on this machine only; what it was cloned from is not. The runner of a workflow has no key for ssh."""
    url, commit = git.remote(folder), git.head(folder)
    if ssh := _SSH.fullmatch(url):
        url = f"https://{ssh['host']}/{ssh['path']}"
    return f"git+{_without_credentials(url)}@{commit}" if url.startswith("https://") and commit else UNKNOWN


def _without_credentials(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
