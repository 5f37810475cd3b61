"""An AWS Lambda handler: what it captured is sent before it returns, since Lambda freezes the process then."""

from hogline import PostHog
from hogline.interceptors.aws_lambda import PostHogInterceptor

posthog = PostHog()  # HOGLINE_PROJECT_TOKEN and HOGLINE_HOST, or PostHog("<project token>", host="...")


@PostHogInterceptor(client=posthog, capture_exceptions=True)
def handler(event, context):
    if event["rawPath"] == "/broken":
        raise RuntimeError("the shop is on fire")
    posthog.capture("checkout", properties={"total": 42})  # session, person, window, URL, IP: already on it
    return {"statusCode": 200, "body": "ok"}
