// Finds a property by name or value while the reader types.
"use strict";

const find = document.getElementById("find");
const none = document.getElementById("none-found");
const properties = Array.from(document.querySelectorAll(".property"), (row) => [row, row.textContent.toLowerCase()]);

document.getElementById("find-box").hidden = properties.length === 0;
find.addEventListener("input", () => {
  const needle = find.value.trim().toLowerCase();
  let found = 0;
  for (const [row, text] of properties) {
    row.hidden = !text.includes(needle);
    if (!row.hidden) found += 1;
  }
  for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".property:not([hidden])");
  none.hidden = found > 0;
});
