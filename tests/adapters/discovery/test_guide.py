"""That what agents read is true: routes, bodies, tools and commands in it are those that there are."""

from __future__ import annotations

import io
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator

import pytest
import yaml
from builders import image_bytes
from click.testing import CliRunner
from flask.testing import FlaskClient

from adapters.catalogue import STATUS
from adapters.cli.main import main
from adapters.verbs import verbs
from adapters.web import SPOKEN
from backend.services import Services

BASE = "https://tandem.example"
VERBS = verbs(SPOKEN)
TOOLS = {verb.tool for verb in VERBS if verb.tool}
COMMANDS = {verb.command for verb in VERBS if verb.command}
PAGES = ("/agents.md", "/skill.md", "/llms.txt", "/llms-full.txt", "/auth.md", "/agents/prompt")
LISTS = ("/agents.md", "/skill.md", "/llms.txt", "/llms-full.txt")
"""Those that name everything."""

Read = Callable[[str], str]


@pytest.fixture
def read(client: FlaskClient) -> Read:
    return lambda page: client.get(page, base_url=BASE).get_data(as_text=True)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(text: str, program: str) -> Iterator[list[str]]:
    """Yield the words of each call of a program in the shell blocks of a page, without comments."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(f"{program} "):
                yield shlex.split(line, comments=True)[1:]


def requests(text: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield method, path and JSON body of each HTTP request in a page."""
    for words in lines(text, "api"):
        options = {words[at]: words[at + 1] for at in range(len(words) - 1) if words[at] in ("-X", "-d", "-F")}
        url = next(word for word in words if word.startswith(BASE))
        method = options.get("-X") or ("POST" if {"-d", "-F"} & set(options) else "GET")
        yield method, url.removeprefix(BASE), options.get("-d")


def test_every_request_in_the_guide_has_a_route(client: FlaskClient, read: Read) -> None:
    routes = client.application.url_map.bind("tandem.example")

    made = list(requests(read("/agents.md")))

    assert len(made) == 16
    for method, path, _ in made:
        assert routes.match(path.partition("?")[0], method)


def test_the_guide_leads_from_images_to_a_training(client: FlaskClient, services: Services, read: Read) -> None:
    """Its requests, one after the other, as they are written there."""
    _, key = services.accounts.mint(services.accounts.create_user("ann@example.com"), "test")
    ids: dict[str, str] = {}

    for method, path, body in requests(read("/agents.md")):
        images = [(io.BytesIO(image_bytes(size=(200, side))), name) for side, name in ((100, "a.jpg"), (90, "b.jpg"))]
        response = client.open(
            re.sub(r"\$(\w+)", lambda found: ids[found[1]], path),
            method=method,
            headers={"Authorization": f"Bearer {key}"},
            **({"data": {"files": images}} if path.endswith("/images") else {"json": json.loads(body or "{}")}),
        )
        assert response.status_code < 300, response.get_data(as_text=True)
        data = response.get_json()["data"]
        made = data["images"][0]["id"] if path.endswith("/images") else data.get("id", "")
        ids[{"prj": "PRJ", "img": "IMG", "lbs": "LBS", "trn": "TRN"}.get(made[:3], "")] = made
        if path.endswith("/start"):
            break

    assert data["status"] == "queued"


def test_every_command_that_is_named_is_there(read: Read) -> None:
    """With all its options: click reads those before it helps."""
    called = {tuple(words) for page in PAGES for words in lines(read(page), "tandem")}
    said = {tuple(words.split()) for page in PAGES for words in re.findall(r"`tandem ([a-z][^`]*)`", read(page))}

    refused = [words for words in called | said if CliRunner().invoke(main, [*words, "--help"]).exit_code]

    assert len(called) >= 12
    assert refused == []


@pytest.mark.parametrize("page", LISTS)
def test_every_tool_and_every_command_is_listed(read: Read, page: str) -> None:
    """S-001: nobody has to guess what there is."""
    text = read(page)

    assert [name for name in sorted(TOOLS) if f"`{name}`" not in text] == []
    assert [name for name in sorted(COMMANDS) if not re.search(rf"`(tandem )?{name}`", text)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_tool_that_is_named_is_there(read: Read, page: str) -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", read(page)))

    assert named - TOOLS - COMMANDS == set()


@pytest.mark.parametrize("page", ["/agents.md", "/auth.md"])
def test_every_error_that_is_named_is_in_the_catalogue(read: Read, page: str) -> None:
    named = set(re.findall(r"^\| `([A-Z_]+)` \| \d{3} ", read(page), re.MULTILINE))

    assert named
    assert named <= set(STATUS)


def test_client_configurations_can_be_pasted(read: Read) -> None:
    """They parse, and lead to this server with the key from outside."""
    text = read("/agents.md")
    found = [json.loads(block) for block in blocks(text, "json")]
    servers = [server for each in found for server in (each.get("mcpServers") or each["servers"]).values()]
    [codex] = [tomllib.loads(block) for block in blocks(text, "toml")]

    assert [server["url"] for server in servers if "url" in server] == [f"{BASE}/mcp"] * 3
    assert all("{" in server["headers"]["Authorization"] for server in servers if "url" in server)
    assert [(each["command"], each["args"]) for each in servers if "command" in each] == [("tandem", ["mcp"])]
    assert codex["mcp_servers"]["tandem"]["url"] == f"{BASE}/mcp"
    assert f'claude mcp add --transport http tandem {BASE}/mcp --header "Authorization: Bearer' in text


def test_the_prompt_is_in_the_guide(read: Read) -> None:
    guide = read("/agents.md")

    assert all(f"> {line}" in guide for line in read("/agents/prompt").splitlines())


def test_the_guide_is_a_skill_too(read: Read) -> None:
    _, front, body = read("/skill.md").split("---\n", 2)
    said = yaml.safe_load(front)

    assert said["name"] == "tandem"
    assert BASE in said["description"]
    assert len(said["description"]) <= 1024
    assert body.strip() == read("/agents.md").strip()


def test_one_text_holds_the_guides_and_the_reference(read: Read) -> None:
    text = read("/llms-full.txt")

    assert read("/agents.md") in text
    assert read("/auth.md") in text
    assert len(text.encode()) < 150_000


@pytest.mark.parametrize("page", PAGES)
def test_no_page_holds_a_key_or_a_gap(read: Read, page: str) -> None:
    """M-030."""
    text = read(page)

    assert "<<" not in text
    assert not re.search(r"mlp_(live|sk)_[0-9A-Za-z]", text)
    assert "localhost" not in text
