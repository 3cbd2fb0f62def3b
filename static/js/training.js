// The list of trainings, or the page of one, renews itself while one looks.

import { localTimes } from "./scripts.js";
import { swap, watch } from "./live.js";

const id = document.getElementById("job") ? "job" : "jobs";

function address() {
  const part = document.getElementById(id);
  const url = new URL(part.dataset.liveUrl, location.href);
  url.searchParams.set("version", part.dataset.version);
  return url;
}

watch(address, (fragment) => {
  const kept = document.activeElement?.dataset?.keep;
  const logged = document.querySelector("#job .log")?.scrollTop ?? 0;
  swap(fragment, id);
  const log = document.querySelector("#job .log");
  if (log) log.scrollTop = logged;
  if (kept) document.querySelector(`#${id} [data-keep="${CSS.escape(kept)}"]`)?.focus();
  localTimes();
}, 1000);
