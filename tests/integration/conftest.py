# SPDX-License-Identifier: Apache-2.0
"""Fixtures: `lab` for the run, `scene` for a test.  See README.md."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab.scene import Lab, Scene  # noqa: E402  # after the path is set
from lab.tlsmend import program  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.exit("the integration lab needs root (network namespaces)", returncode=3)
    made = Lab()
    yield made
    made.close()


@pytest.fixture
def scene(lab, request):
    made = Scene(lab)
    yield made
    if request.node.stash.get(_FAILED, False):
        try:
            made.close()
        except AssertionError:
            pass   # the test's own failure is the one to show
    else:
        made.close()


@pytest.fixture
def tlsmend(scene):
    """A daemon with the lab's defaults."""
    return scene.tlsmend()


_FAILED = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        item.stash[_FAILED] = True
        scene_of_test = item.funcargs.get("scene")
        if scene_of_test is not None:
            report.sections.extend(scene_of_test.report())


def pytest_collection_modifyitems(items):
    """Tests of the daemon fail, and are not skipped, when it was not built."""
    if any("scene" in i.fixturenames for i in items) and not program().exists():
        sys.stderr.write(f"warning: {program()} is not there: build it, or set TLSMEND_BIN\n")
