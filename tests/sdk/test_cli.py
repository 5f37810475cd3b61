"""The `hogline` command."""

import subprocess
import sys


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "hogline.cli", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_every_command():
    """The list has the instance's commands too."""
    shown = run("--help")
    assert shown.returncode == 0
    for command in ("serve", "keys", "tail", "demo"):
        assert f"  {command}" in shown.stdout


def test_an_unknown_command_says_what_there_is():
    """Status 2, on stderr."""
    shown = run("sevre")
    assert shown.returncode == 2
    assert "no command 'sevre'" in shown.stderr
    assert "serve" in shown.stderr


def test_without_the_instance_serve_says_what_to_install(tmp_path):
    """The SDK alone has the command, and points on."""
    script = "import sys, hogline.cli as cli\ncli.entry_points = lambda group: ()\nsys.exit(cli.main(['serve']))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 2
    assert "pip install hogline-instance" in shown.stderr


def test_version():
    """One version for both packages."""
    from importlib.metadata import version

    assert run("--version").stdout.strip() == f"hogline {version('hogline')}"
    assert version("hogline") == version("hogline-instance")
