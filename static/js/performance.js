// The performance page renews itself while one looks; what the reader opened or holds the focus in stays so.

import { localTimes } from "./scripts.js";
import { liveAddress, renew, watch } from "./live.js";

watch(() => liveAddress("performance"), (fragment) => {
  renew(fragment, ["performance"]);
  localTimes();
}, 5000);
