"""The same small app, once for each framework: the contract that `tests/interceptors/test_*.py`
asks real servers about.

An app file holds `build(client, options) -> app` and ends with `app = serve_asgi(build)` or
`serve_wsgi(build)`, which a server imports. `options` are the interceptor's keyword options; None:
no interceptor; `"twice"` among them (popped by `installs`) asks for two on the stack. One process
serves every option set: the request header `X-Options` names it, and its app is built when it is
first asked for. The environment variable `SINK` is where events go, `FLUSH_INTERVAL_S` how long
they wait for company.

Every route reads `rid`, the test's id of the request, from the query, and puts it on what it
captures: `say(client, "captured", rid)`. A route that a framework cannot have is left out, and its
row in `tests/support/frameworks.py` says why.

| route | what it does |
|---|---|
| GET /nothing | answers 200 "nothing" and captures nothing |
| GET /capture | says "captured", answers "ok" |
| GET /items/{item_id} | the same; `$request_route` is the row's `route` |
| POST /checkout | reads the body, says "checkout", answers with the body |
| GET /who | answers with the distinct id of the context, "-" for none |
| GET /headers | says "captured"; answers 201 with `HEADERS`, duplicates and order kept |
| GET /tag | tags colour=rid, says "captured" |
| GET /override | says "captured" as "caller", with `$request_method`: "CALLER" |
| GET /context | identifies "context" with the session "context-session", says "captured" |
| GET /scope | says "inside" in a fresh context and "outside" after it |
| GET /slow?delay_ms= | sleeps, says "captured", answers rid |
| GET /sync | as /capture, from a handler that the framework runs in a thread |
| GET /stream | three chunks "a", "b", "c"; says "streamed" before each |
| GET /stream-sync | the same from a synchronous generator (asynchronous frameworks) |
| GET /stream-error | chunk "a", then raises ValueError(boom(rid)) |
| GET /stream-long | up to LONG_CHUNKS chunks of CHUNK_BYTES; says "closed" in its `finally` |
| GET /background | answers "ok"; says "later" after the response |
| GET /background-error | answers "ok"; raises ValueError(boom(rid)) after the response |
| GET /task | create_task that says "later" after the response and sets "task-done" |
| GET /thread | says "in thread" in asyncio.to_thread, "alone" in a bare threading.Thread |
| GET /error | raises ValueError(boom(rid)) |
| GET /handled/{status} | raises DomainError(status); its handler answers `status` "handled" |
| GET /http/{status} | raises the framework's HTTP exception |
| GET /caught | captures a ValueError by hand (`by`: "hand", `rid`), then raises it again |
| GET /lookalike | raises UpstreamError, whose status_code, status and code say 404 |
| GET /ignored | raises IgnoredError |
| GET /group | raises `group(noise)`: a mistake among noise |
| GET /group-noise | raises `noise_group(noise)`: nothing but noise |
| GET /group-http | raises an ExceptionGroup whose only leaf is HTTP 404 |
| GET /frozen /hostile /refusing | raises FrozenError, HostileError, RefusingError |
| GET /reused | raises the one REUSED instance |
| GET /exit | raises SystemExit |
| GET /validate?number= | answers 200 for a number, the framework's own validation error otherwise |
| WS /ws | accepts; for each text says "message", answers it; says "gone" at the end |
| WS /ws-error | accepts, raises ValueError(boom(rid)) |
| WS /ws-refused | raises the framework's refusal |
"""
