"""Wrong options are passed to every public entry point. Each line that ends in `# wrong` is one
that type checkers must report, and no other is.
"""

from typing import Any

from celery import Celery
from fastapi import FastAPI
from flask import Flask

from hogline import PostHog
from hogline.interceptors.asgi import PostHogInterceptor as AsgiInterceptor
from hogline.interceptors.fastapi import PostHogInterceptor as FastApiInterceptor
from hogline.interceptors.flask import PostHogInterceptor as FlaskInterceptor
from hogline.interceptors.litestar import PostHogInterceptor as LitestarInterceptor
from hogline.interceptors.tornado import PostHogInterceptor as TornadoInterceptor
from hogline.interceptors.wsgi import PostHogInterceptor as WsgiInterceptor
from hogline.propagation.celery import PostHogPropagation as CeleryPropagation
from hogline.propagation.taskiq import PostHogPropagation as TaskiqPropagation
from hogline.testing import RecordingPostHog, recording

app, flask_app = FastAPI(), Flask("shop")


def masked(event: dict[str, Any]) -> dict[str, Any] | None:
    return event


posthog = PostHog("phc_x", before_send=masked, capture_mode="v1", spool_dir=None, secret_key=None)
PostHog("phc_x", before_send=lambda event: event if event["event"] != "noise" else None)
PostHog("phc_x", no_such_option=1)  # wrong
PostHog("phc_x", flush_at="many")  # wrong
PostHog("phc_x", when_full="wait")  # wrong
PostHog("phc_x", before_send=lambda: None)  # wrong
PostHog("phc_x", on_drop=3)  # wrong
PostHog("phc_x", release=2.0)  # wrong
PostHog("phc_x", super_properties=["a"])  # wrong
RecordingPostHog(flush_att=1)  # wrong
recording(flush_at="many")  # wrong

app.add_middleware(FastApiInterceptor, client=posthog, trusted_proxies=1, distinct_id=lambda request: None)
app.add_middleware(FastApiInterceptor, read_cookies=True)  # wrong
app.add_middleware(FastApiInterceptor, client="posthog")  # wrong
FlaskInterceptor(flask_app, client=posthog, capture_exceptions=True)
FlaskInterceptor(flask_app, capture_exception=True)  # wrong
FlaskInterceptor(flask_app, identity_headers="no")  # wrong
AsgiInterceptor(app, url_query="hide")  # wrong
WsgiInterceptor(flask_app, trusted_proxies=1.5)  # wrong
LitestarInterceptor(properties=3)  # wrong
TornadoInterceptor(None, address_header="x-client")  # wrong

CeleryPropagation(client=posthog, tags=["tenant"])
CeleryPropagation(tag=["tenant"])  # wrong
TaskiqPropagation(max_carrier_bytes="4k")  # wrong
Celery("shop")
