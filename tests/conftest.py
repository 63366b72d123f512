"""Shared fixtures, and what a skipped test means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tiny_dataset"]

_DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
NO_PHOTOS = "no real photos: set DEOCC_TEST_DATA to their folder"
# What a machine may lack even in CI. Everything else is installed by the test extra or by .ci/run.
MAY_BE_SKIPPED = ("DEOCC_TEST_DATA", "needs a GPU", "needs root")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos; the test is skipped where it is absent."""
    folder = Path(os.environ.get("DEOCC_TEST_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(NO_PHOTOS)
    return folder


class SkipWatch:
    """Fails a run in CI when a test is skipped for a reason that `MAY_BE_SKIPPED` does not list."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            if not any(allowed in reason for allowed in MAY_BE_SKIPPED):
                self.unexpected.append(f"{report.nodeid}: {reason}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.unexpected.append(f"{report.nodeid}: {report.longrepr}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.unexpected:
            terminalreporter.write_line(f"unexpected skip: {line}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Watch skips in CI, in the process that collects all reports."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipWatch(), "skip-watch")
