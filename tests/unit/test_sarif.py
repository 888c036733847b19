"""Every problem that a case has is SARIF 2.1.0, by the standard's own schema.

sarif-2.1.0.schema.json is that of OASIS, as the npm package @microsoft/jest-sarif 1.0.0-beta.0 (MIT) carries it.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

from reconciler.errors import ConfigError, Problem, Severity, Where
from reconciler.load import config
from reconciler.show.problems import SARIF_RESULTS, sarif

HERE = Path(__file__).parent
CASES = sorted((HERE.parent / "cases").glob("*/repo"))
TODAY = datetime.date(2026, 11, 24)


@pytest.fixture(scope="module")
def standard() -> jsonschema.Draft4Validator:
    schema = json.loads((HERE / "sarif-2.1.0.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def test_the_problems_of_every_case_are_sarif(standard: jsonschema.Draft4Validator, tmp_path: Path) -> None:
    found: list[Problem] = []
    for case in CASES:
        repository = tmp_path / case.parent.name
        shutil.copytree(case, repository, symlinks=True)
        found += problems_of(repository)
    assert len({one.code for one in found}) > 40
    standard.validate(json.loads(sarif(found)))


ODD = [
    (),
    [Problem("nowhere")],
    [Problem("a file that is no UTF-8", Where("customers/a\udcff \u202e#?%.mjs", width=0))],
    [Problem("", Where("a.yaml", 1, 1, 0), severity=Severity.WARNING)],
    [Problem("many", Where("a.yaml", line)) for line in range(1, SARIF_RESULTS + 10)],
]


@pytest.mark.parametrize("problems", ODD, ids=["none", "no place", "a hidden name", "no text", "too many"])
def test_odd_problems_are_sarif(standard: jsonschema.Draft4Validator, problems: Sequence[Problem]) -> None:
    log = json.loads(sarif(problems))
    standard.validate(log)
    assert len(log["runs"][0]["results"]) == min(len(problems), SARIF_RESULTS)


def problems_of(root: Path) -> Sequence[Problem]:
    try:
        return config.load(root, variables={}, today=TODAY).warnings
    except ConfigError as error:
        return error.problems
