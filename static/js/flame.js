// The flame graph zooms without leaving the page, and finds functions by name; without this, each box is a link.

async function zoom(address, remember) {
  const answer = await fetch(address, { cache: "no-cache", headers: { Accept: "text/html" } });
  if (!answer.ok) { location.assign(address); return; }
  const template = document.createElement("template");
  template.innerHTML = await answer.text();
  const after = template.content.getElementById("flame");
  const wanted = document.getElementById("find").value;
  document.getElementById("flame").replaceWith(after);
  if (remember) history.pushState(null, "", address);
  prepare(wanted);
  after.querySelector("svg.flame a")?.focus({ preventScroll: true });
}

function mark(text) {
  const wanted = text.trim().toLowerCase();
  for (const box of document.querySelectorAll("#flame a[aria-label]"))
    box.classList.toggle("found", wanted !== "" && box.getAttribute("aria-label").toLowerCase().includes(wanted));
}

function prepare(wanted) {
  const find = document.getElementById("find");
  find.closest("[hidden]")?.removeAttribute("hidden");
  find.value = wanted;
  find.addEventListener("input", () => mark(find.value));
  mark(wanted);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("#flame [data-zoom]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  zoom(new URL(link.getAttribute("href"), location.href).href, true);
});
addEventListener("popstate", () => zoom(location.href, false));
prepare("");
