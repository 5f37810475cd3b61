"""PostHog's flags through OpenFeature. Run it: python examples/openfeature_flags.py"""

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from hogline import PostHog
from hogline.integrations.openfeature import PostHogProvider

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
api.set_provider_and_wait(PostHogProvider(posthog))

client = api.get_client()
visitor = EvaluationContext("user-1", {"plan": "pro", "groups": {"company": "acme"}})
print("sale:", client.get_boolean_value("summer-sale", default_value=False, evaluation_context=visitor))
print("theme:", client.get_string_value("theme", "light", visitor))
print("limits:", client.get_object_value("limits", {}, visitor))

posthog.shutdown()
