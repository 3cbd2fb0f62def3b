// Which stretch of time the chart should ask for next: older candles, newer ones, or the same ones more exactly.

const MARGIN = 0.5;

// Whether what is drawn goes up to the newest candle.
export const reaches = (data) => data.open_time_ms.at(-1) + data.step_ms > data.newest_ms;

// `data` is what is drawn; `visible` the logical range looked at; `points` how many bars the screen can show.
export function wanted(data, visible, points) {
  const times = data.open_time_ms;
  if (!times.length || !visible) return null;
  const [first, last] = [times[0], times.at(-1)];
  const from = first + visible.from * data.step_ms;
  const to = Math.min(first + visible.to * data.step_ms, data.newest_ms);
  const width = Math.max(to - from, data.step_ms);
  const before = from < first && data.older;
  const after = to > last + data.step_ms && !reaches(data);
  const closer = data.each > 1 && width * data.each / data.step_ms <= points / 2.5;
  if (!before && !after && !closer) return null;
  return around(from - MARGIN * width, to + MARGIN * width, data);
}

// On a coarse grid, so that readers who look at about the same ask the same.
function around(from, to, data) {
  const grid = data.step_ms / data.each * 64;
  const span = { from: Math.max(1, Math.floor(from / grid) * grid) };
  if (to < data.newest_ms) span.to = Math.ceil(to / grid) * grid; // else up to the newest, whichever that will be
  return span;
}
