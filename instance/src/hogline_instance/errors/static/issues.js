// Keyboard and copying on the pages of issues; both pages work without it.
"use strict";
const rows = [...document.querySelectorAll(".issue")];
const all = document.getElementById("all");
const copy = document.getElementById("copy-markdown");
let chosen = -1;

function choose(place) {
  if (!rows.length) return;
  rows[chosen]?.classList.remove("is-chosen");
  chosen = Math.min(Math.max(place, 0), rows.length - 1);
  rows[chosen].classList.add("is-chosen");
  rows[chosen].querySelector("a").focus();
  rows[chosen].scrollIntoView({ block: "nearest" });
}

function box(row) {
  return row.querySelector("input[type=checkbox]");
}

all?.addEventListener("change", () => rows.forEach((row) => { box(row).checked = all.checked; }));

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") choose(chosen + 1);
  else if (event.key === "k") choose(chosen - 1);
  else if (event.key === "x" && rows[chosen]) box(rows[chosen]).checked = !box(rows[chosen]).checked;
  else if (event.key === "e" && rows.length) document.querySelector("#bulk button[value=resolved]").click();
  else document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
});

copy?.addEventListener("click", async (event) => {
  event.preventDefault();
  const label = copy.textContent;
  try {
    const answer = await fetch(copy.href);
    await navigator.clipboard.writeText(await answer.text());
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = label; }, 2000);
  } catch {
    window.location.assign(copy.href);
  }
});
