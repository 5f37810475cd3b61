"""An AWS Lambda handler: its events are sent before it returns and Lambda freezes the process."""

from hogline import PostHog
from hogline.interceptors.aws_lambda import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@PostHogInterceptor(client=posthog, capture_exceptions=True)
def handler(event, context):
    if event["rawPath"] == "/broken":
        raise RuntimeError("the shop is on fire")
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return {"statusCode": 200, "body": "ok"}
