"""`import hogline` loads no framework, and nothing that is not named here."""

import subprocess
import sys

HOGLINE = {
    "hogline", "hogline.client", "hogline.client.events", "hogline.client.client",
    "hogline.client.attributes", "hogline.client.unfinished", "hogline.module_settings", "hogline.client.flag_calls", "hogline.guard", "hogline.log_throttle",
    "hogline.client.identity", "hogline.client.exceptions", "hogline.context", "hogline.context_decorator", "hogline.header_context", "hogline.facts.tracing", "hogline.default",
    "hogline.default_flags", "hogline.delivery", "hogline.delivery.delivery", "hogline.delivery.queue",
    "hogline.delivery.http_transport", "hogline.delivery.inbox", "hogline.delivery.lazy_imports", "hogline.delivery.ledger", "hogline.delivery.process", "hogline.delivery.outbox", "hogline.delivery.pending",
    "hogline.delivery.signals", "hogline.delivery.worker", "hogline.transports",
    "hogline.event", "hogline.exceptions", "hogline.facts", "hogline.facts.process", "hogline.tracebacks.event",
    "hogline.facts.span", "hogline.rate_limiter", "hogline.deduplication", "hogline.process_id", "hogline.redaction",
    "hogline.redaction.encodings", "hogline.redaction.escapes", "hogline.redaction.pairs", "hogline.redaction.formats", "hogline.redaction.log_lines", "hogline.redaction.names", "hogline.redaction.randomness", "hogline.redaction.texts", "hogline.redaction.urls",
    "hogline.settings", "hogline.settings.absent", "hogline.settings.client", "hogline.settings.client_kinds", "hogline.settings.deployment",
    "hogline.settings.git_commit", "hogline.settings.interceptor",
    "hogline.settings.options", "hogline.settings.task", "hogline.settings.typed", "hogline.safe_attributes", "hogline.tracebacks", "hogline.tracebacks.budget",
    "hogline.tracebacks.chain", "hogline.tracebacks.frames", "hogline.tracebacks.rules", "hogline.version",
    "hogline.wire", "hogline.wire.batch", "hogline.wire.values",
}  # fmt: skip
OTHERS = {"orjson"}
SLOW = {"urllib3", "ssl", "socket", "http.client", "asyncio", "email.utils", "decimal", "random", "urllib.request"}


def loaded_by(statement):
    script = f"import sys; before = set(sys.modules); {statement}; print('\\n'.join(sorted(set(sys.modules) - before)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_import_hogline_loads_only_what_is_named_here():
    """Each module, so that a new one is a decision."""
    modules = loaded_by("import hogline")
    assert {name for name in modules if name.split(".")[0] == "hogline"} == HOGLINE
    packages = {name.split(".")[0] for name in modules if not name.startswith("_sysconfigdata")}  # sysconfig's own file
    third_party = packages - set(sys.stdlib_module_names) - {"hogline"}
    assert third_party == OTHERS


def test_import_hogline_leaves_the_slow_modules_to_who_needs_them():
    """The budget of 40 ms."""
    assert loaded_by("import hogline") & SLOW == set()


def test_an_interceptor_imports_its_own_framework_and_no_other():
    """asgi and wsgi import none."""
    frameworks = {"starlette", "fastapi", "flask", "werkzeug", "django", "rest_framework", "ninja"}
    for name, own in {
        "asgi": set(), "wsgi": set(), "starlette": {"starlette"}, "flask": {"flask", "werkzeug"},
    }.items():  # fmt: skip
        modules = loaded_by(f"import hogline.interceptors.{name}")
        assert {module.split(".")[0] for module in modules} & frameworks == own, name
