"""What the OpenAPI document promises, asked of the server with whatever fits it and whatever does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from belongings import make_belongings
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from adapters.discovery.openapi import document, written_path
from adapters.operations import Operation
from adapters.web import SPOKEN
from backend.accounts.service import SCOPES
from backend.services import Services

OPERATIONS = [operation for api in SPOKEN for operation in api.operations]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NUM_REQUESTS = 12
"""Of each operation, one half with valid values and one half without."""


@pytest.fixture(scope="module")
def schema() -> Any:
    return schemathesis.openapi.from_dict(document(SPOKEN, "http://localhost"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_answer_is_as_it_was_described(
    schema: Any, operation: Operation, client: FlaskClient, services: Services, tmp_path: Path
) -> None:
    """M-031, S-018: no status that is not declared, no body that is not as its schema says.

    No 5xx either, but for those that an API's own contract wants.
    """
    owner = services.accounts.create_user("ann@example.com")
    ids = make_belongings(services, owner, tmp_path)
    _, key = services.accounts.mint(owner, "test", scopes=SCOPES)
    described = schema[written_path(operation.path)][operation.method]
    checks = [check for check in CHECKS if check is not not_a_server_error or not max(operation.also, default=0) >= 500]
    cases = st.one_of(*(described.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @given(case=cases, is_real=st.sampled_from([True, True, False]))
    @settings(
        max_examples=NUM_REQUESTS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Case, is_real: bool) -> None:
        if is_real:
            case.path_parameters = {to_camel(name): ids[name] for name in operation.parameters}
        headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
        case.call_and_validate(app=client.application, headers=headers, checks=checks, buffered=True)

    ask()
