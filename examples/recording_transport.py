"""A transport that keeps what it is given: for tests, and for looking at what a program would send."""

import orjson

from hogline import PostHog, UploadRequest, UploadResponse


class RecordingTransport:
    def __init__(self):
        self.requests: list[UploadRequest] = []
        self.closed = False

    def send(self, request: UploadRequest) -> UploadResponse:
        self.requests.append(request)
        return UploadResponse(200)

    def close(self) -> None:
        self.closed = True

    @property
    def events(self) -> list[dict]:
        return [orjson.loads(event) for request in self.requests for event in request.events]


if __name__ == "__main__":
    transport = RecordingTransport()
    posthog = PostHog("<project token>", transport=transport)
    posthog.capture("checkout", distinct_id="user-1", properties={"total": 42})
    posthog.flush()
    print(transport.events)
