// The time axis in the reader's own time: ticks lie on local hours, days and months, summer time included. The data
// stay in UTC; only how much each moment weighs among the ticks follows the local clock.

const YEAR = 70, MONTH = 60, DAY = 50;
const STEPS = [[43200, 33], [21600, 32], [10800, 31], [3600, 30], [1800, 22], [300, 21], [60, 20], [1, 10]];

const ahead = (seconds) => -60 * new Date(seconds * 1000).getTimezoneOffset();

// As a clock on the wall shows it, in a Date whose UTC fields are the local ones.
const wall = (seconds) => new Date((seconds + ahead(seconds)) * 1000);

function weight(now, before) {
  if (now.getUTCFullYear() !== before.getUTCFullYear()) return YEAR;
  if (now.getUTCMonth() !== before.getUTCMonth()) return MONTH;
  if (now.getUTCDate() !== before.getUTCDate()) return DAY;
  for (const [step, value] of STEPS) {
    if (Math.floor(now / 1000 / step) !== Math.floor(before / 1000 / step)) return value;
  }
  return 0;
}

export function localAxis(library) {
  const Base = library.defaultHorzScaleBehavior();
  return new (class extends Base {
    fillWeightsForPoints(points, from) {
      if (!points.length) return;
      const step = points.length > 1 ? points[1].originalTime - points[0].originalTime : 1;
      let before = wall(from ? points[from - 1].originalTime : points[0].originalTime - step);
      for (let i = from; i < points.length; i += 1) {
        const now = wall(points[i].originalTime);
        points[i].timeWeight = weight(now, before);
        before = now;
      }
    }
  })();
}
