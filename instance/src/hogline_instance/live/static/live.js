// Adds events to the live page as they arrive. Content of events is only ever set as text; links
// are built from encoded path segments.
"use strict";

const MAX_ROWS = 500;
const MAX_HELD = 500;
const SIDES = { browser: "Browser", server: "Server", other: "Other" };

const rows = document.getElementById("rows");
const mould = document.getElementById("row").content.firstElementChild;
const stateText = document.getElementById("state");
const dot = document.getElementById("dot");
const pauseButton = document.getElementById("pause");
const lostText = document.getElementById("lost");
const empty = document.getElementById("empty");

// Events in the table, and those that wait in `held`.
const known = new Set(Array.from(rows.children, (row) => row.dataset.uuid));
let held = [];        // oldest first: the events since the pause or the last frame
let skipped = 0;      // events left out because more came than the page can show
let lost = 0;         // events that the server dropped because this page was slow
let paused = false;
let drawing = false;

function link(anchor, href, text, title) {
  anchor.href = href;
  anchor.textContent = text;
  anchor.title = title;
}

function draw(line) {
  const row = mould.cloneNode(true);
  const part = (selector) => row.querySelector(selector);
  row.dataset.uuid = line.uuid;
  row.classList.toggle("is-error", line.error !== "");
  row.classList.add("is-new");
  const time = part("time");
  time.dateTime = time.title = line.timestamp;
  time.textContent = line.timestamp.slice(11, 19);
  const side = part(".side");
  side.classList.add("side-" + line.side);
  side.textContent = SIDES[line.side];
  link(part(".c-event a"), "/event/" + encodeURIComponent(line.uuid), line.error || line.title, line.event);
  part(".method").textContent = line.method;
  part(".path").textContent = line.path;
  const status = part(".status");
  if (line.status === null) status.remove();
  else {
    status.textContent = line.status;
    status.classList.add("status-" + (line.status >= 100 && line.status < 600 ? Math.floor(line.status / 100) : 0));
  }
  const person = line.person_id === "" ? "/events?distinct_id=" + encodeURIComponent(line.distinct_id) : "/person/" + encodeURIComponent(line.person_id);
  link(part(".c-person a"), person, line.person || line.distinct_id, line.distinct_id);
  const session = part(".c-session a");
  if (line.session_id === "") session.remove();
  else {
    const id = line.session_id;
    link(session, "/session/" + encodeURIComponent(id), id.length > 14 ? "…" + id.slice(-8) : id, "Session " + id);
  }
  return row;
}

function flush() {
  drawing = false;
  if (paused) return;
  const fresh = document.createDocumentFragment();
  for (const line of held) fresh.prepend(draw(line));
  held = [];
  rows.prepend(fresh);
  while (rows.children.length > MAX_ROWS) {
    known.delete(rows.lastElementChild.dataset.uuid);
    rows.lastElementChild.remove();
  }
  empty.hidden = rows.children.length > 0;
  report();
}

function receive(lines) {
  for (const line of lines) {
    // An event comes twice if it is stored while the server reads the backlog, or after a reconnect.
    if (known.has(line.uuid)) continue;
    known.add(line.uuid);
    held.push(line);
  }
  if (held.length > MAX_HELD) {
    const left = held.splice(0, held.length - MAX_HELD);
    for (const line of left) known.delete(line.uuid);
    skipped += left.length;
  }
  if (paused) report();
  else if (!drawing) {
    drawing = true;
    // A hidden tab draws no frames, so a timer updates its rows.
    if (document.hidden) setTimeout(flush, 500);
    else requestAnimationFrame(flush);
  }
}

function report() {
  if (paused) stateText.textContent = held.length ? `paused, ${held.length} waiting` : "paused";
  const parts = [];
  if (lost) parts.push(`${lost} not sent because this page was slow`);
  if (skipped) parts.push(`${skipped} not drawn because more came than fits`);
  lostText.textContent = parts.length ? `${parts.join("; ")}. They are stored; the Events page has them all.` : "";
  lostText.hidden = parts.length === 0;
}

function show(kind, text) {
  dot.className = "dot " + kind;
  if (!paused) stateText.textContent = text;
}

function connect() {
  const query = new URLSearchParams(location.search);
  query.set("backlog", "100");
  const source = new EventSource("/ui/live?" + query);
  source.onopen = () => { lost = 0; show("on", "live"); };
  source.onerror = () => {
    show("off", "connection lost, trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
  };
  source.addEventListener("events", (message) => receive(JSON.parse(message.data)));
  source.addEventListener("lost", (message) => { lost = JSON.parse(message.data).lost; report(); });
  addEventListener("pagehide", () => source.close(), { once: true });
}

function pause() {
  paused = !paused;
  pauseButton.setAttribute("aria-pressed", String(paused));
  pauseButton.textContent = paused ? "Resume" : "Pause";
  dot.classList.toggle("paused", paused);
  if (paused) report();
  else { stateText.textContent = "live"; flush(); }
}

pauseButton.hidden = false;
pauseButton.addEventListener("click", pause);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
connect();
