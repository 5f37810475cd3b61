"""Local flag evaluation: microseconds for one person's flags, without a request."""

import http.server
import json
import logging
import os
import tempfile
import threading
import warnings

import posthog as official

import hogline
from benchmarks.figures import Figure, best_us, print_figures
from hogline.flags.evaluation import Ruleset, Subject

COUNTS = {1: 300, 10: 60, 100: 10}  # many short rounds: on a busy machine, some of them run undisturbed
ROUNDS = 150
WHO = {"plan": "free", "email": "jane@example.com", "distinct_id": "user-1"}


def definitions(flags: int) -> dict:
    """Flags with two conditions. The second one decides, with a rollout."""
    conditions = [
        {
            "properties": [{"key": "plan", "value": "enterprise", "operator": "exact", "type": "person"}],
            "rollout_percentage": 100,
        },
        {
            "properties": [{"key": "email", "value": "@example.com", "operator": "icontains", "type": "person"}],
            "rollout_percentage": 50,
        },
    ]
    return {
        "flags": [
            {"id": n, "key": f"flag-{n}", "active": True, "filters": {"groups": conditions}} for n in range(flags)
        ],
        "group_type_mapping": {},
        "cohorts": {},
    }


class Server:
    """Serves the flag definitions to the clients."""

    def __init__(self) -> None:
        self.body = b""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *args: object) -> None:
                """Log nothing."""

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()


def rules_alone() -> float:
    ruleset = Ruleset(definitions(1))

    def work(count: int) -> None:
        for _ in range(count):
            ruleset.verdict("flag-0", Subject("user-1", person_properties=WHO))

    return best_us(work, count=COUNTS[1], rounds=ROUNDS)


def one_flag(client) -> float:
    def work(count: int) -> None:
        for _ in range(count):
            client.get_feature_flag_result(
                "flag-0", "user-1", person_properties=WHO, only_evaluate_locally=True, send_feature_flag_events=False
            )

    assert client.get_feature_flag_result("flag-0", "user-1", person_properties=WHO).enabled in (True, False)
    return best_us(work, count=COUNTS[1], rounds=ROUNDS)


def snapshot(client, flags: int) -> float:
    def work(count: int) -> None:
        for _ in range(count):
            client.evaluate_flags("user-1", person_properties=WHO, only_evaluate_locally=True)

    assert len(client.evaluate_flags("user-1", person_properties=WHO, only_evaluate_locally=True).keys) == flags
    return best_us(work, count=COUNTS[flags], rounds=ROUNDS)


def main() -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    server = Server()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for flags in COUNTS:
            server.body = json.dumps(definitions(flags)).encode()
            ours = hogline.PostHog(
                f"phc_{flags}", host=server.url, secret_key="phs_x", send=False, flag_cache_dir=folder
            )
            ours.load_feature_flags()
            theirs = official.Posthog(f"phc_{flags}", host=server.url, secret_key="phs_x", send=False)
            theirs.load_feature_flags()
            if flags == 1:
                their_one = one_flag(theirs)
                figures.append(
                    Figure(
                        "one flag, two conditions: the rules alone",
                        rules_alone(),
                        "us",
                        3.0,
                        (("posthog-python", their_one),),
                    )
                )
                figures.append(
                    Figure(
                        "one flag: client.get_feature_flag_result()",
                        one_flag(ours),
                        "us",
                        None,
                        (("posthog-python", their_one),),
                    )
                )
            name = f"{flags} flag{'s'[: flags != 1]}: client.evaluate_flags()"
            figures.append(
                Figure(name, snapshot(ours, flags), "us", None, (("posthog-python", snapshot(theirs, flags)),))
            )
    print_figures(figures)


if __name__ == "__main__":
    main()
    os._exit(0)  # skips the flush at exit: these events need not be sent
