"""Validates an RO-Crate without a network, by the Python of an environment with roc-validator.

`roc-validator` cannot live beside our own dependencies (it wants another rich). It fetches the
JSON-LD context of RO-Crate 1.1, which `rocrate` up to version 0.14 has in it: install both there.

    python tests/validate_crate.py FOLDER [REQUIRED | RECOMMENDED]
"""

import json
import sys
import tempfile
from importlib import resources
from pathlib import Path

from requests import Response
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PROFILE = "provenance-run-crate-0.5"


def main(folder: str, severity: str = "REQUIRED") -> int:
    context = json.loads(resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_text())
    assert context["@id"] == CONTEXT, "install rocrate 0.14 or earlier"
    HttpRequester.get = lambda _, url, **__: _response(context if url == CONTEXT else None)
    with tempfile.TemporaryDirectory() as cache:
        result = services.validate(
            ValidationSettings(
                rocrate_uri=folder,
                profile_identifier=PROFILE,
                requirement_severity=Severity[severity],
                offline=True,
                cache_path=str(Path(cache) / "http"),
            )
        )
    for issue in result.get_issues():
        print(f"{issue.severity.name} {issue.check.identifier}: {issue.message}")
    print(f"{len(result.executed_checks)} checks, {len(result.failed_checks)} failed")
    return 0 if result.passed() else 1


def _response(content: object) -> Response:
    """Answer of the network: content, or that there is none."""
    answer = Response()
    answer.status_code = 404 if content is None else 200
    answer.headers["Content-Type"] = "application/ld+json"
    answer._content = json.dumps(content).encode()
    return answer


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
