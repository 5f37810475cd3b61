// The cart's button that says when the order arrives.
import { earliestSlot } from "./slots.js";

function showEstimate() {
  const items = Number(document.getElementById("count").textContent);
  document.getElementById("told").textContent = `It arrives on ${earliestSlot(items)}.`;
}

document.getElementById("estimate")?.addEventListener("click", showEstimate);
