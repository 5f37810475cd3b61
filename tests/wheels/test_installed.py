"""The wheels do their main job in an environment that holds nothing but them and what they require.

`nox -s wheels` builds the wheels, installs them there, and names that environment's Python in
`INSTALLED_PYTHON`. These tests run outside of it, so that pytest and the test suite's own packages
cannot fill a gap.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import urllib3

from hogline.version import __version__
from tests.instance.reader import Reader
from tests.support.instances import start_instance

PYTHON = os.environ.get("INSTALLED_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="INSTALLED_PYTHON names no environment; ./dev wheels makes one"),
    pytest.mark.timeout(240),
]
HOGLINE = str(Path(PYTHON).parent / "hogline")
POOL = urllib3.PoolManager(retries=False, timeout=30)
SESSION = "01980000-0000-7000-8000-00000000abcd"
SHOP = """
import socket
import uvicorn
from fastapi import FastAPI
from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor

posthog = PostHog()
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True, trusted_proxies=0)

@app.get("/")
async def front():
    posthog.capture("front page seen")

@app.post("/checkout")
def checkout():
    posthog.capture("checkout", properties={"total": 42})
    return {"voucher"}[0]

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", proxy_headers=False)).run(sockets=[listener])
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    """The variables of a process that knows no checkout, no `.venv` and no settings of ours."""
    ours = ("HOGLINE_", "POSTHOG_", "PYTHON", "VIRTUAL_ENV", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"HOME": str(tmp_path_factory.mktemp("home")), "PATH": f"{Path(PYTHON).parent}:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def instance(environ, tmp_path_factory):
    folder = tmp_path_factory.mktemp("instance")
    served = start_instance(folder / "data", command=(HOGLINE,), cwd=folder, environ=environ)
    yield served
    assert served.stop() == 0, served.log


@pytest.fixture(scope="module")
def shop(instance, environ, tmp_path_factory):
    """The URL of a FastAPI app with the interceptor, which sends to the instance."""
    script = tmp_path_factory.mktemp("shop") / "shop.py"
    script.write_text(SHOP)
    settings = {"HOGLINE_PROJECT_TOKEN": instance.token, "HOGLINE_HOST": instance.url}
    command = [PYTHON, "-I", str(script)]
    process = subprocess.Popen(command, cwd=script.parent, env=environ | settings, stdout=subprocess.PIPE, text=True)
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def visit(instance, shop):
    """The shop's status for one request of a browser, and the events that it caused, as the
    instance's API shows them.
    """
    headers = {"X-POSTHOG-SESSION-ID": SESSION, "X-POSTHOG-DISTINCT-ID": "ann"}
    status = POOL.request("POST", f"{shop}/checkout", headers=headers).status
    return status, Reader(instance.url, instance.token, instance.key).wait_for(2, distinct_id="ann")


def output(code, environ, cwd):
    """Return what *code* prints in the environment of the wheels."""
    run = subprocess.run(
        [PYTHON, "-I", "-c", code], cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_both_packages_come_from_their_wheels(environ, tmp_path):
    """The source tree is not importable there; the versions are this commit's, and the typing
    marker is inside.
    """
    code = (
        "import hogline, hogline_instance, json, sys, pathlib\n"
        "folders = [pathlib.Path(package.__file__).parent for package in (hogline, hogline_instance)]\n"
        "typed = [(folder / 'py.typed').exists() for folder in folders]\n"
        "print(json.dumps([sys.prefix, hogline.__version__, typed, *map(str, folders)]))"
    )
    prefix, version, typed, *folders = json.loads(output(code, environ, tmp_path))
    assert version == __version__
    assert typed == [True, True]
    for folder in folders:
        assert re.fullmatch(rf"{re.escape(prefix)}/lib/python3\.\d+/site-packages/hogline(_instance)?", folder)


def test_every_module_is_there_and_importing_the_package_loads_no_framework(environ, tmp_path):
    """Every public name resolves; FastAPI, which is installed, stays out until its interceptor
    is imported.
    """
    code = (
        "import hogline, sys\n"
        "for name in hogline.__all__: getattr(hogline, name)\n"
        "assert not {'fastapi', 'starlette', 'uvicorn'} & set(sys.modules), 'a framework was imported'\n"
        "import hogline.interceptors.fastapi, hogline.interceptors.asgi, hogline.interceptors.wsgi\n"
        "print('imported')"
    )
    assert output(code, environ, tmp_path) == "imported\n"


def test_the_command_says_its_version(environ, tmp_path):
    """The console script of the SDK's wheel is on the path."""
    run = subprocess.run(
        [HOGLINE, "--version"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == f"hogline {__version__}\n"


def test_a_requests_event_and_exception_arrive_in_its_session(visit):
    """From the browser's header through the interceptor and the instance back to its API."""
    status, found = visit
    events = {event["event"]: event["properties"] for event in found}
    assert status == 500
    assert set(events) == {"checkout", "$exception"}
    assert {properties["$session_id"] for properties in events.values()} == {SESSION}
    assert events["checkout"]["$request_path"] == "/checkout"
    assert events["$exception"]["$response_status_code"] == 500


@pytest.mark.usefixtures("visit")
def test_the_pages_and_their_files_are_in_the_wheel(instance):
    """Every page that the menu and the lists link to answers, and so does every file that the
    pages load.
    """
    seen, waiting = set(), ["/", "/sessions"]
    while waiting and len(seen) < 60:
        path = waiting.pop()
        seen.add(path)
        page = POOL.request("GET", instance.url.rstrip("/") + path.replace("&amp;", "&"), redirect=False)
        assert page.status in {200, 303}, path
        if page.status == 303:  # a link to an exception's issue, by its fingerprint
            waiting.append(page.headers["Location"])
            continue
        if "text/html" in page.headers["Content-Type"]:
            links = re.findall(r'(?:href|src)="(/[^"#]*)"', page.data.decode())
            waiting += [link for link in links if link not in seen and link not in waiting]
    assert any(path.endswith(".css") for path in seen)
    assert any(SESSION in path for path in seen)


def test_the_doctor_finds_nothing_wrong(instance, shop, environ, tmp_path):
    """`hogline doctor` with everything that it can check."""
    command = [HOGLINE, "doctor", "--json", "--token", instance.token, "--host", instance.url, "--personal-key", instance.key, "--app", f"{shop}/"]  # fmt: skip
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    verdicts = {finding["subject"]: finding["verdict"] for finding in json.loads(run.stdout)}
    assert {verdicts[subject] for subject in ("connection", "delivery", "arrival", "interceptor")} == {"ok"}


def test_the_demo_plays_its_story(environ, tmp_path):
    """`hogline demo --once`: instance, shop and visitors, each a process of the installed
    command.
    """
    run = subprocess.run(
        [HOGLINE, "demo", "--once"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "http://127.0.0.1:" in run.stdout
