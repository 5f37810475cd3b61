"""Sending through a queue on AWS.

Functions hand their batches to SQS, and one function delivers them to PostHog.

Handing over takes milliseconds and works without a way to the internet; SQS keeps the batches while
PostHog is unreachable.
"""

import base64
import json
import os

from hogline import PostHog, UploadRequest, UploadResponse
from hogline.delivery.http_transport import HTTPTransport
from hogline.interceptors.aws_lambda import PostHogInterceptor

RETRYABLE = {None, 408, 429, 500, 502, 503, 504}


class SQSTransport:
    def __init__(self, queue_url: str):
        self._queue_url = queue_url
        self._sqs = None

    def send(self, request: UploadRequest) -> UploadResponse:
        if self._sqs is None:
            import boto3

            self._sqs = boto3.client("sqs")
        message = {
            "url": request.url,
            "headers": dict(request.headers),
            "body": base64.b64encode(request.body).decode(),
        }
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message))
        return UploadResponse(200)

    def close(self) -> None:
        if self._sqs is not None:
            self._sqs.close()


posthog = PostHog(transport=SQSTransport(os.environ["EVENTS_QUEUE_URL"]), max_batch_bytes=150_000)  # SQS takes 256 KiB


@PostHogInterceptor(client=posthog, capture_exceptions=True)
def handler(event, context):
    """The function that serves the shop; the interceptor flushes before it returns."""
    posthog.capture("checkout", properties={"total": 42})
    return {"statusCode": 200, "body": "ok"}


http = HTTPTransport()


def deliver(event, context):
    """The function that SQS invokes (with ReportBatchItemFailures).

    What it returns as failed is delivered again.
    """
    failed = []
    for record in event["Records"]:
        message = json.loads(record["body"])
        request = UploadRequest(message["url"], message["headers"], base64.b64decode(message["body"]))
        if http.send(request).status in RETRYABLE:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
