"""The files below .github/ that a platform's repository begins with: workflows, the set-up action, CODEOWNERS.

Law (tests/github/test_lint.py): the workflows and the action of the reconciler's own repository are these.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

SHARED = (
    "actions/setup/action.yml",
    "workflows/apply.yml",
    "workflows/drift.yml",
    "workflows/owners.yml",
    "workflows/plan.yml",
    "workflows/reviewed.yml",
)
_PLACE = ".github"
RECONCILER = f"{_PLACE}/reconciler.txt"


def files(*, requirement: str, owner: str) -> Mapping[str, str]:
    """Path to text. `requirement` is how pip gets the reconciler ("wfp-reconciler @ git+https://…@<commit>"), `owner`
    who owns the platform ("@acme/platform")."""
    return {
        f"{_PLACE}/CODEOWNERS": _read("CODEOWNERS").replace("{owner}", owner),
        RECONCILER: _read("reconciler.txt").replace("{requirement}", requirement),
        f"{_PLACE}/requirements.txt": _read("requirements.txt"),
        **{f"{_PLACE}/{name}": _read(name) for name in SHARED},
    }


def _read(name: str) -> str:
    return resources.files("reconciler").joinpath("templates", "github", *name.split("/")).read_text(encoding="utf-8")
