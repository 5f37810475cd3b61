// The official posthog-js, loaded from the instance before this: one call, as its guide says.
"use strict";
const { token, instance } = document.currentScript.dataset;
window.posthog?.init(token, {
  api_host: instance,
  tracing_headers: [location.hostname],
  capture_pageview: true,
  person_profiles: "identified_only",
});
