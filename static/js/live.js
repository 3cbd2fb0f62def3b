// Asks for the changing part of a page; nothing changed is an empty answer. Rests in a hidden tab, backs off on errors.

const EVERY_MS = 2000;
const LONGEST_MS = 30000;
const PATIENCE_MS = 8000;

const light = document.getElementById("live");

function show(state, text) {
  if (!light || light.dataset.live === state) return;
  light.dataset.live = state;
  light.textContent = text;
}

// `address()` gives what to ask; `changed(fragment)` is called with a DocumentFragment when something did.
export function watch(address, changed, every = EVERY_MS) {
  let wait = every;
  let timer = 0;
  let asking = false;

  function next() {
    clearTimeout(timer);
    if (document.hidden) show("paused", "page paused");
    else timer = setTimeout(ask, wait);
  }

  async function ask() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(address(), { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS), headers: { Accept: "text/html" } });
      if (answer.status === 200) {
        const template = document.createElement("template");
        template.innerHTML = await answer.text();
        await changed(template.content);
      } else if (answer.status !== 204) {
        throw new Error(`status ${answer.status}`);
      }
      wait = every;
      show("live", "page live");
    } catch {
      wait = Math.min(2 * wait, LONGEST_MS);
      show("stale", "page stale, server unreachable");
    } finally {
      asking = false;
      next();
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) next();
    else { wait = every; ask(); }
  });
  next();
  show("live", "page live");
}

// Puts the new element in the place of the old one with the same id, unless it looks the same; focus is kept.
export function swap(fragment, id) {
  const before = document.getElementById(id);
  const after = fragment.getElementById(id);
  if (!before || !after) return false;
  const focused = before.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  before.replaceWith(after);
  if (focused) after.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  return true;
}

// A part's place to ask for news of it, with the version that is shown.
export function liveAddress(id) {
  const part = document.getElementById(id);
  const url = new URL(part.dataset.liveUrl, location.href);
  url.searchParams.set("version", part.dataset.version);
  return url;
}

// Swaps parts by their ids; what the reader opened stays open, what is scrolled sideways or holds the focus stays so.
export function renew(fragment, ids) {
  const within = (what) => ids.flatMap((id) => [...document.querySelectorAll(`#${id} ${what}`)]);
  const active = document.activeElement;
  if (within(".scroll").includes(active)) return; // somebody scrolls that table
  const held = ids.some((id) => document.getElementById(id)?.contains(active)) ? active.id : "";
  for (const part of within("details")) fragment.getElementById(part.id)?.toggleAttribute("open", part.open);
  const places = within(".scroll").map((part) => part.scrollLeft);
  for (const id of ids) swap(fragment, id);
  within(".scroll").forEach((part, place) => { part.scrollLeft = places[place] ?? 0; });
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
}
