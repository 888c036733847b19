"""The worked examples of docs/migrating.md: namespaces as other tools fill them, and every command typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from reconciler.local.api import LOCAL_TOKEN
from tests.documents.conftest import ACCOUNT, ROOT, Home, Upload, fill
from tests.documents.session import commands

WRANGLER, TERRAFORM, EXAMPLE = commands(ROOT / "docs/migrating.md")
TERMS = {"compatibility_date": "2026-10-01", "limits": {"cpu_ms": 50}}


def code(text: str) -> str:
    return f"export default {{ fetch: () => new Response({text!r}) }};\n"


def moved(home: Home, namespace: str, uploads: Sequence[Upload], lines: Sequence[str]) -> Path:
    """The repository that the commands leave behind. What ran before runs still: no code was sent."""
    fill(home.account, namespace, uploads)
    before = {one.name: home.account.script(namespace, one.name) for one in uploads}
    token = f"export CLOUDFLARE_ACCOUNT_ID={ACCOUNT} CLOUDFLARE_API_TOKEN={LOCAL_TOKEN}"
    ran = home.type(token, *lines)
    assert ran.code == 0, ran.printed
    for name, was in before.items():
        now = home.account.script(namespace, name)
        assert was is not None
        assert now is not None
        assert now.modules == was.modules, name
        assert "rcn-acme" in (now.tags or ())
    return home.folder


@pytest.mark.deep
def test_scripts_that_wrangler_deployed(home: Home) -> None:
    names = ("globex-shop", "globex-api", "initech-status")
    uploads = [
        Upload(
            name, {"index.js": code(name)}, {**TERMS, "bindings": [{"type": "plain_text", "name": "A", "text": "b"}]}
        )
        for name in names
    ]
    folder = moved(home, "production", uploads, WRANGLER)
    assert sorted(path.name for path in (folder / "customers").iterdir()) == ["globex", "initech"]


@pytest.mark.deep
def test_terraform_of_the_fourth_version(home: Home) -> None:
    uploads = [
        Upload("shop", {"worker.js": code("shop")}, {**TERMS, "tags": ["customer-globex", "advanced"]}),
        Upload("status", {"worker.js": code("status")}, {**TERMS, "tags": ["customer-initech", "basic"]}),
    ]
    folder = moved(home, "production", uploads, TERRAFORM)
    globex = yaml.safe_load((folder / "customers/globex/customer.yaml").read_text(encoding="utf-8"))
    assert (globex["tier"], globex["tags"]) == ("advanced", ["customer-globex"])


def test_the_example_of_cloudflare(home: Home) -> None:
    platform_module = 'const platformThing = "This module is provided by the platform"; export { platformThing };'
    customers = {"559968cd-b048-4bbc-ba21-d12625fcee45": "basic", "2612b586-4799-42ff-8c44-d4841e1e70ed": "advanced"}
    uploads = [
        Upload(
            f"script-{plan}-{number}",
            {
                f"script-{plan}-{number}.mjs": f'import "./platform_module.mjs";\n{code(plan)}',
                "platform_module.mjs": platform_module,
            },
            {"tags": [customer, plan]},
        )
        for customer, plan in customers.items()
        for number in (1, 2)
    ]
    folder = moved(home, "workers-for-platforms-example-project", uploads, EXAMPLE)
    assert sorted(path.name for path in (folder / "customers").iterdir()) == sorted(customers)
    platform = yaml.safe_load((folder / "platform.yaml").read_text(encoding="utf-8"))
    assert list(platform["platform_modules"]) == ["platform_module.mjs"]
    assert platform["prune"] is False
