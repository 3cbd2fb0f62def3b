// The list of trainings, or the page of one, renews itself while one looks.

import { localTimes } from "./scripts.js";
import { liveAddress, swap, watch } from "./live.js";

const id = document.getElementById("job") ? "job" : "jobs";

watch(() => liveAddress(id), (fragment) => {
  const kept = document.activeElement?.dataset?.keep;
  const logged = document.querySelector("#job .log")?.scrollTop ?? 0;
  swap(fragment, id);
  const log = document.querySelector("#job .log");
  if (log) log.scrollTop = logged;
  if (kept) document.querySelector(`#${id} [data-keep="${CSS.escape(kept)}"]`)?.focus();
  localTimes();
}, 1000);
