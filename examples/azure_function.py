"""An Azure function (`function_app.py` there): its events are sent before it answers."""

import azure.functions as func

from hogline import PostHog
from hogline.interceptors.azure_functions import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = func.FunctionApp()


@app.route("checkout")
@PostHogInterceptor(client=posthog, capture_exceptions=True)
def shop(req: func.HttpRequest) -> func.HttpResponse:
    if "broken" in req.params:
        raise RuntimeError("the shop is on fire")
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return func.HttpResponse("ok")
