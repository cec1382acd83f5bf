"""What a supervisor promises about its children, with small real programs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import wait_for

from adapters.cli.supervisor import Interrupted, Program, Supervisor

SLEEPS = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


pytestmark = pytest.mark.usefixtures("own_signals")


def program(code: str, name: str = "child", **others: object) -> Program:
    return Program(name, (sys.executable, "-c", code), dict(os.environ), **others)  # type: ignore[arg-type]


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def watch_until(supervisor: Supervisor, claim: Callable[[], object], what: str) -> None:
    """Let a supervisor look after its children until a claim is true."""

    def interrupt() -> None:
        try:
            wait_for(claim, what)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(interrupt)
        with pytest.raises(Interrupted):
            supervisor.watch()
    waiting.result()


def test_leaving_ends_the_children() -> None:
    with Supervisor(grace_s=10) as supervisor:
        supervisor.start(program(SLEEPS))
        assert supervisor.exit_code("child") is None

    assert supervisor.exit_code("child") == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with Supervisor(grace_s=0.2) as supervisor:
        supervisor.start(program(DEAF, output=said))
        wait_for(lambda: said.read_text() == "\n", "the child is deaf")

    assert supervisor.exit_code("child") == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    said = tmp_path / "said"
    starts_another = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]).pid, flush=True)"
    )
    with Supervisor(grace_s=10) as supervisor:
        supervisor.start(program(f"{starts_another}; {SLEEPS}", output=said))
        wait_for(lambda: said.read_text().endswith("\n"), "the grandchild runs")

    wait_for(lambda: not is_running(int(said.read_text())), "the grandchild has ended")


def test_what_others_need_to_stop_is_stopped_last(tmp_path: Path) -> None:
    order = tmp_path / "order"
    note = (
        "import signal, sys, time\n"
        f"def end(*_):\n time.sleep(0.2); open({str(order)!r}, 'a').write(sys.argv[1]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print(flush=True); time.sleep(600)"
    )
    with Supervisor(grace_s=10) as supervisor:
        for name, is_needed in (("redis", True), ("web", False)):
            command = (sys.executable, "-c", note, f"{name} ")
            said = tmp_path / name
            supervisor.start(Program(name, command, dict(os.environ), output=said, is_needed_to_stop=is_needed))
            wait_for(lambda said=said: said.read_text() == "\n", f"{name} is ready")

    assert order.read_text() == "web redis "


def test_a_crash_is_followed_by_a_restart_and_the_next_one_later(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    crashes = f"import time; open({str(starts)!r}, 'a').write(f'{{time.monotonic()}} '); raise SystemExit(3)"
    with Supervisor(grace_s=10) as supervisor:
        supervisor.start(program(crashes))
        watch_until(
            supervisor, lambda: starts.exists() and starts.read_text().count(" ") == 3, "it started three times"
        )

    first, second, third = map(float, starts.read_text().split())
    assert 0.9 < second - first < third - second


def test_a_signal_interrupts_and_the_children_do_not_get_it(tmp_path: Path) -> None:
    with Supervisor(grace_s=10) as supervisor:
        supervisor.start(program(SLEEPS))
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            supervisor.pause(60)
        assert os.getsid(supervisor._children["child"].process.pid) != os.getsid(0)
        assert supervisor.exit_code("child") is None


def test_a_second_signal_ends_what_is_deaf_at_once(tmp_path: Path) -> None:
    said = tmp_path / "said"
    started = time.monotonic()
    with Supervisor(grace_s=600) as supervisor:
        supervisor.start(program(DEAF, output=said))
        wait_for(lambda: said.read_text() == "\n", "the child is deaf")
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    assert supervisor.exit_code("child") == -signal.SIGKILL
    assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervise = (
        "import os, sys, time\n"
        "from adapters.cli.supervisor import Program, Supervisor\n"
        "with Supervisor(grace_s=1) as supervisor:\n"
        f"  supervisor.start(Program('x', (sys.executable, '-c', {SLEEPS!r}), dict(os.environ)))\n"
        "  print(supervisor._children['x'].process.pid, flush=True)\n"
        "  time.sleep(600)\n"
    )
    with subprocess.Popen((sys.executable, "-c", supervise), stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert is_running(child)

        supervisor.kill()

    wait_for(lambda: not is_running(child), "the child has died")


def test_niceness_is_given_to_the_child() -> None:
    with Supervisor(grace_s=10) as supervisor:
        supervisor.start(program(SLEEPS, niceness=7))

        assert os.getpriority(os.PRIO_PROCESS, supervisor._children["child"].process.pid) == 7
