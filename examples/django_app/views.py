"""Views whose events belong to the signed-in user, else to the browser's person."""

from django.http import JsonResponse, StreamingHttpResponse

import hogline


def checkout(request):
    """Sell something."""
    hogline.capture("checkout", properties={"total": 42})
    return JsonResponse({"ok": True})


def receipt(request, number):
    """Stream a receipt; what is captured in the stream belongs to the request."""

    def lines():
        yield "receipt\n"
        hogline.capture("receipt read", properties={"number": number})
        yield "total 42\n"

    return StreamingHttpResponse(lines())


def broken(request):
    """Fail."""
    raise RuntimeError("the shop is on fire")
