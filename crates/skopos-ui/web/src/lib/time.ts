// Windows of time: how they stand in the URL, how they become instants, how they are shown.
// Milliseconds since the epoch everywhere, except where a name says nanoseconds.

/** Shorter windows for a store that is younger than the usual one. */
const YOUNG_MS = [5, 15, 30].map((minutes) => minutes * 60_000);

/** `1h` back from now, or two fixed instants. */
export type TimeRange = { kind: 'relative'; ms: number } | { kind: 'absolute'; from: number; to: number };

export interface Window {
  from: number;
  to: number;
}

export const DEFAULT_RANGE: TimeRange = { kind: 'relative', ms: 3_600_000 };

/** What is shown when nothing is chosen: an hour, or the shortest window that holds all of a younger store. */
export function usualRange(age: number | null): TimeRange {
  return age === null ? DEFAULT_RANGE : { kind: 'relative', ms: YOUNG_MS.find((ms) => ms >= age) ?? 3_600_000 };
}

const UNITS: Record<string, number> = {
  ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000,
};

/** Reads `90s`, `1h30m`, `2d`; null for anything else, and for nothing at all. */
export function parseDuration(text: string): number | null {
  let rest = text.trim();
  let total = 0;
  while (rest !== '') {
    const part = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/.exec(rest);
    if (!part) return null;
    total += Number(part[1]) * (UNITS[part[2]!] ?? 0);
    rest = rest.slice(part[0].length);
  }
  return total > 0 && Number.isFinite(total) ? total : null;
}

/** The shortest exact notation with whole units: `1h30m`, `90s` becomes `1m30s`. */
export function durationText(ms: number): string {
  let rest = Math.round(ms);
  let out = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = UNITS[unit]!;
    const count = Math.floor(rest / size);
    if (count > 0) {
      out += `${count}${unit}`;
      rest -= count * size;
    }
  }
  return out || '0s';
}

export function parseRange(text: string): TimeRange | null {
  const fixed = /^(-?\d+)\.\.(-?\d+)$/.exec(text);
  if (fixed) {
    const from = Number(fixed[1]);
    const to = Number(fixed[2]);
    const safe = Number.isSafeInteger(from) && Number.isSafeInteger(to);
    return safe && from < to ? { kind: 'absolute', from, to } : null;
  }
  const ms = parseDuration(text);
  return ms === null ? null : { kind: 'relative', ms };
}

export function rangeText(range: TimeRange): string {
  return range.kind === 'relative' ? durationText(range.ms) : `${range.from}..${range.to}`;
}

export function resolve(range: TimeRange, now: number): Window {
  return range.kind === 'relative' ? { from: now - range.ms, to: now } : { from: range.from, to: range.to };
}

/** Moves by a share of the length: -0.5 is half a window back. */
export function shift(window: Window, share: number): Window {
  const by = Math.round((window.to - window.from) * share);
  return { from: window.from + by, to: window.to + by };
}

/** Keeps the middle: 2 shows twice as much. Never shorter than a second. */
export function zoom(window: Window, factor: number): Window {
  const middle = (window.from + window.to) / 2;
  const half = Math.max(500, ((window.to - window.from) / 2) * factor);
  return { from: Math.round(middle - half), to: Math.round(middle + half) };
}

/** A parameter of the API: Unix seconds. */
export function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

/** A step for about `points` points over the window, rounded up to a pleasant number of seconds. */
export function stepSeconds(window: Window, points: number): number {
  const wanted = (window.to - window.from) / 1000 / points;
  const pleasant = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400];
  return pleasant.find((step) => step >= wanted) ?? Math.ceil(wanted / 86_400) * 86_400;
}

export type Zone = 'local' | 'utc';

interface Fields {
  year: number; month: number; day: number; hour: number; minute: number; second: number; ms: number;
}

function fields(ms: number, zone: Zone): Fields {
  const d = new Date(ms);
  return zone === 'utc'
    ? { year: d.getUTCFullYear(), month: d.getUTCMonth() + 1, day: d.getUTCDate(), hour: d.getUTCHours(), minute: d.getUTCMinutes(), second: d.getUTCSeconds(), ms: d.getUTCMilliseconds() }
    : { year: d.getFullYear(), month: d.getMonth() + 1, day: d.getDate(), hour: d.getHours(), minute: d.getMinutes(), second: d.getSeconds(), ms: d.getMilliseconds() };
}

const two = (n: number): string => String(n).padStart(2, '0');

/** `14:02:07.430` */
export function clock(ms: number, zone: Zone, millis = true): string {
  const f = fields(ms, zone);
  const base = `${two(f.hour)}:${two(f.minute)}:${two(f.second)}`;
  return millis ? `${base}.${String(f.ms).padStart(3, '0')}` : base;
}

/** `14:02` */
export function hourMinute(ms: number, zone: Zone): string {
  const f = fields(ms, zone);
  return `${two(f.hour)}:${two(f.minute)}`;
}

/** `2026-11-22 14:02:07` */
export function dateTime(ms: number, zone: Zone, millis = false): string {
  const f = fields(ms, zone);
  return `${f.year}-${two(f.month)}-${two(f.day)} ${clock(ms, zone, millis)}`;
}

/** `14:02–14:21`, with dates where the days differ. */
export function windowText(window: Window, zone: Zone): string {
  const [a, b] = [fields(window.from, zone), fields(window.to, zone)];
  const short = window.to - window.from < 10 * 60_000;
  const time = (ms: number): string => (short ? clock(ms, zone, false) : hourMinute(ms, zone));
  const sameDay = a.year === b.year && a.month === b.month && a.day === b.day;
  const day = (f: Fields): string => `${f.year}-${two(f.month)}-${two(f.day)} `;
  return `${sameDay ? '' : day(a)}${time(window.from)}–${sameDay ? '' : day(b)}${time(window.to)}`;
}

/** As `windowText`, with its day where that is not today's: for windows of which it is not plain when they were. */
export function datedWindow(window: Window, zone: Zone, now: number): string {
  const text = windowText(window, zone);
  const [day, today] = [dateTime(window.from, zone), dateTime(now, zone)].map((at) => at.slice(0, 10));
  return day === today || text.startsWith(day!) ? text : `${day!.slice(0, 4) === today!.slice(0, 4) ? day!.slice(5) : day} ${text}`;
}

/** What a person types: `now-1h`, `2026-11-22 14:02`, `14:02:10`; null when it is no time. */
export function parseInstant(text: string, now: number, zone: Zone): number | null {
  const trimmed = text.trim();
  if (trimmed === 'now') return now;
  const back = /^now\s*-\s*(.+)$/.exec(trimmed);
  if (back) {
    const ms = parseDuration(back[1]!);
    return ms === null ? null : now - ms;
  }
  if (/^\d{12,}$/.test(trimmed)) return Number(trimmed);
  const part = /^(?:(\d{4})-(\d\d)-(\d\d)[ T])?(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?(Z)?$/.exec(trimmed);
  if (!part) return null;
  const today = fields(now, zone);
  const number = (i: number, fallback: number): number => (part[i] === undefined ? fallback : Number(part[i]));
  const args = [
    number(1, today.year), number(2, today.month) - 1, number(3, today.day),
    number(4, 0), number(5, 0), number(6, 0), Number((part[7] ?? '0').padEnd(3, '0')),
  ] as const;
  return part[8] || zone === 'utc' ? Date.UTC(...args) : new Date(...args).getTime();
}
