// The state of a view, all of which is in the URL. Path says what, the query says where, when and how.
// `parse` and `serialize` are inverses, and keys that this version does not know survive both.

import { parseRange, rangeText, type TimeRange } from './time';

/** One firing of one alert: rule, fingerprint of the labels, and when it became active (ms). */
export interface IncidentRef {
  rule: string;
  fingerprint: string;
  start: number;
}

export interface View {
  path: string;
  /** The window; null stands for the default. */
  t: TimeRange | null;
  /** The filter, one language for logs and spans. */
  q: string;
  /** The pinned incident; it survives every navigation until it is dismissed. */
  inc: IncidentRef | null;
  /** The opened log record or span. */
  sel: string;
  /** Search inside a trace. */
  find: string;
  /** The zoomed part of a trace in nanoseconds from its start: `0..1500000`. */
  z: [number, number] | null;
  sort: string;
  viz: string;
  tz: 'utc' | '';
  /** PromQL expressions. */
  expr: string[];
  /** Everything else, in order. */
  rest: [string, string][];
}

export const EMPTY: View = {
  path: '/', t: null, q: '', inc: null, sel: '', find: '', z: null, sort: '', viz: '', tz: '', expr: [], rest: [],
};

export function parseIncident(text: string): IncidentRef | null {
  const parts = text.split('/');
  if (parts.length !== 3) return null;
  const start = Number(parts[2]);
  const fingerprint = parts[1]!;
  if (!/^[0-9a-f]{16}$/.test(fingerprint) || !Number.isSafeInteger(start) || start < 0) return null;
  if (String(start) !== parts[2]) return null;
  try {
    const rule = decodeURIComponent(parts[0]!);
    return rule === '' ? null : { rule, fingerprint, start };
  } catch {
    return null;
  }
}

export function incidentText(inc: IncidentRef): string {
  return `${encodeURIComponent(inc.rule)}/${inc.fingerprint}/${inc.start}`;
}

function parseZoom(text: string): [number, number] | null {
  const part = /^(\d+)\.\.(\d+)$/.exec(text);
  if (!part) return null;
  const [a, b] = [Number(part[1]), Number(part[2])];
  return Number.isSafeInteger(a) && Number.isSafeInteger(b) && a < b && `${a}..${b}` === text ? [a, b] : null;
}

/** Reads a path with its query. A value that is not understood is kept as an unknown key. */
export function parse(url: string): View {
  const [path = '/', query = ''] = split(url);
  const view: View = { ...EMPTY, path: path || '/', expr: [], rest: [] };
  for (const [key, value] of new URLSearchParams(query)) {
    if (!take(view, key, value)) view.rest.push([key, value]);
  }
  return view;
}

function split(url: string): [string, string] {
  const end = url.indexOf('#');
  const whole = end < 0 ? url : url.slice(0, end);
  const at = whole.indexOf('?');
  return at < 0 ? [whole, ''] : [whole.slice(0, at), whole.slice(at + 1)];
}

const TEXTS = ['q', 'sel', 'find', 'sort', 'viz'] as const;

function take(view: View, key: string, value: string): boolean {
  if (value === '') return false;
  for (const name of TEXTS) {
    if (key === name && view[name] === '') {
      view[name] = value;
      return true;
    }
  }
  switch (key) {
    case 't': {
      const range = parseRange(value);
      if (!range || view.t || rangeText(range) !== value) return false;
      view.t = range;
      return true;
    }
    case 'inc': {
      const inc = parseIncident(value);
      if (!inc || view.inc) return false;
      view.inc = inc;
      return true;
    }
    case 'z': {
      const zoom = parseZoom(value);
      if (!zoom || view.z) return false;
      view.z = zoom;
      return true;
    }
    case 'tz':
      if (value !== 'utc' || view.tz) return false;
      view.tz = 'utc';
      return true;
    case 'expr':
      view.expr.push(value);
      return true;
    default:
      return false;
  }
}

export function serialize(view: View): string {
  const query = new URLSearchParams();
  if (view.t) query.append('t', rangeText(view.t));
  if (view.q) query.append('q', view.q);
  if (view.inc) query.append('inc', incidentText(view.inc));
  if (view.sel) query.append('sel', view.sel);
  if (view.find) query.append('find', view.find);
  if (view.z) query.append('z', `${view.z[0]}..${view.z[1]}`);
  if (view.sort) query.append('sort', view.sort);
  if (view.viz) query.append('viz', view.viz);
  if (view.tz) query.append('tz', view.tz);
  for (const expr of view.expr) query.append('expr', expr);
  for (const [key, value] of view.rest) query.append(key, value);
  // Colons, slashes, commas and dots read better as they are, and are legal in a query.
  const text = query.toString().replace(/%2F/g, '/').replace(/%3A/g, ':').replace(/%2C/g, ',');
  return text === '' ? view.path : `${view.path}?${text}`;
}

/** The address of another screen: window, zone and incident go along, everything else only when it is named. */
export function follow(from: View, path: string, patch: Partial<View> = {}): string {
  return serialize({ ...EMPTY, path, t: from.t, tz: from.tz, inc: from.inc, ...patch });
}

/** The parts of a path, decoded: `/alerts/High%20load/…` has `alerts`, `High load`, …. */
export function segments(path: string): string[] {
  return path.split('/').filter((part) => part !== '').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}
