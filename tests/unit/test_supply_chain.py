"""Everything that is downloaded is pinned by content, comes from where the machine is told to look, and may be used."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", ".ci/sbom.lock", "docs/requirements.lock", "reconciler/templates/github/requirements.txt"]
NODE_LOCKS = ["package-lock.json", "tests/conformance/wrangler/package-lock.json"]
# Names of hosts that packages come from would hold a mirror's user to them. Pieces, so that this file is clean itself.
REGISTRIES = re.compile(r"(?:py" r"pi|python" r"hosted|npm" r"js|deb\.deb" r"ian)\.(?:org|com)")
LICENCES = re.compile(r"MIT|BSD|Apache|Mozilla Public License|MPL-2\.0|PSF-2\.0|ISC", re.IGNORECASE)
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==\S+", re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_python_package_is_pinned_by_hash(lock: str) -> None:
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text)
    assert entries
    assert [one for one in entries if not PINNED.match(one) or "--hash=sha256:" not in one] == []


@pytest.mark.parametrize("lock", NODE_LOCKS)
def test_every_node_package_is_pinned_by_hash_and_by_no_address(lock: str) -> None:
    packages = json.loads((ROOT / lock).read_text(encoding="utf-8"))["packages"]
    packages.pop("")
    assert packages
    assert [name for name, one in packages.items() if not one["integrity"].startswith("sha512-")] == []
    assert [name for name, one in packages.items() if "resolved" in one] == []


def test_no_committed_file_names_the_host_of_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name]
    assert [name for name in names if REGISTRIES.search(_text(ROOT / name))] == []


def test_what_runs_may_be_used_by_anybody() -> None:
    """A package of another licence is looked at by a person before its name is added here."""
    pinned = PINNED.findall((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    installed = [name for name in pinned if _is_installed(name)]
    assert len(installed) > 40
    assert {name: licence for name in installed if not LICENCES.search(licence := _licence(name))} == {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() and not path.is_symlink() else ""


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:  # of another platform
        return False
    return True


def _licence(name: str) -> str:
    found = metadata.metadata(name).json
    licences = [one for one in found.get("classifier", ()) if one.startswith("License")]
    return " ".join([str(found.get("license_expression", "")), str(found.get("license", "")), *licences])
