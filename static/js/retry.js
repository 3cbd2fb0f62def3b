// A page that could not be answered yet asks again by itself, as often as its answer says, until it can be.

const note = document.querySelector("[data-retry-s]");
const wait = 1000 * Number(note.dataset.retryS);
note.textContent = `This page asks again by itself every ${note.dataset.retryS} s.`;

async function ask() {
  try {
    if (!document.hidden) {
      const answer = await fetch(location.href, { cache: "no-cache", headers: { Accept: "text/html" } });
      if (answer.status !== 503) {
        location.reload();
        return;
      }
    }
  } catch {
    // the server is away: it is asked again as well
  }
  setTimeout(ask, wait);
}

setTimeout(ask, wait);
