"""An Azure function, `function_app.py` there: what it captured is sent before it answers."""

import azure.functions as func

from hogline import PostHog
from hogline.interceptors.azure_functions import PostHogInterceptor

posthog = PostHog()  # HOGLINE_PROJECT_TOKEN and HOGLINE_HOST, or PostHog("<project token>", host="...")
app = func.FunctionApp()


@app.route("checkout")
@PostHogInterceptor(client=posthog, capture_exceptions=True)
def shop(req: func.HttpRequest) -> func.HttpResponse:
    if "broken" in req.params:
        raise RuntimeError("the shop is on fire")
    posthog.capture("checkout", properties={"total": 42})  # session, person, window, URL, IP: already on it
    return func.HttpResponse("ok")
