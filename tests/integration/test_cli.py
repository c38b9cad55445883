# SPDX-License-Identifier: Apache-2.0
"""The command line: subcommands, help, exit codes, `check` and `version`."""

import subprocess

import pytest

from lab.tlsmend import program

USAGE, CONFIG = 64, 78


def tlsmend(*words):
    return subprocess.run([program(), *words], capture_output=True, text=True, timeout=60,
                          check=False)


@pytest.fixture
def conf(tmp_path):
    def write(text):
        path = tmp_path / "tlsmend.conf"
        path.write_text(text, encoding="utf-8")
        return str(path)
    return write


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_names_the_subcommands(words):
    done = tlsmend(*words)
    assert done.returncode == 0 and done.stderr == ""
    for name in ("run", "check", "mta-sts", "dane", "ledger", "version"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", ["run", "check", "mta-sts", "dane", "ledger", "version"])
def test_help_of_a_subcommand_does_nothing_else(name):
    done = tlsmend(name, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"usage: tlsmend {name}")


@pytest.mark.parametrize("words, said", [
    ([], "usage: tlsmend SUBCOMMAND"),
    (["chek"], 'unknown subcommand "chek" (did you mean "check"?)'),
    (["check", "-x"], 'unknown option "-x"'),
    (["check", "-c"], "-c takes the path of one file"),
    (["check", "-c", "/a", "-c", "/b"], "-c takes the path of one file"),
    (["check", "/a"], 'unknown option "/a"'),
    (["run", "-x"], 'unknown option "-x"'),
    (["version", "-x"], 'unknown option "-x"'),
    (["ledger", "-x"], 'unknown option "-x"'),
    (["ledger", "-c"], "-c takes the path of one file"),
    (["ledger", "a", "b"], 'one word at a time: "b" is the second'),
    (["ledger", ""], "the word is empty"),
    (["dane"], "which domain?"),
    (["mta-sts", "--json", "a.example", "b.example"], 'one domain at a time: "b.example" is the second'),
])
def test_wrong_words(words, said):
    done = tlsmend(*words)
    assert done.returncode == USAGE and done.stdout == ""
    assert said in done.stderr


def test_version_names_every_library():
    lines = tlsmend("version").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "tlsmend", "BoringSSL", "libevent", "libunbound", "http-parser", "libconfig", "libpsl",
        "SQLite", "Jansson"]
    assert all(any(c.isdigit() for c in line) for line in lines)
    assert tlsmend("--version").stdout.splitlines() == lines


def test_check_prints_values_with_their_source(conf):
    path = conf('helo_name = "mail.example.org";\n\ntimeouts: { connect = "7s"; };\n')
    done = tlsmend("check", "-c", path)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f'timeouts.connect = "7s" # {path}:3' in lines
    assert 'timeouts.greeting = "60s" # default' in lines
    assert any(line.endswith(" roots") for line in lines)
    assert done.stderr.endswith(f"{path}: the configuration is good\n")


def test_check_says_every_error_and_prints_nothing(conf):
    path = conf('usr = "x";\ntimeouts: { connect = 7; };\n')
    done = tlsmend("check", "-c", path)
    assert done.returncode == CONFIG and done.stdout == ""
    assert done.stderr == (
        f'{path}:1: usr = "x": unknown key; the nearest known one here is "user"\n'
        f'{path}:2: timeouts.connect = 7: the unit is missing: write "7s"\n'
        f"{path}: the configuration is wrong\n")


def test_check_warns_of_expired_rows(conf):
    path = conf('destinations = ( { match = "a.example"; level = "may"; expires = "2020-01-01"; } );')
    done = tlsmend("check", "-c", path)
    assert done.returncode == 0
    assert f'{path}:1: destinations[0].expires = "2020-01-01": has expired' in done.stderr


@pytest.mark.parametrize("name", ["run", "check"])
@pytest.mark.parametrize("row, key, why", [
    ('tls: {{ trust_store = "{0}"; }};', 'tls.trust_store = "{0}"', "holds no certificate"),
    ('tls: {{ crl_files = [ "{0}" ]; }};', 'tls.crl_files = [ "{0}" ]', "no usable revocation list"),
    ('destinations = ( {{ match = "a.example"; ca_file = "{0}"; }} );',
     'destinations[0].ca_file = "{0}"', "holds no certificate"),
    ('resolver: {{ trust_anchor = "{0}"; }};', 'resolver.trust_anchor = "{0}"', "no DS or DNSKEY"),
], ids=["trust_store", "crl_files", "ca_file", "trust_anchor"])
def test_a_file_that_holds_the_wrong_thing(name, row, key, why, conf, tmp_path):
    """`run` and `check` refuse the same files, with the place, and nothing else is said on the line."""
    (tmp_path / "other").write_text("nothing of the kind\n", encoding="utf-8")
    path = conf('helo_name = "a.example";\nuser = ""; listeners = ( { port = 25250; } );\n'
                + row.format(tmp_path / "other"))
    done = tlsmend(name, "-c", path)
    assert done.returncode == CONFIG
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"{path}:3: {key.format(tmp_path / 'other')}: ") and why in first
    assert '"event"' not in done.stderr   # no record of the end of something that never began


@pytest.mark.parametrize("name", ["run", "check"])
def test_wrong_configuration_ends_with_78(name, conf):
    """C-IN-08: a listener for strangers without allow_clients does not start."""
    path = conf('listeners = ( { address = "0.0.0.0"; } );')
    done = tlsmend(name, "-c", path)
    assert done.returncode == CONFIG
    assert f'{path}:1: listeners[0].address = "0.0.0.0": not a loopback address' in done.stderr


@pytest.mark.parametrize("name", ["run", "check"])
def test_missing_file(name):
    done = tlsmend(name, "-c", "/nonexistent/tlsmend.conf")
    assert done.returncode == CONFIG
    assert "/nonexistent/tlsmend.conf: No such file or directory" in done.stderr


def test_rows_are_complete():
    rows = [line.split("\t") for line in tlsmend("check", "--rows").stdout.splitlines()]
    assert len(rows) > 50 and all(len(row) == 7 for row in rows)
    assert ["tls", "level"] in [row[:2] for row in rows]
