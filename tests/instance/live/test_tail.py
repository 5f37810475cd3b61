"""`hogline tail`: one line per event, with control characters escaped."""

import json
import os
import signal
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline_instance.live.tail import messages, printable
from tests.instance.reader import dollars, event


@pytest.fixture
def tail(reader):
    """Start `hogline tail` with options; yields a function that returns the process once it
    listens.
    """
    started = []

    def start(*options, key=reader.key, url=reader.url):
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", "import sys; from hogline_instance.live.tail import main; sys.exit(main(sys.argv[1:]))",
             "--url", url, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOGLINE_PERSONAL_KEY": key},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def test_tail_prints_what_was_captured_and_ends_cleanly(reader, tail):
    """One line has side, event, person, session, request, status and exception; Ctrl-C exits with
    0.
    """
    person = f"p-{uuid.uuid4()}"[:20]
    process = tail("--distinct-id", person)
    session = str(uuid.uuid4())
    reader.send(
        event(
            "$exception", distinct_id=person,
            **dollars(lib="hogline", session_id=session, request_method="POST", request_path="/pay", response_status_code=500,
                      exception_list=[{"type": "Declined", "value": "no funds"}]),
        )
    )  # fmt: skip
    line = process.stdout.readline()
    for part in ("server", "Declined", person, session[-8:], "POST /pay", "500", "Declined: no funds"):
        assert part in line
    assert "\x1b" not in line
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert "Traceback" not in process.stderr.read()


def test_control_characters_of_an_event_are_escaped(reader, tail):
    """An event can't change the terminal's colours, title or text, neither in lines nor in JSON."""
    person = f"p-{uuid.uuid4()}"
    evil = "\x1b]0;owned\x07\x9b31m\x7f\r\n\u202e"
    reader.send(event(f"e{evil}", distinct_id=person, **{"$request_path": evil, "$request_method": evil, "x": evil}))
    for options in ((), ("--json",)):
        line = tail("--distinct-id", person, *options).stdout.readline()
        assert line.rstrip("\n").isprintable(), options
    assert json.loads(line)["properties"]["x"] == evil


def test_the_data_folder_is_all_it_needs(instance, reader):
    """The command `hogline tail` finds address and key in `--data DIR`, whatever port the instance
    took.
    """
    name = str(uuid.uuid4())
    reader.send(event(name))
    reader.wait_for(1, event=name)
    process = subprocess.Popen(
        [sys.executable, "-m", "hogline.cli", "tail", "--data", str(instance.data_dir), "--event", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert name[:20] in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_folder_without_a_key_says_what_to_name(tmp_path):
    """It exits with 2 and names the folder and the options to pass."""
    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "tail", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert str(tmp_path) in run.stderr
    assert "--data" in run.stderr


def test_a_wrong_key_is_said_and_ends_it(tail):
    """A retry would not help, so it exits with 1 and prints the reason."""
    process = tail(key="phx_wrong")
    assert process.wait(30) == 1
    assert "does not know the personal key" in process.stderr.read()


def test_an_absent_instance_is_waited_for(tail):
    """It prints that nothing listens, and keeps retrying."""
    process = tail(url="http://127.0.0.1:9")
    for _ in range(2):
        assert "retrying in" in process.stderr.readline()
    assert process.poll() is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["events", "lost"]), st.text(st.characters(exclude_characters="\r\n"), min_size=1))
    ),
    st.data(),
)
def test_messages_do_not_depend_on_how_the_bytes_are_cut(sent, data):
    """However the stream is split into chunks, the messages are the same."""
    raw = b": hello\nretry: 1\n\n" + b"".join(
        f"event: {name}\ndata: {json.dumps(text)}\n\n: alive\n\n".encode() for name, text in sent
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    chunks = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert [(name, json.loads(body)) for name, body in messages(iter(chunks))] == sent


@given(st.text())
def test_printable_text_is_printable(text):
    """The result never holds a control character, and plain text stays unchanged."""
    assert printable(text).isprintable()
    assert printable("Straße 7, 日本") == "Straße 7, 日本"
