"""Events say which release of the app sent them, and in which environment it runs."""

import os
import subprocess
from pathlib import Path

import pytest

import hogline
from hogline import SettingsError
from hogline.settings import ClientSettings
from hogline.testing import RecordingPostHog
from tests.support.scripts import run_script

SHA = "0123456789abcdef0123456789abcdef01234567"
GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env={**os.environ, **GIT_IDENTITY}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with one commit, made by git, and a folder `src/app` in it."""
    root = tmp_path_factory.mktemp("repository")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "commit", "--quiet", "--allow-empty", "--message=First")
    (root / "src" / "app").mkdir(parents=True)
    return root


def found(environ=None, **options):
    settings = ClientSettings.load(options, environ or {})
    return settings.release, settings.environment


def plain_folder(tmp_path):
    """Return options for an app that lies in no repository."""
    (tmp_path / ".git").write_text("not a link")  # ends the search
    return {"project_root": str(tmp_path)}


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        ({"HOGLINE_RELEASE": "1.2", "POSTHOG_RELEASE": "1.1", "SENTRY_RELEASE": "1.0"}, {}, ("1.2", None)),
        ({"POSTHOG_RELEASE": " 1.1 ", "SENTRY_RELEASE": "1.0"}, {}, ("1.1", None)),
        ({"HOGLINE_RELEASE": "1.2", "HOGLINE_ENVIRONMENT": "staging"}, {"release": "2.0"}, ("2.0", "staging")),
        ({"HOGLINE_ENVIRONMENT": "staging"}, {"environment": "production"}, (None, "production")),
        ({"HOGLINE_RELEASE": "1.2"}, {"release": None}, ("1.2", None)),
        ({"HOGLINE_RELEASE": "1.2", "SENTRY_ENVIRONMENT": "staging"}, {"release": "", "environment": " "}, (None, None)),
        ({"HEROKU_SLUG_COMMIT": SHA}, {}, (SHA, None)),
        ({"VERCEL_GIT_COMMIT_SHA": SHA, "VERCEL_ENV": "preview"}, {}, (SHA, "preview")),
        ({"RENDER_GIT_COMMIT": SHA}, {}, (SHA, None)),
        ({"RAILWAY_GIT_COMMIT_SHA": SHA, "RAILWAY_ENVIRONMENT_NAME": "production"}, {}, (SHA, "production")),
        ({"K_REVISION": "shop-00042-abc", "K_SERVICE": "shop"}, {}, ("shop-00042-abc", None)),
        ({"GITHUB_SHA": SHA}, {}, (SHA, None)),
        ({"CI_COMMIT_SHA": SHA, "CI_ENVIRONMENT_NAME": "review"}, {}, (SHA, "review")),
        ({"AWS_LAMBDA_FUNCTION_VERSION": "7"}, {}, ("7", None)),
        ({"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST"}, {}, (None, None)),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,service.version=3%2E1, deployment.environment=qa"}, {},
            ("3.1", "qa"),
        ),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=eu,deployment.environment=old"}, {}, (None, "eu")),
        ({"SENTRY_RELEASE": "x" * 10_000}, {}, ("x" * 200, None)),
        ({"HOGLINE_RELEASE": "  ", "SENTRY_RELEASE": ""}, {}, (None, None)),
        ({"SENTRY_RELEASE": "1", "SENTRY_ENVIRONMENT": "qa"}, {"detect_deployment": False}, (None, None)),
        ({"HOGLINE_DETECT_DEPLOYMENT": "0", "SENTRY_RELEASE": "1", "HOGLINE_ENVIRONMENT": "qa"}, {}, (None, "qa")),
    ],
)  # fmt: skip
def test_the_nearest_word_wins(tmp_path, environ, options, expected):
    """The option wins over Hogline's and PostHog's variables, and these win over a platform's."""
    assert found(environ, **plain_folder(tmp_path), **options) == expected


def test_a_wrong_value_says_so():
    """Detection hides no mistake."""
    with pytest.raises(SettingsError, match="release must be a string, got 2"):
        found(release=2)
    with pytest.raises(SettingsError, match="detect_deployment must be True or False, got 'no'"):
        found(detect_deployment="no")
    with pytest.raises(SettingsError, match="project_root must be a folder's path, got 5"):
        found(project_root=5)


def test_the_commit_is_read_wherever_git_keeps_it(repository, tmp_path):
    """A branch, a detached head, packed references, a worktree: as `git rev-parse HEAD` says."""
    commit = git(repository, "rev-parse", "HEAD")
    folder = str(repository / "src" / "app")
    assert found(project_root=folder) == (commit, None)
    assert found(project_root=folder, detect_deployment=False) == (None, None)
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists()
    assert found(project_root=folder) == (commit, None)
    worktree = tmp_path / "worktree"
    git(repository, "worktree", "add", "--quiet", "-b", "topic", str(worktree))
    git(worktree, "commit", "--quiet", "--allow-empty", "--message=Second")
    newer = git(worktree, "rev-parse", "HEAD")
    assert newer != commit
    assert found(project_root=str(worktree)) == (newer, None)
    git(worktree, "checkout", "--quiet", "--detach", commit)
    assert found(project_root=str(worktree)) == (commit, None)


@pytest.mark.parametrize(
    ("head", "others"),
    [
        ("", {}), ("ref: refs/heads/none\n", {}), ("ref: ../../secret\n", {}), ("ref: refs/../../secret\n", {}),
        ("0123\n", {}), ("Z" * 40, {}), (SHA + "0", {}), ("ref: refs/heads/main", {"packed-refs": "# pack-refs\nnonsense"}),
        ("ref: refs/heads/main", {"packed-refs": "tampered refs/heads/main"}),
    ],
)  # fmt: skip
def test_a_broken_repository_has_no_release(tmp_path, head, others):
    """No file outside the repository is sent, and no error reaches the app."""
    (tmp_path / "secret").write_text(SHA)
    git_folder = tmp_path / "app" / ".git"
    git_folder.mkdir(parents=True)
    for name, text in {"HEAD": head, **others}.items():
        (git_folder / name).write_text(text)
    assert found(project_root=str(tmp_path / "app")) == (None, None)


def test_the_search_ends(tmp_path, monkeypatch):
    """A pipe blocks nobody, and the user's own files in git are not the app's."""
    pipes = tmp_path / "pipes"
    (pipes / ".git").mkdir(parents=True)
    os.mkfifo(pipes / ".git" / "HEAD")
    assert found(project_root=str(pipes)) == (None, None)
    home = tmp_path / "home"
    (home / ".git").mkdir(parents=True)
    (home / ".git" / "HEAD").write_text(SHA)
    assert found(project_root=str(home / "app")) == (SHA, None)
    monkeypatch.setenv("HOME", str(home))
    assert found(project_root=str(home / "app")) == (None, None)


def test_a_real_app_says_its_release_on_every_event(sink, repository):
    """The process finds the commit of its working directory.

    It adds the same two properties to events and exceptions; a caller's own value wins.
    """
    script = """
    import hogline
    client.capture("plain", distinct_id="u")
    client.capture("own", distinct_id="u", properties={"$release": "caller's"})
    client.identify("u", {"name": "Ada"})
    try:
        raise ValueError("x")
    except ValueError as error:
        client.capture_exception(error)
    hogline.release = "set on the module"
    hogline.set_default_client(hogline.PostHog("phc_test", host=os.environ["SINK"], release="2.0", environment=""))
    hogline.capture("second client", distinct_id="u")
    hogline.flush()
    client.flush()
    print(client.release, client.environment)
    """
    known = ("HOGLINE_", "POSTHOG_", "SENTRY_", "CI_", "GITHUB_", "OTEL_")
    environ = {name: "" for name in os.environ if name.startswith(known)}
    done = run_script(sink, script, environ={**environ, "HOGLINE_ENVIRONMENT": "staging"}, cwd=repository)
    commit = git(repository, "rev-parse", "HEAD")
    assert (done.returncode, done.stdout.strip()) == (0, f"{commit} staging"), done.stderr
    said = {
        event.event: (event.properties.get("$release"), event.properties.get("$environment")) for event in sink.events
    }
    assert said == {
        "plain": (commit, "staging"), "own": ("caller's", "staging"), "$identify": (commit, "staging"),
        "$exception": (commit, "staging"), "second client": ("2.0", None),
    }  # fmt: skip


def test_they_change_while_the_client_lives():
    """An app may learn its version late; later events have the new one."""
    client = RecordingPostHog(release="1.0", environment="qa")
    client.capture("x", distinct_id="u")
    client.release, client.environment = "2.0", None
    client.capture("x", distinct_id="u")
    first, second = (event.properties for event in client.events)
    assert (first["$release"], first["$environment"]) == ("1.0", "qa")
    assert second["$release"] == "2.0"
    assert "$environment" not in second


def test_the_modules_attributes_set_them(monkeypatch):
    """As every option of the default client."""
    monkeypatch.setenv("HOGLINE_DISABLED", "1")
    try:
        hogline.release, hogline.environment = "3.0", "qa"
        client = hogline.default_client()
        assert (client.release, client.environment, hogline.release) == ("3.0", "qa", "3.0")
    finally:
        del hogline.release, hogline.environment
