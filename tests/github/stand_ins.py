"""Actions of others, as far as our workflows lean on them: what they leave in the folders of the job."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.github.workflow import Job, StepRun


@dataclass(frozen=True)
class Saved:
    """What stands under a key of the cache."""

    paths: tuple[str, ...]
    files: Mapping[str, bytes]


def checkout(job: Job, step: StepRun) -> None:
    """Only as deep as it was asked for, and without a credential."""
    assert step.inputs.get("persist-credentials") == "false"
    depth, commit = step.inputs.get("fetch-depth", "1"), step.inputs.get("ref", "") or job.event.sha
    for words in (
        ["init", "-q"],
        ["fetch", "-q", *([] if depth == "0" else [f"--depth={depth}"]), f"file://{job.hosted.origin}", commit],
        ["checkout", "-q", "--detach", "FETCH_HEAD"],
    ):
        subprocess.run(["git", *words], cwd=job.workspace, check=True, capture_output=True)


def set_up_python(job: Job, step: StepRun) -> None:
    step.outputs["python-path"] = "python"


def upload_artifact(job: Job, step: StepRun) -> None:
    """Kept by file name; fails as the action does where there is none and that is an error."""
    patterns = step.inputs["path"].split()
    found = {Path(one).name: Path(one).read_bytes() for one in patterns if Path(one).is_file()}
    if not found and step.inputs.get("if-no-files-found") == "error":
        step.outcome = "failure"
        return
    assert step.inputs["name"] not in job.hosted.artifacts.setdefault(str(job.hosted.runs), {})
    job.hosted.artifacts[str(job.hosted.runs)][step.inputs["name"]] = b"".join(found.values())
    step.outputs["files"] = " ".join(sorted(found))


def restore_cache(job: Job, step: StepRun) -> None:
    """The newest that begins with the key or a restore key, and was saved for the same paths."""
    paths = tuple(step.inputs["path"].split())
    for prefix in (step.inputs["key"], *step.inputs.get("restore-keys", "").split()):
        for key, saved in reversed(job.hosted.caches.items()):
            if key.startswith(prefix) and saved.paths == paths:
                for name, content in saved.files.items():
                    target = job.workspace / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                step.outputs["cache-matched-key"] = key
                return


def save_cache(job: Job, step: StepRun) -> None:
    """A key is written once, with those of its paths that exist."""
    paths = tuple(step.inputs["path"].split())
    found = {name: (job.workspace / name).read_bytes() for name in paths if (job.workspace / name).exists()}
    if found:
        job.hosted.caches.setdefault(step.inputs["key"], Saved(paths, found))


ACTIONS: Mapping[str, Callable[[Job, StepRun], None]] = {
    "actions/checkout": checkout,
    "actions/setup-python": set_up_python,
    "actions/upload-artifact": upload_artifact,
    "actions/cache/restore": restore_cache,
    "actions/cache/save": save_cache,
}
