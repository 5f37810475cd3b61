// Shows a notice when the session has new events, without moving the text that is being read.
"use strict";

const more = document.getElementById("more");
const line = document.querySelector(".line");
const known = new Set(Array.from(document.querySelectorAll("[id^='e-']"), (part) => part.id.slice(2)));
let fresh = 0;

function tell(lines) {
  for (const event of lines) {
    if (known.has(event.uuid)) continue;
    known.add(event.uuid);
    fresh += 1;
  }
  if (!fresh) return;
  const again = document.createElement("a");
  again.href = location.pathname;
  again.textContent = "Show them";
  more.replaceChildren(`${fresh} new event${fresh === 1 ? "" : "s"} in this session. `, again);
  more.hidden = false;
}

const source = new EventSource("/ui/live?backlog=50&session_id=" + encodeURIComponent(line.dataset.session));
source.addEventListener("events", (message) => tell(JSON.parse(message.data)));
addEventListener("pagehide", () => source.close(), { once: true });
