// Numbers as people read them. Everything is text; nothing here decides about colour.

const SI = ['', 'k', 'M', 'G', 'T'];

/** `8.2k`, `412`, `0.31` */
export function compact(n: number): string {
  if (!Number.isFinite(n)) return '–';
  const size = Math.abs(n);
  if (size === 0) return '0';
  if (size < 1) return n.toPrecision(2).replace(/0+$/, '').replace(/\.$/, '');
  let value = n;
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < SI.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const text = Math.abs(value) < 10 && (unit > 0 || !Number.isInteger(value)) ? value.toFixed(1) : value.toFixed(0);
  return text.replace(/\.0$/, '') + SI[unit];
}

/** `1,204` */
export function whole(n: number): string {
  return Math.round(n).toLocaleString('en-US');
}

/** `1.92s`, `80ms`, `312µs`: three digits at most. */
export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return '–';
  const size = Math.abs(ns);
  if (size < 1000) return `${Math.round(ns)}ns`;
  if (size < 1e6) return `${digits(ns / 1e3)}µs`;
  if (size < 1e9) return `${digits(ns / 1e6)}ms`;
  if (size < 60e9) return `${digits(ns / 1e9)}s`;
  return age(ns / 1e6);
}

function digits(n: number): string {
  const size = Math.abs(n);
  return size < 10 ? n.toFixed(2) : size < 100 ? n.toFixed(1) : n.toFixed(0);
}

/** `19m`, `2h 5m`, `3d 4h`: two units at most. */
export function age(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s}s`;
  const m = Math.floor(s / 60);
  if (m < 60) return s % 60 && m < 10 ? `${m}m ${s % 60}s` : `${m}m`;
  const h = Math.floor(m / 60);
  if (h < 24) return m % 60 ? `${h}h ${m % 60}m` : `${h}h`;
  const d = Math.floor(h / 24);
  return h % 24 ? `${d}d ${h % 24}h` : `${d}d`;
}

/** `4.1%`, `0.02%`, `0%` */
export function percent(ratio: number): string {
  if (!Number.isFinite(ratio)) return '–';
  const p = ratio * 100;
  if (p === 0) return '0%';
  return `${Math.abs(p) < 0.1 ? p.toFixed(2) : Math.abs(p) < 10 ? p.toFixed(1) : p.toFixed(0)}%`;
}

export function bytes(n: number): string {
  if (!Number.isFinite(n)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : digits(value)} ${units[unit]}`;
}

/** A sample's value: short, but never a false zero. */
export function sample(n: number): string {
  if (Number.isNaN(n)) return 'NaN';
  if (!Number.isFinite(n)) return n > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(n);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return n.toExponential(2);
  return String(Number(n.toPrecision(4)));
}

/** Control characters, and marks that turn the direction of text: what they do to a line is not what it says. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Stored text as it may be shown: hidden characters are named instead of obeyed, as the command line does. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (c) => `\\u{${c.charCodeAt(0).toString(16)}}`);
}

/** Nanoseconds since the epoch, as text because they do not fit a number, to milliseconds. */
export function nanosToMs(text: string): number {
  return Number(BigInt(text) / 1000n) / 1000;
}
