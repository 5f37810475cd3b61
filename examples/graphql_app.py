"""A GraphQL shop on Strawberry and FastAPI. Run it: uvicorn examples.graphql_app:app"""

import strawberry
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter

from hogline import PostHog
from hogline.interceptors import fastapi
from hogline.interceptors.strawberry import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


@strawberry.type
class Query:
    @strawberry.field
    async def broken(self) -> str:
        raise RuntimeError("this arrives in Error Tracking, although the answer is 200")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def checkout(self) -> bool:
        posthog.capture("checkout", properties={"total": 42})  # with the browser's session
        return True


# The schema's interceptor sees exceptions of resolvers; the app's carries the request.
schema = strawberry.Schema(Query, Mutation, extensions=[PostHogInterceptor(client=posthog, capture_exceptions=True)])
app = FastAPI()
app.add_middleware(fastapi.PostHogInterceptor, client=posthog, capture_exceptions=True)
app.include_router(GraphQLRouter(schema), prefix="/graphql")
