"""A Pyramid shop. Run it: waitress-serve examples.pyramid_app:app"""

from pyramid.config import Configurator

from hogline import PostHog

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


def checkout(request):
    posthog.capture("checkout", properties={"total": 42})  # with the browser's session
    return {"ok": True}


def broken(request):
    raise RuntimeError("the shop is on fire")


with Configurator(settings={"hogline.client": posthog, "hogline.capture_exceptions": True}) as config:
    config.include("hogline.interceptors.pyramid")
    config.add_route("checkout", "/checkout")
    config.add_view(checkout, route_name="checkout", renderer="json", request_method="POST")
    config.add_route("broken", "/broken")
    config.add_view(broken, route_name="broken")
    app = config.make_wsgi_app()
