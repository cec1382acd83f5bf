"""`tandem docs`."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result
from reachable import ReachableServer


def test_anybody_may_read_the_guide(tandem: Callable[..., Result], reachable: ReachableServer) -> None:
    guide = tandem("docs", "--server", reachable.url)
    page = tandem("docs", "llms.txt", "--server", reachable.url)

    assert guide.output.startswith("# ")
    assert reachable.url in guide.output
    assert page.exit_code == 0
