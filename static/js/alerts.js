// The alerts page renews itself while one looks, but for the form that somebody may be filling in.

import { localTimes } from "./scripts.js";
import { liveAddress, renew, watch } from "./live.js";

watch(() => liveAddress("alerts-rules"), (fragment) => {
  renew(fragment, ["alerts-rules", "alerts-history"]);
  localTimes();
}, 5000);
