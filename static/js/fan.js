// The forecast fan: two bands, the median and the naive line, drawn on the chart ahead of the last closed candle.

export class Fan {
  constructor(forecast, colours) {
    this.colours = colours;
    const seconds = (ms) => ms / 1000;
    this.times = [seconds(forecast.last_open_time_ms), ...forecast.open_time_ms.map(seconds)];
    const start = forecast.quantiles.map(() => forecast.last_close);
    this.rows = [start, ...forecast.prices];
    this.naive = [forecast.last_close, ...forecast.naive];
    this.middle = Math.floor(forecast.quantiles.length / 2);
    const all = this.rows.flat();
    this.range = { minValue: Math.min(...all), maxValue: Math.max(...all) };
    this.view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) };
  }

  attached({ chart, series }) {
    this.chart = chart;
    this.series = series;
  }

  paneViews() {
    return [this.view];
  }

  autoscaleInfo(from, to) {
    const scale = this.chart.timeScale();
    const first = scale.timeToIndex(this.times[0], true);
    return first === null || to < first ? null : { priceRange: this.range };
  }

  draw(target) {
    const scale = this.chart.timeScale();
    const xs = this.times.map((time) => scale.timeToCoordinate(time));
    if (xs.some((x) => x === null)) return;
    const y = (price) => this.series.priceToCoordinate(price);
    target.useMediaCoordinateSpace(({ context }) => {
      const last = this.rows[0].length - 1;
      for (let layer = 0; layer < this.middle; layer += 1) {
        context.beginPath();
        xs.forEach((x, i) => context[i ? "lineTo" : "moveTo"](x, y(this.rows[i][last - layer])));
        for (let i = xs.length - 1; i >= 0; i -= 1) context.lineTo(xs[i], y(this.rows[i][layer]));
        context.closePath();
        context.globalAlpha = 0.13 + 0.11 * layer;
        context.fillStyle = this.colours.fan;
        context.fill();
      }
      context.globalAlpha = 1;
      this.line(context, xs, this.naive.map(y), this.colours.muted, 1, [4, 3]);
      this.line(context, xs, this.rows.map((row) => y(row[this.middle])), this.colours.fan, 2, []);
    });
  }

  line(context, xs, ys, colour, width, dash) {
    context.beginPath();
    context.setLineDash(dash);
    xs.forEach((x, i) => context[i ? "lineTo" : "moveTo"](x, ys[i]));
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.stroke();
    context.setLineDash([]);
  }
}
