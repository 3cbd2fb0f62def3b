// The chart of one market: candles, volume, overlays, oscillator panes, the forecast fan, and a legend at the cursor.

import { Fan } from "./fan.js";
import { localAxis } from "./local_axis.js";
import { reaches, wanted } from "./span.js";

const VISIBLE = { wide: 130, narrow: 48 };
const GUIDES = {
  rsi: [30, 70], mfi: [20, 80], stochastic: [20, 80], williams: [-80, -20], cci: [-100, 100],
  adx: [25], macd: [0], roc: [0], trix: [0], volume_zscore: [0], bollinger_percent: [0, 1],
};
const NAMES = ["card", "ink", "muted", "line-soft", "line", "rise", "fall", "fan", "accent", "raised",
  "curve-1", "curve-2", "curve-3", "curve-4", "curve-5", "curve-6"];

// Custom properties hold light-dark(); only a computed colour is one that a canvas knows.
function palette() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const colours = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

const faded = (colour, alpha) => colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
const seconds = (ms) => ms / 1000;

function timeTexts(zone) {
  const timeZone = zone === "local" ? undefined : "UTC";
  const make = (options) => new Intl.DateTimeFormat("en-GB", { timeZone, hour12: false, ...options });
  const full = make({ day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const byType = [
    make({ year: "numeric" }), make({ month: "short" }), make({ day: "numeric", month: "short" }),
    make({ hour: "2-digit", minute: "2-digit" }), make({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  ];
  return {
    full: (time) => full.format(new Date(time * 1000)),
    tick: (time, type) => byType[type].format(new Date(time * 1000)),
  };
}

function paneLegend() {
  const legend = document.createElement("div");
  legend.className = "legend pane-legend";
  legend.setAttribute("aria-hidden", "true");
  return legend;
}

export class MarketChart {
  constructor(library, element, zone) {
    this.library = library;
    this.element = element;
    this.legend = element.querySelector(".legend");
    this.texts = timeTexts(zone);
    this.colours = palette();
    this.box = document.createElement("div");
    this.box.className = "canvas";
    element.append(this.box);
    const options = { autoSize: true, ...this.look() };
    this.chart = zone === "local"
      ? library.createChartEx(this.box, localAxis(library), options)
      : library.createChart(this.box, options);
    this.chart.subscribeCrosshairMove((move) => this.tell(move.time));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => this.looked(range));
    this.series = [];
    this.paneLegends = [];
  }

  look() {
    const colours = this.colours;
    const font = getComputedStyle(document.body).fontFamily;
    return {
      layout: {
        background: { type: "solid", color: colours.card }, textColor: colours.muted, fontSize: 11, fontFamily: font,
        attributionLogo: false, panes: { separatorColor: colours.line, separatorHoverColor: colours.raised },
      },
      grid: { vertLines: { color: colours["line-soft"] }, horzLines: { color: colours["line-soft"] } },
      crosshair: {
        mode: 0,
        vertLine: { color: colours.muted, labelBackgroundColor: colours.muted },
        horzLine: { color: colours.muted, labelBackgroundColor: colours.muted },
      },
      rightPriceScale: { borderColor: colours.line, minimumWidth: 76, entireTextOnly: true },
      timeScale: {
        borderColor: colours.line, timeVisible: true, secondsVisible: false, rightOffset: 2, minBarSpacing: 1.5,
        tickMarkFormatter: (time, type) => this.texts.tick(time, type),
      },
      localization: { dateFormat: "dd MMM 'yy", timeFormatter: (time) => this.texts.full(time) },
      handleScroll: { vertTouchDrag: false },
    };
  }

  // Everything anew; the part of time that is looked at stays, except at first.
  show(data) {
    const scale = this.chart.timeScale();
    const range = this.data && this.data.symbol === data.symbol ? this.visible() : null;
    this.busy = true;
    this.clear();
    this.data = data;
    this.afterHole = new Set(data.holes.map(([, to]) => to));
    this.index = new Map(data.open_time_ms.map((ms, i) => [seconds(ms), i]));
    this.addCandles(data);
    const panes = data.curves.filter((curve) => !curve.overlay);
    let colour = 0;
    for (const curve of data.curves.filter((one) => one.overlay)) colour = this.addCurve(curve, 0, colour);
    panes.forEach((curve, i) => this.addCurve(curve, i + 1, 0));
    this.addFuture(data);
    this.shareHeights(panes.length);
    if (range && !this.toNewest) scale.setVisibleLogicalRange(this.logical(range));
    else this.showNewest();
    this.busy = false;
    this.element.classList.add("drawn");
    this.placeLegends(panes);
    this.tell();
  }

  // The part of time that is looked at, in milliseconds, also beyond what is drawn; and back.
  visible() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const { open_time_ms: times, step_ms } = this.data;
    if (!range || !times.length) return null;
    const place = (at) => {
      const i = Math.round(at);
      return i in times ? times[i] + (at - i) * step_ms : i < 0 ? times[0] + at * step_ms : times.at(-1) + (at - times.length + 1) * step_ms;
    };
    return { from: place(range.from), to: place(range.to) };
  }

  logical({ from, to }) {
    const { open_time_ms: times, step_ms } = this.data;
    const place = (ms) => {
      if (ms <= times[0]) return (ms - times[0]) / step_ms;
      if (ms >= times.at(-1)) return times.length - 1 + (ms - times.at(-1)) / step_ms;
      const i = times.findIndex((time) => time > ms) - 1;
      return i + (ms - times[i]) / step_ms;
    };
    return { from: place(from), to: place(to) };
  }

  // Somebody moved or zoomed: a moment later whoever draws is asked for what is missing to it.
  looked(range) {
    if (this.busy || !this.data || !this.onWanted) return;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const span = wanted(this.data, range, this.room());
      if (span) this.onWanted(span);
    }, 150);
  }

  // How many bars there is room for at their narrowest.
  room() {
    return Math.max(400, Math.min(2000, Math.ceil(this.box.clientWidth / 1.5)));
  }

  clear() {
    for (const series of this.series) this.chart.removeSeries(series);
    for (let i = this.chart.panes().length - 1; i > 0; i -= 1) this.chart.removePane(i);
    this.series = [];
    this.curves = [];
  }

  add(type, options, pane = 0) {
    const series = this.chart.addSeries(this.library[type], options, pane);
    this.series.push(series);
    return series;
  }

  addCandles(data) {
    const colours = this.colours;
    const format = this.priceFormat();
    this.volume = this.add("HistogramSeries", {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.candles = this.add("CandlestickSeries", {
      upColor: colours.card, borderUpColor: colours.rise, wickUpColor: colours.rise,
      downColor: colours.fall, borderDownColor: colours.fall, wickDownColor: colours.fall,
      priceFormat: format, priceLineColor: colours.muted,
    });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0.2 } });
    const bars = data.open_time_ms.map((ms, i) => ({
      time: seconds(ms), open: data.open[i], high: data.high[i], low: data.low[i], close: data.close[i],
    }));
    const holes = this.holes(data);
    this.candles.setData([...bars, ...holes].sort((a, b) => a.time - b.time));
    this.volume.setData(bars.map((bar, i) => ({
      time: bar.time, value: data.volume[i], color: faded(bar.close >= bar.open ? colours.rise : colours.fall, 0.32),
    })));
    const { forming } = data;
    data.forming = null;
    if (forming) this.form(forming);
  }

  // A hole is time without a candle: one empty place for each candle that is missing.
  holes(data) {
    const places = [];
    for (const [from, to] of data.holes) {
      for (let ms = from; ms < to && places.length < 2000; ms += data.step_ms) places.push({ time: seconds(ms) });
    }
    return places;
  }

  // The candle that has not closed: grey and see-through, whatever its direction.
  form([ms, open, high, low, close, volume]) {
    if (!this.candles || ms <= this.data.open_time_ms.at(-1) || !reaches(this.data)) return;
    const { muted, raised } = this.colours;
    this.data.forming = [ms, open, high, low, close, volume];
    this.candles.update({ time: seconds(ms), open, high, low, close, color: raised, borderColor: muted, wickColor: muted });
    this.volume.update({ time: seconds(ms), value: volume, color: faded(muted, 0.3) });
    this.tell();
  }

  addCurve(curve, pane, colour) {
    const drawn = [];
    const many = pane > 0 || curve.lines.length > 3;
    curve.lines.forEach((line, i) => {
      const own = this.colours[`curve-${((many ? colour + i : colour) % 6) + 1}`];
      const histogram = line.name.includes("histogram");
      const dots = line.name === "psar";
      const series = this.add(histogram ? "HistogramSeries" : "LineSeries", {
        color: own, lineWidth: 1, lastValueVisible: pane > 0 && i === 0, priceLineVisible: false,
        crosshairMarkerVisible: false, lineVisible: !dots, pointMarkersVisible: dots, pointMarkersRadius: 1.5,
        lineStyle: pane === 0 && line.name.includes("middle") ? 2 : 0,
        priceFormat: this.format(line.values, curve.overlay),
      }, pane);
      series.setData(this.points(line, histogram));
      if (pane && i === 0) this.guides(series, curve.id);
      drawn.push({ name: line.name, series, colour: own, values: line.values });
    });
    this.curves.push({ ...curve, pane, drawn });
    return colour + (many ? curve.lines.length : 1);
  }

  priceFormat() {
    const { decimals } = this.data;
    const text = new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    return { type: "custom", minMove: 10 ** -decimals, formatter: (price) => text.format(price) };
  }

  format(values, overlay) {
    if (overlay) return this.priceFormat();
    const largest = Math.max(0, ...values.filter((value) => value !== null).map(Math.abs));
    if (largest > 100000) return { type: "volume" };
    const precision = largest >= 10 || largest === 0 ? 2 : Math.min(8, Math.max(2, 2 - Math.floor(Math.log10(largest))));
    return { type: "price", precision, minMove: 10 ** -precision };
  }

  points(line, histogram) {
    const { rise, fall } = this.colours;
    return this.data.open_time_ms.map((ms, i) => {
      const value = line.values[i];
      if (value === null) return { time: seconds(ms) };
      // A piece of line has the colour of the point it starts from: from the last one before a hole it is not seen.
      if (this.afterHole.has(this.data.open_time_ms[i + 1]) && !histogram) return { time: seconds(ms), value, color: "transparent" };
      return histogram ? { time: seconds(ms), value, color: faded(value >= 0 ? rise : fall, 0.6) } : { time: seconds(ms), value };
    });
  }

  guides(series, id) {
    for (const price of GUIDES[id] ?? []) {
      series.createPriceLine({ price, color: faded(this.colours.muted, 0.55), lineWidth: 1, lineStyle: 1, axisLabelVisible: false });
    }
  }

  // Room ahead of the last candle, and the fan in it.
  addFuture(data) {
    if (!reaches(data)) return;
    const future = this.add("LineSeries", { lastValueVisible: false, priceLineVisible: false });
    const last = data.open_time_ms.at(-1);
    const times = data.forecast?.ahead_open_time_ms ?? [];
    future.setData(times.filter((ms) => ms > last).map((ms) => ({ time: seconds(ms) })));
    if (data.forecast) this.candles.attachPrimitive(new Fan(data.forecast, this.colours));
  }

  shareHeights(count) {
    const panes = this.chart.panes();
    panes[0].setStretchFactor(count > 2 ? 2 : 3);
    for (const pane of panes.slice(1)) pane.setStretchFactor(1);
  }

  showNewest() {
    const count = this.data.open_time_ms.length;
    const visible = this.element.clientWidth < 600 ? VISIBLE.narrow : VISIBLE.wide;
    const ahead = (this.data.forecast?.ahead_open_time_ms.length ?? 2) + 1;
    this.chart.timeScale().setVisibleLogicalRange({ from: count - visible, to: count + ahead });
  }

  placeLegends(panes) {
    for (const legend of this.paneLegends.slice(panes.length)) legend.remove();
    this.paneLegends = panes.map((_, i) => this.paneLegends[i] ?? paneLegend());
    // A legend comes into the page where it belongs: one that moved there afterwards would be a shift of the layout.
    const place = () => {
      const top = this.element.getBoundingClientRect().top;
      this.chart.panes().slice(1).forEach((pane, i) => {
        const row = pane.getHTMLElement();
        const legend = this.paneLegends[i];
        if (!row || !legend) return;
        legend.style.top = `${row.getBoundingClientRect().top - top + 4}px`;
        if (!legend.isConnected) this.element.append(legend);
      });
    };
    requestAnimationFrame(() => requestAnimationFrame(place));
    this.observer?.disconnect();
    this.observer = new ResizeObserver(place);
    this.observer.observe(this.box);
  }

  // The values under the cursor, or the newest.
  tell(time) {
    if (!this.data) return;
    const number = new Intl.NumberFormat("en-US", { minimumFractionDigits: this.data.decimals, maximumFractionDigits: this.data.decimals });
    const bar = this.barAt(time);
    if (!bar) return;
    const parts = [["", this.texts.full(seconds(bar.row[0])) + (bar.forming ? ", forming" : "")]];
    ["O", "H", "L", "C"].forEach((name, i) => parts.push([name, number.format(bar.row[i + 1])]));
    parts.push(["V", new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 }).format(bar.row[5])]);
    this.write(this.legend, parts.map(([name, text]) => ({ name, text })));
    const overlays = this.curves.filter((curve) => curve.pane === 0);
    this.write(this.legend, overlays.flatMap((curve) => this.entries(curve, bar.i, number)), true);
    this.curves.filter((curve) => curve.pane > 0).forEach((curve, i) => {
      if (this.paneLegends[i]) this.write(this.paneLegends[i], this.entries(curve, bar.i, null));
    });
  }

  entries(curve, i, number) {
    return curve.drawn.map((line, nth) => {
      const value = line.values[i];
      const text = value === null || value === undefined ? "–" : number ? number.format(value) : Number(value.toPrecision(5)).toLocaleString("en-US");
      return { name: curve.title, text, colour: line.colour, quiet: nth > 0 && line.colour === curve.drawn[0].colour, named: nth === 0 };
    });
  }

  barAt(time) {
    const { data } = this;
    const last = data.open_time_ms.length - 1;
    if (data.forming && (time === undefined || time === seconds(data.forming[0]))) return { row: data.forming, i: last, forming: true };
    const i = time === undefined ? last : this.index.get(time);
    if (i === undefined) return null;
    return { row: [data.open_time_ms[i], data.open[i], data.high[i], data.low[i], data.close[i], data.volume[i]], i, forming: false };
  }

  write(place, entries, more = false) {
    if (!more) place.replaceChildren();
    for (const { name, text, colour, quiet, named = true } of entries) {
      const item = document.createElement("span");
      if (more) item.className = "curve";
      if (colour) {
        const swatch = document.createElement("span");
        swatch.className = "swatch";
        swatch.style.background = colour;
        if (!quiet) item.append(swatch);
      }
      if (name && named) item.append(`${name} `);
      const value = document.createElement("b");
      value.textContent = text;
      item.append(value);
      place.append(item);
    }
  }

  // Arrow keys move, plus and minus zoom, End returns to the newest candle.
  key(event) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const width = range.to - range.from;
    const moves = {
      ArrowLeft: [-0.1, -0.1], ArrowRight: [0.1, 0.1], "+": [0.1, 0], "=": [0.1, 0], "-": [-0.1, 0],
    };
    if (event.key === "End" && this.onWanted && !reaches(this.data)) this.onWanted(null);
    else if (event.key === "End") this.showNewest();
    else if (moves[event.key]) {
      const [from, to] = moves[event.key];
      scale.setVisibleLogicalRange({ from: range.from + from * width, to: range.to + to * width });
    } else return;
    event.preventDefault();
  }

  restyle() {
    this.colours = palette();
    this.chart.applyOptions(this.look());
    if (this.data) this.show(this.data);
  }
}
