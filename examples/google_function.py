"""A Google Cloud Function: its events are sent before it answers.

Run it: functions-framework --source google_function.py --target shop
"""

import functions_framework

from hogline import PostHog
from hogline.interceptors.google_functions import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@functions_framework.http
@PostHogInterceptor(client=posthog, capture_exceptions=True)
def shop(request):
    if request.path == "/broken":
        raise RuntimeError("the shop is on fire")
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return "ok"
