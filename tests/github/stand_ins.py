"""Actions of others, as far as our workflows lean on them: what they leave in the folders of the job."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.github.workflow import Job, StepRun


def checkout(job: Job, step: StepRun) -> None:
    """Only as deep as it was asked for, and without a credential."""
    assert step.inputs.get("persist-credentials") == "false"
    depth = step.inputs.get("fetch-depth", "1")
    for words in (
        ["init", "-q"],
        ["fetch", "-q", *([] if depth == "0" else [f"--depth={depth}"]), f"file://{job.hosted.origin}", job.event.sha],
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
    """The newest that begins with the key or a restore key."""
    for prefix in (step.inputs["key"], *step.inputs.get("restore-keys", "").split()):
        for key in reversed(job.hosted.caches):
            if key.startswith(prefix):
                target = job.workspace / step.inputs["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(job.hosted.caches[key])
                step.outputs["cache-matched-key"] = key
                return


def save_cache(job: Job, step: StepRun) -> None:
    """A key is written once."""
    path = job.workspace / step.inputs["path"]
    if path.exists():
        job.hosted.caches.setdefault(step.inputs["key"], path.read_bytes())


ACTIONS: Mapping[str, Callable[[Job, StepRun], None]] = {
    "actions/checkout": checkout,
    "actions/setup-python": set_up_python,
    "actions/upload-artifact": upload_artifact,
    "actions/cache/restore": restore_cache,
    "actions/cache/save": save_cache,
}
