"""A Flask app behind a proxy that signs people in (oauth2-proxy, Pomerium, Cloudflare Access ...).

The proxy names the user in a header.
"""

from ipaddress import ip_address, ip_network

from flask import Flask

from hogline import PostHog
from hogline.interceptors.flask import PostHogInterceptor

PROXIES = [ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")]  # the addresses of the proxy
# Or X-Auth-Request-Email, X-Pomerium-Claim-Email ...: a header that the proxy always replaces.
HEADER = "X-Forwarded-User"


def signed_in_user(request):
    """Return the user whom the proxy names; trust nobody but the proxy."""
    # The address that connected, with ProxyFix too.
    environ = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    peer = ip_address(environ["REMOTE_ADDR"])
    if not any(peer in network for network in PROXIES):
        return None
    name = request.headers.get(HEADER, "")
    return name if "," not in name else None  # a comma joins two headers, one of them a visitor's


posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = Flask(__name__)
PostHogInterceptor(app, client=posthog, distinct_id=signed_in_user, identity_headers=False)


@app.post("/checkout")
def checkout():
    posthog.capture("checkout", properties={"total": 42})  # of the signed-in user
    return "ok"
