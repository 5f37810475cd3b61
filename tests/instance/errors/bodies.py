"""`$exception` events as SDKs send them, and a way to wait for what became of them."""

import uuid

from tests.instance.reader import dollars, event


def python_frame(function="charge", filename="shop/pay.py", line=12, *, in_app=True, **more):
    """Return a frame of posthog-python."""
    return {
        "platform": "python", "filename": filename, "abs_path": f"/srv/{filename}", "function": function,
        "module": filename.removesuffix(".py").replace("/", "."), "lineno": line, "in_app": in_app, **more,
    }  # fmt: skip


def browser_frame(function="pay", url="https://shop.test/static/app.js", line=10, column=5, **more):
    """Return a frame of posthog-js."""
    return {
        "platform": "web:javascript", "filename": url, "function": function, "lineno": line, "colno": column,
        "in_app": True, **more,
    }  # fmt: skip


def entry(kind="Declined", value="no funds", frames=None, **mechanism):
    """Return one entry of `$exception_list`."""
    made = {"type": kind, "value": value, "mechanism": {"type": "generic", "handled": False, **mechanism}}
    if frames is not None:
        made["stacktrace"] = {"type": "raw", "frames": frames}
    return made


def exception(*entries, lib="posthog-python", distinct_id=None, at=None, after_s=0.0, **properties):
    """Return an `$exception` event; *properties* get a `$`."""
    chain = list(entries) or [entry(frames=[python_frame()])]
    return event(
        "$exception", distinct_id=distinct_id or f"visitor-{uuid.uuid4()}", at=at, after_s=after_s,
        **dollars(lib=lib, exception_list=chain, **properties),
    )  # fmt: skip


def unique(kind="Declined"):
    """Return a type of exception that no other test uses, so that its issue is this test's own."""
    return f"{kind}{uuid.uuid4().hex[:8]}"


def stored(reader, *sent):
    """Send *sent*, and return the stored properties of each."""
    reader.send(*sent)
    return [reader.wait_for(1, distinct_id=each["distinct_id"], event="$exception")[-1]["properties"] for each in sent]
