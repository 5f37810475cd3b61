// The shop's buttons. They use fetch, so that requests carry the tracing headers of posthog-js
// (or of line.js).
"use strict";
const told = document.getElementById("told");
for (const button of document.querySelectorAll("button[data-post]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const answer = await fetch(button.dataset.post, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: button.dataset.body,
      });
      const text = await answer.text();
      let said = {};
      try { said = JSON.parse(text); } catch { /* the page for a 500 is plain text */ }
      const email = button.dataset.identify;
      if (answer.ok && email) {
        window.posthog?.identify(email, { email });
        window.posthog?.group("organisation", email.split("@")[1]);
      }
      if ("items" in said) document.getElementById("count").textContent = said.items;
      told.textContent = answer.ok
        ? (said.receipt ? `Thank you: receipt ${said.receipt}.` : said.user ? `Hello ${said.user}.` : "Done.")
        : `${answer.status}: ${said.error || said.detail || "the shop broke; Hogline has the stack"}`;
    } catch {
      told.textContent = "The shop does not respond.";
    } finally {
      button.disabled = false;
    }
  });
}
