// Used when posthog-js is unavailable: sends a pageview and clicks, adds the three tracing headers to
// fetches of this shop, and asks for the flag that decides the checkout.
"use strict";
(() => {
  const { token, instance, release } = document.currentScript.dataset;
  const kept = (store, name, make) => {
    try {
      const known = store.getItem(name);
      if (known) return known;
      const made = make();
      store.setItem(name, made);
      return made;
    } catch {
      return make();
    }
  };
  // A UUIDv7 starts with 48 bits of time, by which sessions are stored.
  const uuid7 = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    let now = Date.now();
    for (let i = 5; i >= 0; i--) { bytes[i] = now % 256; now = Math.floor(now / 256); }
    bytes[6] = (bytes[6] & 15) | 112;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  };
  const sessionId = kept(sessionStorage, "line.session", uuid7);
  const windowId = kept(sessionStorage, "line.window", uuid7);
  let distinctId = kept(localStorage, "line.person", uuid7);

  const capture = (event, properties = {}) => {
    const all = {
      token, distinct_id: distinctId, $session_id: sessionId, $window_id: windowId, $lib: "web", $release: release, $current_url: location.href,
      $pathname: location.pathname, $host: location.host, $raw_user_agent: navigator.userAgent, title: document.title, ...properties,
    };
    const body = JSON.stringify({ api_key: token, batch: [{ uuid: uuid7(), event, timestamp: new Date().toISOString(), properties: all }] });
    plainFetch(`${instance}/e/`, { method: "POST", body, headers: { "Content-Type": "text/plain" }, keepalive: true }).catch(() => {});
  };
  const plainFetch = window.fetch.bind(window);
  window.fetch = (target, options = {}) => {
    const url = new URL(target instanceof Request ? target.url : target, location.href);
    if (url.origin !== location.origin) return plainFetch(target, options);
    const headers = new Headers(options.headers || (target instanceof Request ? target.headers : undefined));
    headers.set("X-POSTHOG-SESSION-ID", sessionId);
    headers.set("X-POSTHOG-WINDOW-ID", windowId);
    headers.set("X-POSTHOG-DISTINCT-ID", distinctId);
    return plainFetch(target, { ...options, headers });
  };
  addEventListener("click", (event) => {
    const target = event.target.closest("a, button");
    if (target) capture("$autocapture", { $event_type: "click", $el_text: target.textContent.trim().slice(0, 100) });
  }, true);
  window.posthog = {
    identify(id, properties) {
      const previous = distinctId;
      distinctId = id;
      try { localStorage.setItem("line.person", id); } catch { /* a private window */ }
      capture("$identify", { $anon_distinct_id: previous, $set: properties });
    },
    group(type, key) {
      capture("$groupidentify", { $group_type: type, $group_key: key, $group_set: {} });
    },
  };
  plainFetch(`${instance}/flags/?v=2`, {
    method: "POST", body: JSON.stringify({ token, distinct_id: distinctId }), headers: { "Content-Type": "text/plain" },
  }).then((answer) => answer.json()).then(({ flags }) => {
    const flag = flags?.["new-checkout"];
    document.documentElement.dataset.checkout = (flag?.enabled && flag.variant) || "control";
  }).catch(() => {});
  capture("$pageview");
})();
