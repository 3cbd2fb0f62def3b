// The performance page renews itself while one looks; what the reader opened or holds the focus in stays so.

import { localTimes } from "./scripts.js";
import { liveAddress, renew, watch } from "./live.js";

// A browser that cannot show what is in a closed fold, as the stylesheet asks for where there is room, has them all open.
if (!CSS.supports("selector(::details-content)") && matchMedia("(min-width: 761px)").matches) {
  for (const fold of document.querySelectorAll("details.fold")) fold.open = true;
}

watch(() => liveAddress("performance"), (fragment) => {
  renew(fragment, ["performance"]);
  localTimes();
}, 5000);
