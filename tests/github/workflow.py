"""Runs a workflow's jobs and steps as GitHub's runner does: real bash, real outputs, environments and summaries.

What it holds to (from the runner's documentation and source): a step's default shell is `bash -e`, with `shell: bash`
it is `bash --noprofile --norc -eo pipefail`; `${{ }}` is filled into a script before bash sees it, and knows at each
place only the contexts that GitHub has there; commands in the log begin with `::` after spaces, or with `##[` anywhere,
and stop-commands silences both. Actions of others are played by stand_ins.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from tests.github import stand_ins
from tests.github.expressions import Expressions, Status

PYTHON = Path(sys.executable)
ROOT = Path(__file__).parents[2]
OURS = "acme/reconciler"  # stands for this repository where a workflow uses its action
_COMMAND = re.compile(r"^\s*::(?P<name>[a-zA-Z-]+)(?: (?P<properties>[^:]*(?::(?!:)[^:]*)*))?::(?P<value>.*)$")
_LEGACY = re.compile(r"##\[(?P<name>[a-zA-Z-]+)[^\]]*\](?P<value>.*)$")

# Stands for `python` on the runner's path: what would install from the network is written down instead.
_PYTHON_SHIM = """\
#!/bin/bash
if [ "$1 $2 $3" = "-m pip install" ]; then echo "$*" >>"$PIP_LOG"; exit 0; fi
exec {python} "$@"
"""


@dataclass
class StepRun:
    """One step: what it got, and what became of it."""

    name: str
    uses: str = ""
    outcome: str = "skipped"
    conclusion: str = "skipped"
    env: Mapping[str, str] = field(default_factory=dict)  # what the step's process had
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    commands: list[tuple[str, str]] = field(default_factory=list)  # those that the runner obeyed
    seconds: float = 0.0


@dataclass
class JobRun:
    name: str
    result: str
    title: str = ""  # the name of the check
    matrix: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    permissions: Mapping[str, str] = field(default_factory=dict)
    steps: list[StepRun] = field(default_factory=list)

    def step(self, name: str) -> StepRun:
        return next(step for step in self.steps if step.name == name)

    @property
    def log(self) -> str:
        return "".join(step.log for step in self.steps)

    @property
    def summary(self) -> str:
        return "".join(step.summary for step in self.steps)


@dataclass
class Hosted:
    """GitHub around a run: its API, secrets by environment, variables, the repository, what actions keep."""

    expressions: Expressions
    folder: Path
    origin: Path
    api_url: str
    cloudflare_url: str
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by the name of the environment
    variables: Mapping[str, str] = field(default_factory=dict)
    token: str = "ghs_token_of_the_run"
    caches: dict[str, stand_ins.Saved] = field(default_factory=dict)
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    runs: int = 100


@dataclass(frozen=True)
class Event:
    """What starts a run."""

    name: str
    payload: Mapping[str, Any]
    sha: str
    ref: str
    actor: str = "octocat"
    inputs: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1

    @property
    def from_fork(self) -> bool:
        pull = self.payload.get("pull_request")
        return pull is not None and pull["head"]["repo"]["full_name"] != pull["base"]["repo"]["full_name"]


def run(hosted: Hosted, workflow: str, event: Event) -> list[JobRun]:
    """Run every job of .github/workflows/<workflow>, one after the other, as the commit of the event has it."""
    hosted.runs += 1
    document = _document(hosted, workflow, event)
    contexts = {"github": _github(hosted, event, ""), "vars": {**hosted.variables}, "inputs": {**event.inputs}}
    assert hosted.expressions.fill_text(document["concurrency"]["group"], contexts)
    assert "env" not in document  # not played here
    done: dict[str, list[JobRun]] = {}
    for name in document["jobs"]:
        done[name] = list(_jobs(hosted, document, name, event, done))
    return [one for some in done.values() for one in some]


def _jobs(
    hosted: Hosted, document: Mapping[str, Any], name: str, event: Event, done: Mapping[str, list[JobRun]]
) -> Iterator[JobRun]:
    job = document["jobs"][name]
    needs = {one: {"result": _worst(done[one]), "outputs": {}} for one in job.get("needs", [])}
    contexts: dict[str, Any] = {
        "github": _github(hosted, event, name),
        "vars": {**hosted.variables},
        "inputs": {**event.inputs},
        "needs": needs,
    }
    met = all(one["result"] == "success" for one in needs.values())
    if not hosted.expressions.holds(job.get("if"), contexts, Status(met, not met)):
        yield JobRun(name, "skipped")
        return
    for number, matrix in enumerate(_matrix(hosted, job, contexts)):
        one = Job(hosted, document, name, event, matrix, needs, hosted.folder / f"run-{hosted.runs}-{name}-{number}")
        result = one.run()
        yield result
        if result.result == "failure" and job.get("strategy", {}).get("fail-fast", "true") == "true":
            return


def started(hosted: Hosted, name: str, event: Event) -> list[str]:
    """The jobs of a workflow that an event starts, without running them."""
    jobs = _document(hosted, name, event)["jobs"]
    contexts = {"github": _github(hosted, event, name), "vars": {}, "inputs": {}, "needs": {}}
    return [one for one, job in jobs.items() if hosted.expressions.holds(job.get("if"), contexts, Status())]


def _document(hosted: Hosted, workflow: str, event: Event) -> dict[str, Any]:
    """As the commit of the event has it, and with texts only: to YAML 1.1 the key `on` is true."""
    command = ["git", "show", f"{event.sha}:.github/workflows/{workflow}"]
    shown = subprocess.run(command, cwd=hosted.origin, capture_output=True, check=True)
    document: dict[str, Any] = yaml.load(shown.stdout, Loader=yaml.BaseLoader)
    return document


def _worst(jobs: list[JobRun]) -> str:
    results = [job.result for job in jobs]
    return next((one for one in ("failure", "skipped") if one in results), "success")


def _matrix(hosted: Hosted, job: Mapping[str, Any], contexts: Mapping[str, Any]) -> list[dict[str, Any]]:
    axes = {
        name: hosted.expressions.fill(values, contexts) if isinstance(values, str) else values
        for name, values in job.get("strategy", {}).get("matrix", {}).items()
    }
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _github(hosted: Hosted, event: Event, job: str) -> dict[str, Any]:
    return {
        "event": dict(event.payload),
        "event_name": event.name,
        "repository": "acme/platform",
        "actor": event.actor,
        "sha": event.sha,
        "ref": event.ref,
        "ref_name": event.ref.removeprefix("refs/heads/").removeprefix("refs/pull/"),
        "run_id": str(hosted.runs),
        "run_attempt": str(event.attempt),
        "job": job,
        "token": hosted.token,
        "api_url": hosted.api_url,
    }


class Job:
    """One job of a run, in its own folders."""

    def __init__(
        self,
        hosted: Hosted,
        document: Mapping[str, Any],
        name: str,
        event: Event,
        matrix: Mapping[str, Any],
        needs: Mapping[str, Any],
        folder: Path,
    ) -> None:
        definition = document["jobs"][name]
        self.hosted, self.event, self.matrix = hosted, event, matrix
        self._name, self._definition, self._document = name, definition, document
        self.workspace, self.temp, self._files = folder / "work", folder / "temp", folder / "files"
        for one in (self.workspace, self.temp, self._files, folder / "bin", folder / "home"):
            one.mkdir(parents=True)
        self._bin, self._home = folder / "bin", folder / "home"
        shim = self._bin / "python"
        shim.write_text(_PYTHON_SHIM.format(python=PYTHON))
        shim.chmod(0o755)
        (self._bin / "reconciler").symlink_to(PYTHON.parent / "reconciler")
        self._status = "success"
        self._persisted: dict[str, str] = {}  # GITHUB_ENV
        github = _github(hosted, event, name)
        contexts = {
            "github": github,
            "vars": dict(hosted.variables),
            "matrix": dict(matrix),
            "inputs": dict(event.inputs),
        }
        environment = definition.get("environment", "")
        named = environment if isinstance(environment, str) else environment.get("name", "")
        self.environment = hosted.expressions.fill_text(named, contexts) if named else ""
        # GitHub gives a fork's run no secret, whatever the workflow says.
        secrets = {} if event.from_fork else dict(hosted.secrets.get(self.environment, {}))
        runner = {"temp": str(self.temp), "os": "Linux", "arch": "X64"}
        self.contexts: dict[str, Any] = {
            **contexts,
            "secrets": {**secrets, "GITHUB_TOKEN": hosted.token},
            "runner": runner,
            "job": {"status": "success"},
            "strategy": {},
            "needs": needs,
        }
        outside = {**contexts, "needs": needs, "strategy": {}}
        self.contexts["env"] = self._filled(definition.get("env", {}), {**outside, "secrets": self.contexts["secrets"]})
        self.title = hosted.expressions.fill_text(definition.get("name", name), outside)

    def run(self) -> JobRun:
        steps: list[StepRun] = []
        self._run_steps(self._definition["steps"], {**self.contexts, "steps": {}}, steps, self._base_env(), "")
        permissions = self._definition.get("permissions", self._document.get("permissions", {}))
        return JobRun(self._name, self._status, self.title, self.matrix, self.environment, permissions, steps)

    def _run_steps(
        self,
        definitions: list[Mapping[str, Any]],
        contexts: dict[str, Any],
        into: list[StepRun],
        env: Mapping[str, str],
        action_path: str,
    ) -> None:
        for number, definition in enumerate(definitions):
            name = definition.get("name") or definition.get("uses") or f"step {number}"
            step = StepRun(name, definition.get("uses", ""))
            into.append(step)
            status = Status(self._status == "success", self._status == "failure")
            known = {one: value for one, value in contexts.items() if one != "secrets"}
            if self.hosted.expressions.holds(definition.get("if"), known, status):
                self._run_step(step, definition, contexts, into, env, action_path)
                step.conclusion = step.outcome
                if step.outcome == "failure" and definition.get("continue-on-error") == "true":
                    step.conclusion = "success"
                if step.conclusion == "failure":
                    self._status = "failure"
            if "id" in definition:
                contexts["steps"][definition["id"]] = {
                    "outputs": dict(step.outputs),
                    "outcome": step.outcome,
                    "conclusion": step.conclusion,
                }

    def _run_step(
        self,
        step: StepRun,
        definition: Mapping[str, Any],
        contexts: dict[str, Any],
        into: list[StepRun],
        env: Mapping[str, str],
        action_path: str,
    ) -> None:
        contexts = {**contexts, "job": {"status": self._status}}
        own = self._filled(definition.get("env", {}), contexts)
        step.env = {**env, **self._persisted, **own}
        if "run" in definition:
            script = self.hosted.expressions.fill_text(definition["run"], contexts)
            folder = self.hosted.expressions.fill_text(definition.get("working-directory", "."), contexts)
            self._run_script(step, script, definition.get("shell", ""), self.workspace / folder, action_path)
            return
        step.inputs = self._filled(definition.get("with", {}), contexts)
        if step.uses.startswith("./") or step.uses.startswith(f"{OURS}@"):
            action = self.workspace / step.uses if step.uses.startswith("./") else ROOT
            self._run_composite(step, action, contexts, into)
            return
        step.outcome = "success"
        stand_ins.ACTIONS[step.uses.partition("@")[0]](self, step)

    def _run_composite(self, step: StepRun, folder: Path, contexts: Mapping[str, Any], into: list[StepRun]) -> None:
        action = yaml.load((folder / "action.yml").read_text(), Loader=yaml.BaseLoader)
        defaults = {name: one.get("default", "") for name, one in (action.get("inputs") or {}).items()}
        inner = {
            **{name: contexts[name] for name in ("github", "runner", "job", "strategy", "matrix")},
            "env": contexts["env"],
            "inputs": {**self._filled(defaults, contexts), **step.inputs},
            "steps": {},
        }
        before = self._status
        self._run_steps(action["runs"]["steps"], inner, into, step.env, str(folder))
        step.outcome = "failure" if self._status == "failure" and before == "success" else "success"
        outputs = action.get("outputs") or {}
        step.outputs = {name: self.hosted.expressions.fill_text(one["value"], inner) for name, one in outputs.items()}

    def _run_script(self, step: StepRun, script: str, shell: str, folder: Path, action_path: str) -> None:
        number = len(list(self._files.iterdir()))
        files = {name: self._files / f"{number}-{name}" for name in ("output", "env", "path", "summary", "script")}
        for one in files.values():
            one.touch()
        files["script"].write_text(script)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail"] if shell == "bash" else ["bash", "-e"]
        step.env = {
            **step.env,
            "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_ENV": str(files["env"]),
            "GITHUB_PATH": str(files["path"]),
            "GITHUB_STEP_SUMMARY": str(files["summary"]),
            **({"GITHUB_ACTION_PATH": action_path} if action_path else {}),
        }
        ended = subprocess.run(
            [*command, str(files["script"])],
            cwd=folder,
            env=dict(step.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        step.log, step.outcome = ended.stdout, "success" if ended.returncode == 0 else "failure"
        step.commands = list(commands(step.log))
        step.outputs = assignments(files["output"].read_text())
        step.summary = files["summary"].read_text()
        self._persisted.update(assignments(files["env"].read_text()))
        assert len(step.summary.encode()) <= 1024 * 1024, "GitHub drops a summary over 1 MiB"

    def _filled(self, values: Mapping[str, str], contexts: Mapping[str, Any]) -> dict[str, str]:
        return {name: self.hosted.expressions.fill_text(one, contexts) for name, one in values.items()}

    def _base_env(self) -> dict[str, str]:
        """Nothing of the environment that the tests run in, but where programs are."""
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.event.payload))
        return {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.hosted.api_url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "acme/platform",
            "GITHUB_EVENT_NAME": self.event.name,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_SHA": self.event.sha,
            "GITHUB_REF": self.event.ref,
            "GITHUB_REF_NAME": self.contexts["github"]["ref_name"],
            "GITHUB_ACTOR": self.event.actor,
            "GITHUB_RUN_ID": str(self.hosted.runs),
            "GITHUB_RUN_ATTEMPT": str(self.event.attempt),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
            "CLOUDFLARE_API_BASE_URL": self.hosted.cloudflare_url,
            "PIP_LOG": str(self.temp / "pip.log"),
            **self.contexts["env"],
        }


def commands(log: str) -> Iterator[tuple[str, str]]:
    """The workflow commands that a runner would obey, in order."""
    stopped = ""
    for line in log.splitlines():
        if stopped:
            stopped = "" if line.strip() == f"::{stopped}::" else stopped
            continue
        found = _COMMAND.match(line) or _LEGACY.search(line)
        if found is None:
            continue
        if found["name"] == "stop-commands":
            stopped = found["value"]
        yield found["name"], found["value"]


def assignments(text: str) -> dict[str, str]:
    """GITHUB_OUTPUT and GITHUB_ENV: name=value, or name<<delimiter … delimiter."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, mark, delimiter = line.partition("<<")
        if mark and "=" not in name:
            value = []
            for one in lines:
                if one == delimiter:
                    break
                value.append(one)
            found[name] = "\n".join(value)
        else:
            name, _, value_text = line.partition("=")
            found[name] = value_text
    return found
