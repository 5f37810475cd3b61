"""A shop that writes receipts with Celery: their events belong to the visitor who paid.

flask --app examples.celery_tasks run
celery --app examples.celery_tasks worker
"""

import os

from celery import Celery
from flask import Flask

from hogline import PostHog
from hogline.interceptors.flask import PostHogInterceptor
from hogline.propagation.celery import PostHogPropagation

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST

celery = Celery("shop", broker=os.environ.get("BROKER_URL", "redis://localhost"))
PostHogPropagation(client=posthog)  # in senders and workers

app = Flask(__name__)
PostHogInterceptor(app, client=posthog)


@celery.task
def receipt(order):
    posthog.capture("receipt written", properties={"order": order})  # with the request's session


@app.post("/checkout")
def checkout():
    posthog.capture("checkout")
    receipt.delay(42)
    return "thank you"
