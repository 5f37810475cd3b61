// Starts the official posthog-js, which the page loaded from the instance, as its guide says.
"use strict";
const { token, instance, release } = document.currentScript.dataset;
window.posthog?.init(token, {
  api_host: instance,
  tracing_headers: [location.hostname],
  capture_pageview: true,
  capture_exceptions: true,
  person_profiles: "identified_only",
});
window.posthog?.register({ $release: release });
// The same flag decides the price on the server.
window.posthog?.onFeatureFlags(() => {
  document.documentElement.dataset.checkout = window.posthog.getFeatureFlag("new-checkout") || "control";
});
