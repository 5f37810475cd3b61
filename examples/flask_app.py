"""A Flask shop. Run it: flask --app examples/flask_app.py run"""

from flask import Flask, session

from hogline import PostHog
from hogline.interceptors.flask import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = Flask(__name__)
app.secret_key = "change me"
PostHogInterceptor(
    app,
    client=posthog,
    capture_exceptions=True,
    distinct_id=lambda request: session.get("user_id"),
)


@app.post("/checkout")
def checkout():
    posthog.capture("checkout", properties={"total": 42})
    return {"ok": True}


@app.get("/receipts/<int:number>")
def receipt(number):
    def lines():
        yield "receipt\n"
        posthog.capture("receipt read", properties={"number": number})
        yield "total 42\n"

    return lines()


@app.get("/broken")
def broken():
    raise RuntimeError("the shop is on fire")
