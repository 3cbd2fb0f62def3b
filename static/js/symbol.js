// The page of one market: draws the chart when the browser is idle, then keeps everything up to date.

import { ages, localTimes, zone } from "./scripts.js";
import { swap, watch } from "./live.js";

const element = document.getElementById("chart");
const form = document.querySelector("[data-curves]");
let chart = null;
let chartUrl = element.dataset.chartUrl;
let asked = 0;

// The stretch of time that was last asked for; none: the newest candles, one by one.
let span = null;

function spanUrl() {
  if (!span) return chartUrl;
  const url = new URL(chartUrl, location.href);
  for (const [name, value] of Object.entries({ ...span, points: chart.room() })) url.searchParams.set(name, value);
  return url;
}

async function load() {
  const mine = asked += 1;
  const answer = await fetch(spanUrl(), { cache: "no-cache", headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`chart data: status ${answer.status}`);
  const data = await answer.json();
  if (mine === asked) chart.show({ ...data, forming: formingBar() });
}

// The candle that forms comes with the page and its news, not with the chart's data, which keep until a close.
function formingBar() {
  const { bar } = document.getElementById("quote").dataset;
  return bar ? JSON.parse(bar) : null;
}

async function start() {
  if (!element.dataset.module) return;
  const [library, { MarketChart }] = await Promise.all([import(element.dataset.module), import("./chart.js")]);
  chart = new MarketChart(library, element, zone());
  await load();
  chart.onWanted = (wanted) => {
    if (span && wanted && span.from === wanted.from && span.to === wanted.to) return;
    span = wanted;
    chart.toNewest = !wanted;
    load().catch(() => {}).finally(() => { chart.toNewest = false; });
  };
  element.tabIndex = 0;
  element.setAttribute("role", "application");
  element.setAttribute("aria-label", `Chart of ${element.dataset.symbol}. Arrow keys move, plus and minus zoom, End shows the newest. All values are in the tables below.`);
  element.addEventListener("keydown", (event) => chart.key(event));
  document.addEventListener("themechange", () => chart.restyle());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.restyle());
}

// Without the chart its first picture stays, which is whole in itself.
const begin = () => start().catch((error) => { element.dataset.problem = error.message; });
if ("requestIdleCallback" in window) requestIdleCallback(begin, { timeout: 400 });
else setTimeout(begin, 50);

function curvesChanged() {
  const chosen = new FormData(form).getAll("show");
  const url = new URL(chartUrl, location.href);
  url.searchParams.delete("show");
  for (const id of chosen) url.searchParams.append("show", id);
  chartUrl = url.pathname + url.search;
  const page = new URL(location.href);
  page.searchParams.delete("show");
  for (const id of chosen) page.searchParams.append("show", id);
  history.replaceState(null, "", page);
  document.querySelector(".curves .count").textContent = chosen.filter((id) => id !== "none").length;
  if (chart) load().catch(() => {});
}

if (form) {
  form.addEventListener("change", curvesChanged);
  form.querySelector("button").hidden = true;
  const menu = form.closest("details");
  document.addEventListener("click", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

function address() {
  const url = new URL(document.getElementById("symbol").dataset.liveUrl, location.href);
  url.searchParams.set("version", document.getElementById("quote").dataset.version);
  return url;
}

function flash(before) {
  const place = document.querySelector("[data-price]");
  const after = Number(place.dataset.price);
  if (after === before) return;
  place.classList.add(after > before ? "up" : "down");
  setTimeout(() => place.classList.remove("up", "down"), 900);
}

watch(address, async (fragment) => {
  const before = document.getElementById("quote").dataset;
  const [lastOpen, price] = [before.lastOpen, Number(document.querySelector("[data-price]").dataset.price)];
  swap(fragment, "quote");
  const quote = document.getElementById("quote");
  localTimes(quote);
  ages(quote);
  flash(price);
  document.title = document.title.replace(/ [^ ]+ · /, ` ${document.querySelector("[data-price]").textContent} · `);
  if (quote.dataset.lastOpen !== lastOpen) {
    swap(fragment, "rail");
    swap(fragment, "readings");
    localTimes();
    if (chart) await load();
  } else if (chart && formingBar()) {
    chart.form(formingBar());
  }
});
