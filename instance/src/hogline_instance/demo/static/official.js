// Starts the official posthog-js, which the page loaded from the instance, as its guide says.
"use strict";
const { token, instance } = document.currentScript.dataset;
window.posthog?.init(token, {
  api_host: instance,
  tracing_headers: [location.hostname],
  capture_pageview: true,
  person_profiles: "identified_only",
});
// The same flag decides the price on the server.
window.posthog?.onFeatureFlags(() => {
  document.documentElement.dataset.checkout = String(window.posthog.getFeatureFlag("new-checkout"));
});
