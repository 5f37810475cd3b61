"""A Flask app behind a proxy that signs people in (oauth2-proxy, Pomerium, Cloudflare Access ...) and says in a header who they are."""

from ipaddress import ip_address, ip_network

from flask import Flask

from hogline import PostHog
from hogline.interceptors.flask import PostHogInterceptor

PROXIES = [ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")]  # where the proxy connects from, and nobody else
HEADER = (
    "X-Forwarded-User"  # or X-Auth-Request-Email, X-Pomerium-Claim-Email ...: what the proxy sets, whatever it was sent
)


def signed_in_user(request):
    """Return whom the proxy names; nobody's word counts but the proxy's."""
    environ = request.environ.get(
        "werkzeug.proxy_fix.orig", request.environ
    )  # who connected, also where ProxyFix is in use
    peer = ip_address(environ["REMOTE_ADDR"])
    if not any(peer in network for network in PROXIES):
        return None
    name = request.headers.get(HEADER, "")
    return name if "," not in name else None  # two headers, joined: one of them is a visitor's


posthog = PostHog()  # HOGLINE_PROJECT_TOKEN and HOGLINE_HOST, or PostHog("<project token>", host="...")
app = Flask(__name__)
PostHogInterceptor(app, client=posthog, distinct_id=signed_in_user, identity_headers=False)


@app.post("/checkout")
def checkout():
    posthog.capture("checkout", properties={"total": 42})  # belongs to whom the proxy has signed in
    return "ok"
