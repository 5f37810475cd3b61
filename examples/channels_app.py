"""A Channels chat. Run it: daphne examples.channels_app:application"""

import django
from django.conf import settings

if not settings.configured:
    settings.configure(SECRET_KEY="change me", USE_TZ=True)
    django.setup()

from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from hogline import PostHog
from hogline.interceptors.channels import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


class Checkout(AsyncHttpConsumer):
    async def handle(self, body):
        posthog.capture("checkout", properties={"total": 42})
        await self.send_response(200, b"ok")


class Broken(AsyncHttpConsumer):
    async def handle(self, body):
        raise RuntimeError("the shop is on fire")


class Chat(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        posthog.capture("message")  # carries the visitor of the connection
        await self.send(text_data)


routers = ProtocolTypeRouter(
    {
        "http": URLRouter([path("checkout", Checkout.as_asgi()), path("broken", Broken.as_asgi())]),
        "websocket": URLRouter([path("chat", Chat.as_asgi())]),
    }
)
application = PostHogInterceptor(routers, client=posthog, capture_exceptions=True)
