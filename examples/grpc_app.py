"""A gRPC shop whose messages are bytes. Run it: python examples/grpc_app.py 50051"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from hogline import PostHog
from hogline.interceptors.grpc import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


def checkout(request, context):
    posthog.capture("checkout", properties={"total": 42})  # carries the ids of the call's metadata
    return b"ok"


def broken(request, context):
    context.abort(grpc.StatusCode.UNAVAILABLE, "the shop is on fire")


def serve(port):
    server = grpc.server(
        ThreadPoolExecutor(4),
        interceptors=[PostHogInterceptor(client=posthog, capture_exceptions=True)],
    )
    methods = {"Checkout": checkout, "Broken": broken}
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


if __name__ == "__main__":
    serve(sys.argv[1]).wait_for_termination()
