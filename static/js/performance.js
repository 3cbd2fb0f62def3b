// The performance page renews itself while one looks.

import { localTimes } from "./scripts.js";
import { swap, watch } from "./live.js";

function address() {
  const part = document.getElementById("performance");
  const url = new URL(part.dataset.liveUrl, location.href);
  url.searchParams.set("version", part.dataset.version);
  return url;
}

watch(address, (fragment) => {
  const place = document.activeElement?.closest?.("#performance .scroll");
  if (place) return; // somebody reads that table with the keyboard: leave it
  swap(fragment, "performance");
  localTimes();
}, 5000);
