// What every page does: theme, ages that grow, local times, the time the page took; then the page's own scripts.

const root = document.documentElement;

function rememberTheme(theme) {
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
}

function currentTheme() {
  const chosen = root.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function themeToggle() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  const offer = () => { button.value = currentTheme() === "dark" ? "light" : "dark"; };
  offer();
  button.form.addEventListener("submit", (event) => {
    if (event.submitter !== button) return;
    event.preventDefault();
    root.dataset.theme = button.value;
    rememberTheme(button.value);
    offer();
    document.dispatchEvent(new CustomEvent("themechange"));
  });
}

function ageText(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// A simulated exchange may live in another year than we do: ages there count from when the page was made.
const SAME_TIME_MS = 300000;
let offset = 0;

export function ages(scope = document) {
  const now = Date.now() + offset;
  for (const element of scope.querySelectorAll("[data-age]")) {
    const text = ageText(Math.max(0, (now - Number(element.dataset.age)) / 1000));
    if (element.textContent !== text) element.textContent = text;
  }
}

function keepTime(scope = document) {
  const made = scope.querySelector("[data-now]") ?? (scope.dataset?.now ? scope : null);
  const difference = made ? Number(made.dataset.now) - Date.now() : 0;
  offset = Math.abs(difference) > SAME_TIME_MS ? difference : 0;
}

export function zone() {
  return document.querySelector("[data-zone]")?.dataset.zone ?? "utc";
}

export function localTimes(scope = document) {
  if (zone() !== "local") return;
  for (const element of scope.querySelectorAll("time[data-at]")) {
    const at = new Date(Number(element.dataset.at));
    const options = element.dataset.style === "second"
      ? { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }
      : { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hour12: false };
    element.textContent = new Intl.DateTimeFormat(navigator.language, options).format(at);
  }
}

function timing() {
  const place = document.querySelector("[data-answer]");
  const entry = performance.getEntriesByType("navigation")[0];
  if (!place || !entry) return;
  const parts = (entry.serverTiming ?? []).map((one) => `${one.description || one.name} ${one.duration.toFixed(1)} ms`);
  const network = entry.responseEnd - entry.requestStart;
  const kilobytes = (entry.encodedBodySize / 1024).toFixed(1);
  place.textContent = `This answer: server ${parts.join(", ") || "untimed"}; arrived in ${network.toFixed(0)} ms, ${kilobytes} KiB.`;
}

const PATIENCE_MS = 1000;

// The page is whole without its own scripts: they are fetched when its first picture is there, or will not be soon.
function afterFirstPicture(begin) {
  let begun = false;
  const once = () => {
    if (!begun) begin();
    begun = true;
  };
  const afterAnother = () => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(once)));
  if (document.hidden) once();
  else new PerformanceObserver(afterAnother).observe({ type: "paint", buffered: true });
  setTimeout(once, PATIENCE_MS);
}

function addScripts() {
  root.dataset.painted = "";
  const later = document.importNode(document.getElementById("later").content, true);
  for (const script of later.querySelectorAll("script")) script.async = false; // in the order in which they stand
  document.head.append(later);
}

themeToggle();
keepTime();
localTimes();
ages();
setInterval(ages, 1000);
afterFirstPicture(addScripts);
if (document.readyState === "complete") timing();
else addEventListener("load", () => setTimeout(timing));
