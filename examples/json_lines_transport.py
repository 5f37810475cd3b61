"""A transport that appends events to a file, one JSON object a line: for log shippers."""

import sys

from hogline import PostHog, UploadRequest, UploadResponse


class JSONLinesTransport:
    def __init__(self, path: str):
        self._path = path
        self._file = None

    def send(self, request: UploadRequest) -> UploadResponse:
        if self._file is None:  # with the first batch, so that a process that sends nothing leaves no file
            self._file = open(self._path, "ab")  # noqa: PTH123, SIM115 - closed by `close`
        self._file.writelines(event + b"\n" for event in request.events)  # an event holds no raw line break
        self._file.flush()  # an OSError here counts as no response: the batch is sent again
        return UploadResponse(200)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


if __name__ == "__main__":
    posthog = PostHog("<project token>", transport=JSONLinesTransport(sys.argv[1]))
    posthog.capture("checkout", distinct_id="user-1", properties={"total": 42})  # written when the process ends
