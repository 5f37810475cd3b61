"""Functions that a platform calls, on Lambda's event."""

import asyncio
import os

import hogline
from hogline import PostHog
from hogline.interceptors.aws_lambda import PostHogInterceptor

client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=3600)  # nothing leaves by itself within a test
intercepted = PostHogInterceptor(client=client, capture_exceptions=True)


@intercepted
def handler(event, context):
    match event.get("do"):
        case "fail":
            raise ValueError("boom")
        case "who":
            return hogline.get_context_distinct_id()
        case "tag":
            hogline.tag("colour", "red")
        case "nothing":
            return None
    client.capture("captured", properties={"number": event.get("number")})
    return {"statusCode": event.get("status", 200), "body": "ok"}


@intercepted
async def handler_async(event, context):
    return handler.__wrapped__(event, context)


def asynchronous(event, context):
    """Lambda knows no coroutines: a function that is one is run like this."""
    return asyncio.run(handler_async(event, context))


twice = intercepted(handler)
