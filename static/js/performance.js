// The performance page renews itself while one looks; what the reader opened or holds the focus in stays so.

import { localTimes } from "./scripts.js";
import { swap, watch } from "./live.js";

function address() {
  const part = document.getElementById("performance");
  const url = new URL(part.dataset.liveUrl, location.href);
  url.searchParams.set("version", part.dataset.version);
  return url;
}

watch(address, (fragment) => {
  const active = document.activeElement;
  if (active?.closest?.("#performance .scroll") === active && active !== null) return; // somebody scrolls that table
  const opened = [...document.querySelectorAll("#performance details[open]")].map((part) => part.id);
  const held = active?.closest?.("#performance") ? active.id : "";
  for (const id of opened) fragment.getElementById(id)?.setAttribute("open", "");
  const places = [...document.querySelectorAll("#performance .scroll")].map((part) => part.scrollLeft);
  swap(fragment, "performance");
  document.querySelectorAll("#performance .scroll").forEach((part, place) => { part.scrollLeft = places[place] ?? 0; });
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
  localTimes();
}, 5000);
