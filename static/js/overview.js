// The overview: rows filtered while typing, sorted without asking again, renewed while one looks.

import { ages, localTimes } from "./scripts.js";
import { swap, watch } from "./live.js";

const $ = globalThis.jQuery;
let sort = new URLSearchParams(location.search).get("sort") ?? "";
let search = $("#q").val() ?? "";

// Where the markets fill several pages, sorting and filtering are the server's: links and the form do what they say.
const paged = () => Number(document.getElementById("overview")?.dataset.pages) > 1;

function filter() {
  if (paged()) return;
  const wanted = search.trim().toUpperCase();
  const $rows = $("#markets tbody tr");
  $rows.each((_, row) => { row.hidden = !row.dataset.symbol.includes(wanted); });
  $("#shown [data-shown]").text($rows.get().filter((row) => !row.hidden).length);
}

function valueOf(row, key) {
  if (key === "symbol") return row.dataset.symbol;
  const text = $(row).find(`.c-${key}`).attr("data-value");
  return text === undefined || text === "" ? null : (key === "age" ? -Number(text) : Number(text));
}

function order() {
  if (paged()) return;
  const key = sort.replace(/^-/, "");
  if (!key) return;
  const turn = sort.startsWith("-") ? -1 : 1;
  const rows = $("#markets tbody tr").get();
  rows.sort((a, b) => {
    const [x, y] = [valueOf(a, key), valueOf(b, key)];
    if (x === null || y === null) return (x === null) - (y === null);
    return turn * (x < y ? -1 : x > y ? 1 : 0);
  });
  $("#markets tbody").append(rows);
  $("#markets thead th").each((_, head) => {
    const $link = $(head).find("[data-sort]");
    $link.find(".arrow").remove();
    head.removeAttribute("aria-sort");
    if ($link.data("sort") !== key) return;
    head.setAttribute("aria-sort", turn < 0 ? "descending" : "ascending");
    $("<span>", { class: "arrow", "aria-hidden": "true", text: turn < 0 ? "▾" : "▴" }).appendTo($link);
  });
}

function remember() {
  const address = new URL(location.href);
  if (sort) address.searchParams.set("sort", sort); else address.searchParams.delete("sort");
  if (search) address.searchParams.set("q", search); else address.searchParams.delete("q");
  history.replaceState(null, "", address);
}

$(document).on("click", "#markets thead a[data-sort]", function (event) {
  if (event.metaKey || event.ctrlKey || event.shiftKey || paged()) return;
  event.preventDefault();
  const key = $(this).data("sort");
  const first = key === "symbol" || key === "age" ? key : `-${key}`;
  sort = sort.replace(/^-/, "") !== key ? first : sort.startsWith("-") ? key : `-${key}`;
  order();
  remember();
});

$("#q").on("input", function () {
  if (paged()) return;
  search = this.value;
  filter();
  remember();
});

function address() {
  const overview = document.getElementById("overview");
  const url = new URL(overview.dataset.liveUrl, location.href);
  if (!paged()) url.searchParams.delete("q");
  url.searchParams.set("version", overview.dataset.version);
  return url;
}

// A page that the server filtered holds only some rows: typing on asks it for all of them once.
if (search) $("#q").one("input", () => { document.getElementById("overview").dataset.version = ""; });

watch(address, (fragment) => {
  if (!swap(fragment, "overview")) return;
  filter();
  order();
  const overview = document.getElementById("overview");
  localTimes(overview);
  ages(overview);
});
