"""Alerts on a running instance: what reaches the other side, and what the log and the pages say."""

import json
import uuid
from datetime import datetime, timedelta
from urllib.parse import urlencode

import pytest

from examples.alert_receiver import WrongSignatureError, verified
from hogline_instance.alerts.channels import WEBHOOK, new_secret
from hogline_instance.alerts.channels.slack import slack_text
from hogline_instance.alerts.channels.webhook import signing_secrets
from hogline_instance.alerts.editing import replace_secret
from hogline_instance.alerts.message import Message, Occasion
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.db import utc_now
from tests.instance.alerts.calls import call, entry, exception, fail, log, make, only_for, python_frame, unique, until
from tests.instance.projects.calls import new_project
from tests.instance.reader import text_of


def page(reader, path, status=200, cookie=""):
    answer = reader.get(path, key=None, headers={"Cookie": cookie} if cookie else None)
    assert answer.status == status, answer.data
    return answer


def post(reader, path, status=303, **fields):
    """Send a form as a browser does, and return the response."""
    answer = reader.pool.request(
        "POST", reader.url + path, body=urlencode(fields, doseq=True).encode(), redirect=False,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": reader.url},
    )  # fmt: skip
    assert answer.status == status, answer.data
    return answer


def test_a_new_issue_and_its_regression_reach_a_webhook_once_each(reader, hooks):
    """Signed as the documentation shows it, with the issue and facts of the event."""
    kind, path = unique(), f"/{uuid.uuid4()}"
    alert = make(reader, url=hooks.url + path, filters=only_for(kind))
    issue = fail(reader, kind, "no funds", release="2.4.0", environment="production", exception_level="error")
    fail(reader, kind)  # another occurrence is no occasion
    [first] = hooks.wait(path)
    call(reader, "PATCH", f"issues/{issue}/", {"status": "resolved"})
    fail(reader, kind, release="2.5.0")
    fail(reader, kind)
    [_, second] = hooks.wait(path, 2)
    sent = [verified(alert["secret"], each.headers, each.body) for each in (first, second)]
    assert [each["id"] for each in sent] == [first.headers["webhook-id"], second.headers["webhook-id"]]
    assert [each["test"] for each in sent] == [False, False]
    occasions = [occasion for each in sent for occasion in each["occasions"]]
    assert [each["event"] for each in occasions] == ["$error_tracking_issue_created", "$error_tracking_issue_reopened"]
    created = occasions[0]
    assert created["issue"]["id"] == issue
    assert (created["issue"]["name"], created["issue"]["description"]) == (kind, "no funds")
    assert created["occurrence"] == {
        "uuid": created["occurrence"]["uuid"], "handled": False, "library": "posthog-python", "release": "2.4.0",
        "environment": "production", "level": "error",
    }  # fmt: skip
    assert created["spike"] is None
    assert datetime.fromisoformat(created["timestamp"]).tzinfo is not None
    assert (occasions[1]["issue"]["status"], occasions[1]["occurrence"]["release"]) == ("resolved", "2.5.0")
    shown = page(reader, created["issue"]["url"].removeprefix(reader.url))
    assert kind in text_of(shown)
    assert [each["status"] for each in log(reader, alert, 2, "sent")] == ["sent", "sent"]


def test_a_changed_or_repeated_request_has_a_wrong_signature(reader, hooks):
    """Another body, another secret and another time are refused by the documented check."""
    path = f"/{uuid.uuid4()}"
    alert = make(reader, url=hooks.url + path, filters=only_for("nothing"))
    assert call(reader, "POST", f"alerts/{alert['id']}/test/")["status"] == "sent"
    [request] = hooks.wait(path)
    assert verified(alert["secret"], request.headers, request.body)["test"] is True
    headers = {name.lower(): value for name, value in request.headers.items()}
    old = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
    other = call(reader, "POST", f"alerts/{alert['id']}/rotate_secret/")["secret"]
    for wrong in (
        (alert["secret"], headers, request.body + b" "),
        (other, headers, request.body),
        (alert["secret"], old, request.body),
    ):
        with pytest.raises(WrongSignatureError):
            verified(*wrong)
    call(reader, "POST", f"alerts/{alert['id']}/test/")
    again = hooks.wait(path, 2)[1]
    # For a day the old secret signs beside the new one, so that the receiver can change it in time.
    for secret in (other, alert["secret"]):
        assert verified(secret, again.headers, again.body)["occasions"][0]["issue"]["name"] == "ExampleError"
    last = call(reader, "POST", f"alerts/{alert['id']}/rotate_secret/")["secret"]
    call(reader, "POST", f"alerts/{alert['id']}/test/")
    again = hooks.wait(path, 3)[2]
    assert verified(last, again.headers, again.body) == verified(other, again.headers, again.body)
    with pytest.raises(WrongSignatureError):
        verified(alert["secret"], again.headers, again.body)


def test_the_old_secret_of_a_webhook_signs_for_a_day_only():
    """Counted from the moment at which it was replaced."""
    row = AlertRow(kind=WEBHOOK, secret=new_secret())
    first = row.secret
    second = replace_secret(row)
    assert signing_secrets(row, utc_now() + timedelta(hours=23)) == [second, first]
    assert signing_secrets(row, utc_now() + timedelta(hours=25)) == [second]
    row.previous_secret_until = row.previous_secret_until.replace(tzinfo=None)  # as SQLite reads it
    assert signing_secrets(row, utc_now()) == [second, first]


def test_some_tests_a_minute_are_sent_and_then_refused(reader, hooks):
    """The receiver hears no more than five, by the API and the page; other alerts have their own."""
    path = f"/{uuid.uuid4()}"
    alert, other = (make(reader, url=hooks.url + path, filters=only_for("nothing")) for _ in range(2))
    for _ in range(5):
        assert call(reader, "POST", f"alerts/{alert['id']}/test/")["status"] == "sent"
    refused = call(reader, "POST", f"alerts/{alert['id']}/test/", status=429)
    assert (refused["type"], "wait" in refused["detail"]) == ("throttled_error", True)
    assert "At most 5 tests" in text_of(post(reader, f"/alerts/{alert['id']}/test", 429))
    assert call(reader, "POST", f"alerts/{other['id']}/test/")["status"] == "sent"
    assert len(hooks.wait(path, 6)) == 6


def test_a_failed_message_is_retried_under_its_id_and_then_given_up(reader, hooks):
    """Temporary failures are repeated with a growing wait; each attempt has the same id."""
    kind, path = unique(), f"/{uuid.uuid4()}"
    hooks.answers[path] = [(500, {}), (429, {"Retry-After": "1"})]
    alert = make(reader, url=hooks.url + path, filters=only_for(kind))
    fail(reader, kind)
    requests = hooks.wait(path, 3)
    assert len({each.headers["webhook-id"] for each in requests}) == 1
    assert requests[1].at - requests[0].at >= 0.1
    assert requests[2].at - requests[1].at >= 1.0
    [sent] = log(reader, alert, status="sent")
    assert (sent["attempts"], sent["answer"]) == (3, "200")
    hooks.answers[path] = [(503, {})] * 3
    fail(reader, kind + "2")  # not of this alert
    call(reader, "PATCH", f"alerts/{alert['id']}/", {"filters": only_for(kind + "3")})
    fail(reader, kind + "3")
    [failed] = log(reader, alert, status="failed")
    assert (failed["attempts"], failed["answer"]) == (3, "503: <b>no such channel</b>")
    shown = page(reader, f"/alerts/{alert['id']}")
    assert "503: <b>no such channel</b>" in text_of(shown)
    assert b"<b>no such" not in shown.data
    post(reader, f"/alerts/log/{failed['id']}/retry")
    again = hooks.wait(path, 7)[-1]
    assert again.headers["webhook-id"] == failed["message_id"]
    assert len(log(reader, alert, 2, "sent")) == 2


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "404: <b>no such channel</b>"), (302, "302: redirects are not followed")]
)
def test_a_final_answer_is_not_retried(reader, hooks, status, reason):
    """A redirect is one: it could lead into the instance's own network."""
    kind, path = unique(), f"/{uuid.uuid4()}"
    hooks.answers[path] = [(status, {"Location": hooks.url + path + "/moved"})]
    alert = make(reader, url=hooks.url + path, filters=only_for(kind))
    fail(reader, kind)
    [failed] = log(reader, alert, status="failed")
    assert failed["attempts"] == 1
    assert failed["answer"].startswith(reason)
    assert len(hooks.at(path)) == 1
    assert hooks.at(path + "/moved") == []


def test_slack_gets_text_that_events_cannot_format(reader, hooks):
    """Markup and mentions in an issue's name are plain text; the link works."""
    kind, path = unique("<!channel>*Bold*"), f"/{uuid.uuid4()}"
    make(reader, "slack", url=hooks.url + path, filters=only_for(kind))
    issue = fail(reader, kind, "a & b > @everyone\nsecond line", release="1.0")
    [request] = hooks.wait(path)
    text = request.json["text"]
    assert list(request.json) == ["text"]
    assert f"<{reader.url}/issue/{issue}?project=1|&lt;!channel&gt;*Bold*" in text
    assert "a &amp; b &gt; @\N{ZERO WIDTH SPACE}everyone second line \N{MIDDLE DOT} release 1.0" in text
    assert "webhook-signature" not in request.headers


def test_a_digest_for_slack_fits_into_the_shortest_limit():
    """Discord's is 2,000 characters, which names of issues could fill several times."""
    detail = {"name": "<" * 300, "description": "&" * 300, "release": "r" * 300}
    one = Occasion(kind="created", issue_id="i", url="https://hogline.test/issue/i?project=1", detail=detail)
    short = Occasion(
        kind="reopened", issue_id="j", url="https://hogline.test/issue/j?project=1", detail={"name": "Short"}
    )
    message = Message(
        id="m", alert_id=1, alert_name="a" * 200, alert_url="https://hogline.test/alerts/1?project=1", project_id=1,
        project_name="p", occasions=(one, short, one, short), more=7,
    )  # fmt: skip
    text = slack_text(message)
    assert len(text) <= 2_000
    assert text.startswith(
        "*2 new issues, 2 regressions, 7 more in p*\nRegression: <https://hogline.test/issue/j?project=1|Short>"
    )
    assert "\nand 9 more: <https://hogline.test/alerts/1?project=1|aaa" in text


def test_mail_is_sent_with_login_and_tls_and_escapes_html(reader, mailbox):
    """To several addresses; the others get it when the server refuses one."""
    kind, address = unique("<img src=x>"), f"{uuid.uuid4().hex}@shop.test"
    alert = make(reader, "mail", addresses=[address, "gone@refused.test"], filters=only_for(kind))
    issue = fail(reader, kind, "<script>alert(1)</script>\r\nBcc: eve@shop.test")
    [(authenticated, encrypted, recipients, mail)] = mailbox.wait(address)
    assert (authenticated, encrypted, recipients) == (True, True, [address])
    assert mail["Subject"].startswith(f"[Hogline] New issue in Default project: {kind}: <script>")
    assert (mail["From"], mail["Bcc"]) == ("Hogline <alerts@hogline.test>", None)
    [sent] = log(reader, alert, status="sent")
    assert mail["Message-ID"] == f"<{sent['message_id']}@hogline.invalid>"
    assert sent["answer"] == "accepted, but not for gone@refused.test"
    plain, html = (mail.get_body([form]).get_content() for form in ("plain", "html"))
    assert f"{reader.url}/issue/{issue}?project=1" in plain
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; Bcc: eve@shop.test" in html
    refused = make(reader, "mail", addresses=["gone@refused.test"], filters=only_for("nothing"))
    answer = call(reader, "POST", f"alerts/{refused['id']}/test/")
    assert (answer["status"], answer["answer"]) == ("failed", "the mail server refuses gone@refused.test: 550")


def test_many_at_once_become_a_digest(reader, hooks):
    """The message lists 20 and counts the others; every occasion has its row, all with one id."""
    kind, path = unique(), f"/{uuid.uuid4()}"
    filters = {"type": "AND", "values": [{"key": "$exception_types", "operator": "icontains", "value": kind}]}
    alert = make(reader, url=hooks.url + path, filters=filters, digest_after=2, digest_minutes=1)
    reader.send(*[exception(entry(f"{kind}n{number}x", "v", [python_frame(f"f{number}")])) for number in range(25)])
    [digest] = hooks.wait(path)
    assert (len(digest.json["occasions"]), digest.json["more"]) == (20, 5)
    rows = log(reader, alert, 25, "sent")
    assert {each["message_id"] for each in rows} == {digest.json["id"]}
    fail(reader, f"{kind}alone")
    assert [each["issue"]["name"] for each in hooks.wait(path, 2)[1].json["occasions"]] == [f"{kind}alone"]
    fail(reader, f"{kind}waits")  # two messages went out in this minute
    [waiting] = log(reader, alert, status="waiting")
    assert waiting["message_id"] is None
    post(reader, f"/alerts/{alert['id']}/pause")
    [cancelled] = log(reader, alert, status="cancelled")
    assert (cancelled["issue_name"], cancelled["answer"]) == (f"{kind}waits", "the alert was paused")
    assert len(hooks.at(path)) == 2


def test_a_paused_alert_keeps_and_sends_nothing(reader, hooks):
    """Resumed, it is about what comes then."""
    kind, path = unique(), f"/{uuid.uuid4()}"
    alert = make(
        reader,
        url=hooks.url + path,
        filters={"type": "AND", "values": [{"key": "$exception_types", "operator": "icontains", "value": kind}]},
    )
    post(reader, f"/alerts/{alert['id']}/pause")
    assert "nothing is kept to be sent later" in text_of(page(reader, f"/alerts/{alert['id']}"))
    fail(reader, kind)
    post(reader, f"/alerts/{alert['id']}/resume")
    fail(reader, kind + "later")
    [sent] = log(reader, alert, status="sent")
    assert sent["issue_name"] == kind + "later"


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (("$lib", "exact", ["posthog-python"]), True), (("$lib", "exact", ["web"]), False),
        (("$release", "exact", ["2.0"]), True), (("$environment", "is_not", ["staging"]), False),
        (("$exception_level", "exact", ["fatal", "error"]), True), (("$exception_values", "icontains", "FUNDS"), True),
        (("$exception_functions", "exact", ["other"]), False), (("$issue_status", "exact", ["active"]), True),
        (("$issue_severity", "is_set", "is_set"), False), (("plan", "exact", ["gold"]), True),
    ],
)  # fmt: skip
def test_filters_decide_which_occasions_an_alert_is_about(filters, passes):
    """Properties of the event, and of the issue as `$issue_...`; a list passes by any element."""
    from datetime import UTC

    from hogline_instance.alerts.filters import facts_of, matches
    from hogline_instance.errors import CREATED, IssueOccasion

    properties = {
        "$lib": "posthog-python", "$app_version": "2.0", "environment": "staging", "$exception_level": "error", "plan": "gold",
        "$exception_values": ["no funds", "other"], "$exception_functions": ["charge"],
    }  # fmt: skip
    occasion = IssueOccasion(
        kind=CREATED, key="k", project_id=1, issue_id="i", name="n", description="d", severity=None, status="active", assignee=None,
        at=datetime.now(UTC), properties=properties,
    )  # fmt: skip
    key, operator, value = filters
    wanted = {"type": "AND", "values": [{"key": key, "operator": operator, "value": value}]}
    assert matches(["created"], wanted, occasion, facts_of(occasion)) is passes
    assert not matches(["spiking"], wanted, occasion, facts_of(occasion))
    assert matches(["created"], {}, occasion, {})


def test_a_private_host_is_refused_when_it_is_entered_and_when_it_is_sent_to(reader):
    """By spelling at once, by address when it is sent to; the log says which option allows it."""
    for url in ("http://10.0.0.1/x", "https://192.168.1.1/x", "http://169.254.169.254/latest", "http://[::1]/"):
        answer = call(reader, "POST", "alerts/", {"name": "n", "kind": "webhook", "url": url}, status=400)
        assert (answer["attr"], "HOGLINE_ALERT_PRIVATE_HOSTS" in answer["detail"]) == ("url", True)
    # Its spelling is no address, so that only the look-up tells, as for a name.
    alert = make(reader, url="http://167772161/x", filters=only_for("nothing"))
    answer = call(reader, "POST", f"alerts/{alert['id']}/test/")
    assert answer["status"] == "failed"
    assert answer["answer"].startswith("host 167772161 has the address 10.0.0.1, which is not public; the option")
    assert "HOGLINE_ALERT_PRIVATE_HOSTS" in answer["answer"]


def test_fields_that_cannot_be_used_are_named(reader):
    """With the field and what to enter."""
    hook = {"name": "n", "kind": "webhook", "url": "https://hooks.test/x"}
    for wrong, attr in (
        ({"name": ""}, "name"), ({"name": "x" * 201}, "name"), ({"kind": "sms"}, "kind"), ({"kind": ["mail"]}, "kind"), ({"url": ""}, "url"),
        ({"url": "ftp://hooks.test/"}, "url"), ({"url": "https://user@hooks.test/"}, "url"), ({"url": "https://a b/"}, "url"),
        ({"triggers": []}, "triggers"), ({"triggers": ["closed"]}, "triggers"), ({"filters": {"type": "XOR"}}, "filters"),
        ({"filters": {"type": "AND", "values": [{"key": "a", "operator": "near"}]}}, "filters"), ({"filters": {"a": "x" * 70_000}}, "filters"), ({"enabled": "yes"}, "enabled"),
        ({"digest_after": 0}, "digest_after"), ({"digest_minutes": 1441}, "digest_minutes"), ({"digest_minutes": True}, "digest_minutes"),
        ({"kind": "mail"}, "addresses"), ({"kind": "mail", "addresses": ["ada"]}, "addresses"),
        ({"kind": "mail", "addresses": ["a@b.test\r\nBcc: eve@b.test"]}, "addresses"),
        ({"kind": "mail", "addresses": ["a@b.test, eve@b.test"]}, "addresses"), ({"kind": "mail", "addresses": ["a@b.test"] * 21}, "addresses"),
    ):  # fmt: skip
        assert call(reader, "POST", "alerts/", {**hook, **wrong}, status=400)["attr"] == attr, wrong
    made = make(reader, url="https://hooks.test/secret-path", filters=only_for("nothing"))
    call(reader, "PATCH", f"alerts/{made['id']}/", {"kind": "slack"}, status=400)
    changed = call(
        reader,
        "PATCH",
        f"alerts/{made['id']}/",
        {"name": "renamed", "triggers": ["spiking", "created"], "enabled": False},
    )
    assert (changed["name"], changed["triggers"], changed["enabled"]) == ("renamed", ["created", "spiking"], False)
    listed = call(reader, "GET", "alerts/?limit=1000")
    assert made["id"] in [each["id"] for each in listed["results"]]
    for text in (
        json.dumps(listed),
        page(reader, f"/alerts/{made['id']}").data.decode(),
        page(reader, "/alerts").data.decode(),
    ):
        assert "secret-path" not in text
        assert made["secret"] not in text
    call(reader, "DELETE", f"alerts/{made['id']}/", status=204)
    call(reader, "GET", f"alerts/{made['id']}/", status=404)
    for number in (0, 2**31, 10**30):
        call(reader, "GET", f"alerts/{number}/", status=404)
        call(reader, "POST", f"alerts/deliveries/{number}/retry/", status=404)
    assert call(reader, "GET", f"alerts/deliveries/?alert_id={10**30}&issue_id=%00")["results"] == []


def test_the_pages_make_change_test_and_delete_an_alert_without_javascript(reader, hooks):
    """A new webhook's secret is shown once; what a form cannot show stays as it is."""
    path = f"/{uuid.uuid4()}"
    fields = {
        "name": "<b>Ops</b>", "kind": "webhook", "url": hooks.url + path, "trigger": ["created", "spiking"], "digest_after": "2",
        "digest_minutes": "30", "has_filters": "1", "only_library": "web, posthog-node", "only_message": "funds",
        "filter_type": "event", "filter_key": "plan", "filter_operator": "exact", "filter_value": "gold",
    }  # fmt: skip
    refused = post(reader, "/alerts", 400, **{**fields, "url": "nothing"})
    assert "Enter a URL" in text_of(refused)
    for value in (b"&lt;b&gt;Ops&lt;/b&gt;", b'value="web, posthog-node"', b'value="gold"'):
        assert value in refused.data
    made = post(reader, "/alerts", 200, **fields)
    secret = text_of(made).partition("requests is ")[2].split()[0]
    assert secret.startswith("whsec_")
    [record] = [each for each in call(reader, "GET", "alerts/?limit=1000")["results"] if each["name"] == "<b>Ops</b>"]
    assert record["triggers"] == ["created", "spiking"]
    assert (record["digest_after"], record["digest_minutes"]) == (2, 30)
    assert {(each["key"], each["operator"], str(each["value"])) for each in record["filters"]["values"]} == {
        ("$lib", "exact", "['web', 'posthog-node']"), ("$exception_values", "icontains", "funds"), ("plan", "exact", "['gold']"),
    }  # fmt: skip
    own = f"/alerts/{record['id']}"
    shown = page(reader, own)
    assert b"<b>Ops" not in shown.data
    assert secret.encode() not in shown.data
    for value in (b'value="web, posthog-node"', b'value="funds"', b'value="plan"', b'value="gold"'):
        assert value in shown.data
    post(reader, own + "/test")
    [request] = hooks.wait(path)
    assert verified(secret, request.headers, request.body)["project"]["name"] == "Default project"
    assert "Test sent 200" in text_of(page(reader, own))
    post(reader, own, **{**fields, "url": "", "only_library": "", "name": "Ops"})
    changed = call(reader, "GET", f"alerts/{record['id']}/")
    assert (changed["name"], len(changed["filters"]["values"])) == ("Ops", 2)
    groups = {"type": "OR", "values": [*only_for("a")["values"], *only_for("b")["values"]]}
    call(reader, "PATCH", f"alerts/{record['id']}/", {"filters": groups})
    assert "more than this form shows" in text_of(page(reader, own))
    post(reader, own, name="Ops", trigger="created", digest_after="2", digest_minutes="30")
    assert call(reader, "GET", f"alerts/{record['id']}/")["filters"] == groups
    assert "Ensure" in text_of(post(reader, own, 400, **{**fields, "url": "", "name": "x" * 300}))
    replaced = text_of(post(reader, own + "/secret", 200)).partition("requests is ")[2].split()[0]
    assert replaced.startswith("whsec_")
    assert replaced != secret
    post(reader, own + "/delete")
    page(reader, own, 404)


def test_the_page_of_an_issue_leads_to_its_alerts(reader, hooks):
    """The log is filtered by issue and by state."""
    kind, path = unique("<i>Odd</i>"), f"/{uuid.uuid4()}"
    alert = make(reader, url=hooks.url + path, filters=only_for(kind))
    issue = fail(reader, kind)
    log(reader, alert, status="sent")
    assert f'href="/alerts/log?issue={issue}"'.encode() in page(reader, f"/issue/{issue}").data
    shown = page(reader, f"/alerts/log?issue={issue}&status=sent")
    assert f"New issue: {kind}" in text_of(shown)
    assert b"<i>Odd" not in shown.data
    assert "Nothing was sent yet" in text_of(page(reader, f"/alerts/log?issue={issue}&status=failed"))


def test_a_link_opens_in_the_project_that_it_names(reader, hooks):
    """Whichever project the visitor chose before; the pages after it stay in that project."""
    record, other = new_project(reader)
    path, kind = f"/{uuid.uuid4()}", unique()
    make(reader, url=hooks.url + path, base=f"/api/projects/{other.id}/error_tracking")
    reader.pool.request(
        "POST", reader.url + "/batch/", headers={"Content-Type": "application/json"},
        body=json.dumps({"api_key": record["api_token"], "batch": [exception(entry(kind, "v", [python_frame()]))]}).encode(),
    )  # fmt: skip
    [request] = hooks.wait(path)
    link = request.json["occasions"][0]["issue"]["url"].removeprefix(reader.url)
    shown = page(reader, link, cookie="hogline_project=1")
    assert kind in text_of(shown)
    assert shown.headers["Set-Cookie"].startswith(f"hogline_project={other.id};")
    page(reader, link.partition("?")[0], 404, cookie="hogline_project=1")
    base = f"/api/projects/{other.id}/error_tracking"
    [delivery] = until(lambda: call(other, "GET", "alerts/deliveries/?status=sent", base=base)["results"])
    call(reader, "POST", f"alerts/deliveries/{delivery['id']}/retry/", status=404)
    call(other, "POST", f"alerts/deliveries/{delivery['id']}/retry/", status=400, base=base)
    call(reader, "GET", f"alerts/{delivery['alert_id']}/", status=404)
