"""The shop on Django, written as an ordinary app.

It does the same as `hogline_instance/demo/shop_fastapi.py`, in one file.
"""

import contextvars
import json
import mimetypes
import threading
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from hogline.interceptors import asgi
from hogline_instance.demo.catalogue import PRODUCTS, CardDeclinedError, apply_gift_card
from hogline_instance.demo.shop import COOKIE, STATIC, Shop

__all__ = ["create_app"]


class ProviderAwayError(Exception):
    """The payment provider does not respond.

    Django has no exception for 503, so the shop defines one.
    """


class Declined:
    """Middleware that turns the payment's failures into responses."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        answer: HttpResponse = self.get_response(request)
        return answer

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Respond to a declined card with 402, and to an unavailable provider with 503."""
        if isinstance(error, CardDeclinedError):
            return JsonResponse({"error": str(error)}, status=402)
        return JsonResponse({"error": str(error)}, status=503) if isinstance(error, ProviderAwayError) else None


class _Urls:
    """Replaces the module of routes that Django expects."""

    urlpatterns: list[Any]


def create_app(shop: Shop) -> asgi.PostHogInterceptor:
    """Return the shop as an app of this framework; call it once per process."""
    views = _Views(shop)
    _Urls.urlpatterns = [
        path("", views.home),
        path("product/<slug:slug>", views.product),
        path("cart", views.cart_page),
        path("api/cart", views.change_cart),
        path("api/sign-in", views.sign_in),
        path("api/gift-card", views.gift_card),
        path("api/checkout", views.checkout),
        path("api/export", views.export),
        path("static/<str:name>", views.static),
    ]
    settings.configure(
        ALLOWED_HOSTS=["*"],
        HOGLINE={"client": shop.posthog, "capture_exceptions": True, "read_cookie": True},
        LOGGING_CONFIG=None,
        MIDDLEWARE=["hogline.interceptors.django.PostHogInterceptor", f"{__name__}.Declined"],
        ROOT_URLCONF=_Urls,
        SECRET_KEY="a demo's",
    )
    django.setup()
    # Django has no lifespan in which to flush; the interceptor around it has. The
    # outermost interceptor sets the context.
    return asgi.PostHogInterceptor(get_asgi_application(), client=shop.posthog, read_cookie=True)


class _Views:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._posthog = shop.posthog

    def _page(self, request: HttpRequest, name: str, **values: Any) -> HttpResponse:
        response = HttpResponse(self._shop.page(name, request.COOKIES, **values), headers=self._shop.headers)
        if (cookie := self._shop.new_cookie(request.COOKIES)) is not None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
        return response

    def home(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, "home")

    def product(self, request: HttpRequest, slug: str) -> HttpResponse:
        if slug not in PRODUCTS:
            raise Http404("no such product")
        self._posthog.capture("product viewed", properties={"product": slug, "price": PRODUCTS[slug].price})
        return self._page(request, "product", product=PRODUCTS[slug])

    def cart_page(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, "cart")

    def static(self, _request: HttpRequest, name: str) -> HttpResponse:
        found = STATIC / name
        if not found.is_file():
            raise Http404(name)
        return HttpResponse(found.read_bytes(), content_type=mimetypes.guess_type(name)[0])

    def change_cart(self, request: HttpRequest) -> JsonResponse:
        product = _field(request, "product")
        if product not in PRODUCTS:
            raise Http404("no such product")
        return JsonResponse(self._shop.add(self._shop.cart(request.COOKIES), product))

    def sign_in(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(self._shop.sign_in(self._shop.cart(request.COOKIES), _field(request, "email")))

    def gift_card(self, request: HttpRequest) -> JsonResponse:
        cart, code = self._shop.cart(request.COOKIES), _field(request, "code")
        self._posthog.capture("gift card entered", properties={"code": code, "total": cart.total})
        return JsonResponse({"total": apply_gift_card(cart.total, code)})

    def checkout(self, request: HttpRequest) -> HttpResponse:
        cart, card = self._shop.cart(request.COOKIES), _field(request, "card", "4242")
        total, items = cart.total, cart.count
        self._posthog.capture("checkout started", properties={"total": total, "items": items})
        if card == "offline":
            raise ProviderAwayError("the payment provider does not respond")
        receipt = self._shop.pay(cart, total, card)
        cart.items.clear()
        self._posthog.capture("order placed", properties={"total": total, "items": items, "receipt": receipt})
        # Django runs no code after a response, so the receipt is sent on a thread, which gets a
        # copy of the request's context.
        threading.Thread(target=contextvars.copy_context().run, args=(self._shop.send_receipt, receipt)).start()
        return JsonResponse({"receipt": receipt, "total": total})

    def export(self, _request: HttpRequest) -> StreamingHttpResponse:
        async def lines() -> Any:
            for line in self._shop.lines():
                yield line

        return StreamingHttpResponse(lines(), content_type="text/csv")


def _field(request: HttpRequest, name: str, default: str | None = None) -> str:
    """Return a string of the request's JSON; abort with 400 if it is missing."""
    try:
        value = json.loads(request.body).get(name, default)
    except (ValueError, AttributeError) as error:
        raise BadRequest("JSON is needed") from error
    if not isinstance(value, str):
        raise BadRequest(f"{name} is needed")
    return value
