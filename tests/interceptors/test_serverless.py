"""Functions on Lambda send every event before their process is frozen.

Amazon's own runtime client invokes them, and freezes the process between invocations.
"""

import asyncio

import pytest
from starlette.exceptions import HTTPException

from hogline import PostHog
from hogline.interceptors import aws_lambda
from tests.support.behaviours import shows
from tests.support.invocations import Platform
from tests.support.serving import VISITOR
from tests.support.sink import exception_of, names, person_of

NEWER = {
    "version": "2.0",
    "routeKey": "GET /items/{item_id}",
    "rawPath": "/items/7",
    "rawQueryString": "token=s3cret&colour=red",
    "cookies": ["a=1", "b=2"],
    "headers": {**{name.lower(): value for name, value in VISITOR.items()}, "host": "api.example", "x-forwarded-proto": "https"},
    "requestContext": {"domainName": "id.execute-api.example", "http": {"method": "GET", "sourceIp": "203.0.113.9"}},
}  # fmt: skip
OLDER = {
    "httpMethod": "GET",
    "path": "/items/7",
    "resource": "/items/{item_id}",
    "headers": {"Host": "api.example"},
    "multiValueHeaders": {"Host": ["api.example"], **{name: [" ", value] for name, value in VISITOR.items()}},
    "multiValueQueryStringParameters": {"token": ["s3cret"], "colour": ["red"]},
    "requestContext": {"path": "/items/7", "identity": {"sourceIp": "203.0.113.9"}},
}
BALANCER = {
    "httpMethod": "GET",
    "path": "/items/7",
    "queryStringParameters": {"token": "s3cret", "colour": "red"},
    "headers": {**{name.lower(): value for name, value in VISITOR.items()}, "host": "api.example", "x-forwarded-for": "203.0.113.9"},
    "requestContext": {"elb": {"targetGroupArn": "arn"}},
}  # fmt: skip
pytest.importorskip("awslambdaric")
QUEUE = {"Records": [{"eventSource": "aws:sqs", "body": "x"}]}


@pytest.fixture
def platform(sink):
    """Return a function that starts a platform's process for a function."""
    running = []

    def start(name="handler"):
        running.append(Platform(f"tests.interceptors.apps.functions.{name}", SINK=sink.url))
        return running[-1]

    yield start
    for process in running:
        process.stop()


@pytest.fixture
def posthog(sink):
    client = PostHog("phc_test", host=sink.url, flush_interval=3600)
    yield client
    client.shutdown(5)


class TestFrozen:
    """The process stops as soon as it has answered, and is killed in the end without having run
    again.
    """

    @pytest.mark.parametrize("name", ["handler", "asynchronous", "twice"])
    def test_what_was_captured_has_arrived_before_the_freeze(self, platform, sink, name):
        """Every invocation's event has arrived when its answer has, also the exception of one that
        raised.
        """
        function = platform(name)
        for number in range(3):
            assert function.invoke({**NEWER, "number": number})["result"]["statusCode"] == 200
            assert [event.properties["number"] for event in sink.events] == list(range(number + 1))
        assert function.invoke({**NEWER, "do": "fail"}) == {"error": "ValueError: boom"}
        assert names(sink.events) == ["captured"] * 3 + ["$exception"]

    def test_a_long_freeze_loses_no_connection_for_good(self, platform, sink):
        """The server closes idle connections meanwhile.

        The next invocation's event arrives all the same.
        """
        function = platform()
        function.invoke({**NEWER, "number": 1})
        sink.answer(503)
        function.invoke({**NEWER, "number": 2})
        assert [event.properties["number"] for event in sink.events] == [1, 2]

    def test_the_next_invocation_begins_empty(self, platform, sink):
        """A process serves visitors one after the other, and keeps nothing of the last."""
        function = platform()
        assert function.invoke({**NEWER, "do": "who"}) == {"result": "alice"}
        function.invoke({**NEWER, "do": "tag"})
        assert function.invoke({**QUEUE, "do": "who"}) == {"result": None}
        function.invoke(QUEUE)
        tagged, plain = sink.events
        assert (tagged.properties["colour"], person_of(tagged)) == ("red", "alice")
        assert (person_of(plain), "colour" in plain.properties) == (None, False)

    def test_a_platform_that_is_down_costs_no_more_than_the_invocations_time(self, platform, sink):
        """The flush gives up before the platform would: the answer is the function's."""
        function = platform()
        sink.answer(200, delay_s=30)
        assert function.invoke(NEWER, left_s=1.0)["result"]["statusCode"] == 200

    def test_nothing_is_waited_for_where_nothing_was_captured(self, platform, sink):
        """No request leaves."""
        assert platform().invoke({**NEWER, "do": "nothing"}) == {"result": None}
        assert sink.requests == []


class TestLambda:
    @pytest.mark.parametrize(
        ("event", "route"),
        [(NEWER, "/items/{item_id}"), (OLDER, "/items/{item_id}"), (BALANCER, None)],
        ids=["2.0", "1.0", "balancer"],
    )
    def test_a_request_in_any_spelling_is_one(self, posthog, sink, event, route):
        """Every row of the guide: API Gateway's formats, function URLs, load balancers.

        Secrets are masked.
        """

        @aws_lambda.PostHogInterceptor(client=posthog)
        def handler(event, context):
            posthog.capture("captured")

        handler(event, None)
        [captured] = sink.events
        expected = {
            "$session_id": "session-a",
            "$window_id": "window-a",
            "$current_url": "https://api.example/items/7?token=redacted&colour=red",
            "$request_method": "GET",
            "$request_path": "/items/7",
            "$request_route": route,
            "$ip": "203.0.113.9",
        }
        assert captured.distinct_id == "alice"
        assert {name: captured.properties.get(name) for name in expected} == expected

    def test_an_event_that_is_no_request_has_nothing_of_one(self, posthog, sink):
        """This holds for a queue's messages, the clock, and a test's empty event.

        No person is named, and an error is a 500.
        """

        @aws_lambda.PostHogInterceptor(client=posthog, capture_exceptions=True)
        def handler(event, context):
            posthog.capture("captured")
            raise KeyError

        for event in (QUEUE, {}, None, [1], "text"):
            with pytest.raises(KeyError):
                handler(event, None)
        assert names(sink.events) == ["captured", "$exception"] * 5
        for event in sink.events:
            assert person_of(event) is None
            assert not {"$request_path", "$request_method", "$current_url", "$ip"} & event.properties.keys()
        assert exception_of(sink.events[1]) == ("KeyError", False, 500)

    @shows("captured-once", "raised-again")
    @pytest.mark.parametrize(
        ("event", "status"),
        [
            (NEWER, 500),
            ({**NEWER, "requestContext": {"domainName": "id.lambda-url.eu-west-1.on.aws", "http": {}}}, 502),
            (OLDER, 502),
            (BALANCER, 502),
        ],
        ids=["http-api", "url", "rest-api", "balancer"],
    )
    @pytest.mark.parametrize("twice", [False, True])
    def test_an_error_is_one_event_with_the_status_of_its_front(self, posthog, sink, event, status, twice):
        """The exception is unhandled, captured once, and the same object each time.

        One instance in two invocations is two events.
        """
        interceptor = aws_lambda.PostHogInterceptor(client=posthog, capture_exceptions=True)
        error = ValueError("reused")

        @interceptor
        def handler(event, context):
            raise error

        function = interceptor(handler) if twice else handler
        for _ in range(2):
            with pytest.raises(ValueError) as caught:
                function(event, None)
            assert caught.value is error
        assert [exception_of(event) for event in sink.events] == [("ValueError", False, status)] * 2

    def test_a_frameworks_http_exception_is_no_answer_here(self, posthog, sink):
        """Lambda answers 502 for it, as for any other."""

        @aws_lambda.PostHogInterceptor(client=posthog, capture_exceptions=True)
        def handler(event, context):
            raise HTTPException(404)

        with pytest.raises(HTTPException):
            handler(OLDER, None)
        assert [exception_of(event) for event in sink.events] == [("HTTPException", False, 502)]

    def test_callbacks_get_the_event(self, posthog, sink):
        """distinct_id, properties, request_filter; one that raises is skipped."""

        def user(event):
            return event["requestContext"]["authorizer"]["claims"]["sub"]

        @aws_lambda.PostHogInterceptor(
            client=posthog,
            distinct_id=user,
            properties=lambda event: {"stage": "prod"},
            request_filter=lambda event: "Records" not in event,
        )
        def handler(event, context):
            posthog.capture("captured")

        signed = {**OLDER, "requestContext": {"authorizer": {"claims": {"sub": "user-7"}}}}
        for event in (signed, OLDER, QUEUE):
            handler(event, None)
        found = [(person_of(event), event.properties.get("stage")) for event in sink.events]
        assert found == [("user-7", "prod"), ("alice", "prod"), (None, None)]

    def test_the_cookie_is_read_from_both_formats(self, posthog, sink):
        """Format 2.0 keeps cookies apart; a consent that was refused is one too."""
        invocation = aws_lambda.LambdaInvocation(aws_lambda.PostHogInterceptor(client=posthog).policy, NEWER)
        assert list(invocation.headers("cookie")) == ["a=1", "b=2"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_client_that_cannot_be_made_never_reaches_the_platform(monkeypatch, asynchronous):
    """This also holds for an invocation that the filter left out: the answer is the function's."""
    monkeypatch.setenv("HOGLINE_FLUSH_AT", "many")
    interceptor = aws_lambda.PostHogInterceptor(request_filter=lambda event: event["path"] != "/health")

    def handler(event, context):
        return {"statusCode": 200}

    async def handler_async(event, context):
        return {"statusCode": 200}

    function = interceptor(handler_async if asynchronous else handler)
    for path in ("/x", "/health"):
        answer = function({"httpMethod": "GET", "path": path}, None)
        assert (asyncio.run(answer) if asynchronous else answer) == {"statusCode": 200}


def test_the_example_sends_what_its_page_promises(sink):
    """The example runs in a platform's process: it sends one event with the browser's session, and
    one exception.
    """
    environ = {"HOGLINE_PROJECT_TOKEN": "phc_example", "HOGLINE_HOST": sink.url}
    function = Platform("examples.lambda_app.handler", **environ)
    try:
        assert function.invoke(NEWER) == {"result": {"statusCode": 200, "body": "ok"}}
        assert "RuntimeError" in function.invoke({**NEWER, "rawPath": "/broken"})["error"]
        first, failure = sink.events
    finally:
        function.stop()
    assert (first.event, exception_of(failure)) == ("checkout", ("RuntimeError", False, 500))
    assert {event.properties["$session_id"] for event in (first, failure)} == {"session-a"}
