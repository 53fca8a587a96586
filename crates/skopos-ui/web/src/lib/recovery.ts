// Whether the metric of an alert has recovered: what it was before, at its worst and is now, against its threshold. Values
// are told in the unit that the rule itself tells them in. An alert that is over because nothing is measured any more has
// not recovered, and is said not to have.

import type { Columns } from '../api/prometheus';
import { bare, type Threshold } from './alerts';
import type { Phase } from './incident';
import { age, bytes, duration, sample } from './format';
import { LINE } from './lines';
import { clock, hourMinute, type Window, type Zone } from './time';

// ---- units and words ----

/** `times`: of its threshold, where several conditions must hold at once. */
export type Unit = 'share' | 'seconds' | 'bytes' | 'plain' | 'times';

/** The unit of what an expression gives: as its annotations tell `$value`, else as its metrics are named. */
export function unitOf(expr: string, templates: string[]): Unit {
  const told = templates.join(' ');
  if (/\$value[^}]*humanizePercentage/.test(told)) return 'share';
  if (/\$value[^}]*humanizeDuration/.test(told)) return 'seconds';
  if (/\$value[^}]*humanize1024/.test(told)) return 'bytes';
  // Inside quotes and braces stand labels, not the shape of the expression.
  const shape = expr.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '').replace(/\{[^}]*\}/g, '');
  const counts = /\b(rate|increase|count|sum)\b/.test(shape);
  if (/_ratio\b/.test(shape) && !/_ratio_/.test(shape)) return 'share';
  if (shape.includes('/')) return counts && !/_(seconds|bytes)(_sum)?\b/.test(shape) ? 'share' : 'plain';
  if (/_seconds(_bucket)?\b/.test(shape) && (/histogram_quantile/.test(shape) || !counts)) return 'seconds';
  if (/_bytes(_bucket)?\b/.test(shape) && (/histogram_quantile/.test(shape) || !/\brate\b/.test(shape))) return 'bytes';
  return 'plain';
}

/** `0.8%`, `1.92s`, `80 KiB`, `42` */
export function valueText(value: number, unit: Unit, digits = 2): string {
  if (!Number.isFinite(value)) return sample(value);
  switch (unit) {
    case 'share': return `${Number((value * 100).toPrecision(digits))}%`;
    case 'seconds': return value < 0 ? `−${duration(-value * 1e9)}` : duration(value * 1e9);
    case 'bytes': return bytes(value);
    case 'times': return `${sample(Number(value.toPrecision(digits)))}× the threshold`;
    default: return sample(Number(value.toPrecision(Math.max(3, digits))));
  }
}

/** With as many digits as keep it apart from the threshold: 0.996 % is not 1 %. */
export function valueBeside(value: number, limit: number, unit: Unit): string {
  const beside = valueText(limit, unit, 4);
  for (const digits of [2, 3, 4]) {
    const text = valueText(value, unit, digits);
    if (value === limit || text !== beside) return text;
  }
  return valueText(value, unit, 6);
}

/**
 * What to ask for an expression that is a share of counts: where the divisor counts something and nothing is counted
 * above it, that is 0. A series of failures begins with the first failure and ends with the process that had it; without
 * this a fix that came with a restart would look like silence. Everything else is asked as it is.
 */
export function asked(expr: string): string {
  const text = bare(expr.trim());
  const at = divisions(text);
  if (at.length !== 1) return expr;
  const [above, below] = [text.slice(0, at[0]).trim(), text.slice(at[0]! + 1).trim()];
  const counts = (part: string): boolean => /\b(rate|increase|irate)\s*\(/.test(part) && !/_(seconds|bytes)(_sum)?\s*[{[]/.test(part);
  // What matches labels of both sides, or goes on after the divisor, is more than a share.
  if (!counts(above) || !counts(below) || /^(on|ignoring|group_left|group_right)\b/i.test(below) || /[-+*%^]|\b(or|and|unless)\b/i.test(outside(below))) return expr;
  return `(${text}) or ((${below}) > 0) * 0`;
}

/** The places of `/` outside brackets and quotes. */
function divisions(text: string): number[] {
  const flat = outside(text);
  return [...flat].flatMap((c, i) => (c === '/' ? [i] : []));
}

/** What stands in brackets and quotes blanked out, the length kept. */
function outside(text: string): string {
  let depth = 0;
  let quote = '';
  let out = '';
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i]!;
    let shown = ' ';
    if (quote) {
      if (c === '\\' && quote !== '`') {
        out += ' ';
        i += 1;
      } else if (c === quote) quote = '';
    } else if (c === '"' || c === "'" || c === '`') quote = c;
    else if ('([{'.includes(c)) depth += 1;
    else if (')]}'.includes(c)) depth -= 1;
    else if (depth === 0) shown = c;
    out += shown;
  }
  return out.slice(0, text.length);
}

/** Of one condition among several: how many times its threshold it is, the threshold then being 1. */
export const TIMES: Threshold = { expr: '', operator: '>', value: 1 };

/** Whether several conditions can be told as multiples of their thresholds. */
export function comparable(all: Threshold[]): boolean {
  return all.every(({ operator, value }) => operator.startsWith('>') && value > 0);
}

/** Several conditions as multiples of their thresholds, one line each, and the least of them: it is wrong while that is above 1. */
export function together(parts: { name: string; limit: Threshold; columns: Columns }[]): { lines: Columns; least: Columns } {
  const times = parts.find((part) => part.columns.times.length > 0)?.columns.times ?? [];
  const series = parts.map(({ name, limit, columns }) => ({
    labels: { [LINE]: name },
    values: times.map((_, i) => {
      const worst = worstAt(columns, limit, i);
      return worst === null ? null : worst / limit.value;
    }),
  }));
  const least = times.map((_, i) => {
    const known = series.map((s) => s.values[i] ?? null);
    return known.length === 0 || known.includes(null) ? null : Math.min(...(known as number[]));
  });
  return { lines: { times, series }, least: { times, series: [{ labels: {}, values: least }] } };
}

/** Whether a value is one at which the alert is active. */
export function breaks(value: number, { operator, value: limit }: Threshold): boolean {
  switch (operator) {
    case '>': return value > limit;
    case '>=': return value >= limit;
    case '<': return value < limit;
    case '<=': return value <= limit;
    case '==': return value === limit;
    default: return value !== limit;
  }
}

const BAD: Record<string, string> = { '>': 'above', '>=': 'at or above', '<': 'below', '<=': 'at or below', '==': 'at', '!=': 'other than' };
const GOOD: Record<string, string> = { '>': 'not above', '>=': 'below', '<': 'not below', '<=': 'above', '==': 'not at', '!=': 'at' };

/** How a value stands to the threshold: `above 1%`, `below 1%`. */
export function standing(value: number, limit: Threshold, unit: Unit): string {
  const line = unit === 'times' ? 'it' : valueText(limit.value, unit, 4);
  if (breaks(value, limit)) return `${BAD[limit.operator] ?? 'at'} ${line}`;
  if (limit.operator === '>' && value < limit.value) return `below ${line}`;
  if (limit.operator === '<' && value > limit.value) return `above ${line}`;
  return `${GOOD[limit.operator] ?? 'not at'} ${line}`;
}

// ---- windows ----

const MINUTE = 60_000;

/** What the recovery of an incident is judged by: as long before and after it as it lasted, within five minutes and an hour. */
export function recoveryWindow(start: number, end: number | null, now: number): Window {
  const lasted = (end ?? now) - start;
  const pad = Math.max(5 * MINUTE, Math.min(60 * MINUTE, lasted));
  return { from: start - pad, to: end === null ? now : Math.min(now, end + Math.max(15 * MINUTE, pad)) };
}

/** How long it must hold until it counts: three times as long as the rule itself waits before it fires, half a minute to half an hour. */
export function holdFor(ruleForSeconds: number): number {
  return Math.max(MINUTE / 2, Math.min(30 * MINUTE, 3 * ruleForSeconds * 1000));
}

/** For how long what happened is still looked at again and again after its end. */
export const WATCHED_MS = 15 * MINUTE;

/** Without the empty beginning that a young store has, a twentieth of the window left before the first sample. */
export function fromFirst({ times, series }: Columns): Columns {
  const first = Math.min(...series.map((s) => s.values.findIndex((v) => v !== null)).filter((i) => i >= 0));
  const cut = Number.isFinite(first) ? Math.max(0, first - Math.ceil(times.length / 20)) : 0;
  return cut === 0 ? { times, series } : { times: times.slice(cut), series: series.map((s) => ({ ...s, values: s.values.slice(cut) })) };
}

/** The parts of time in which it was pending, and in which it fired; Unix seconds, as charts want them. */
export function bands(phases: Phase[], start: number, end: number | null, now: number): { pending: Window[]; firing: Window[] } {
  const until = end ?? now;
  const of = (state: Phase['state']): Window[] => phases
    .filter((p) => p.state === state)
    .map((p) => ({ from: Math.max(p.from, start) / 1000, to: Math.min(p.to, until) / 1000 }))
    .filter((p) => p.to > p.from);
  const known = { pending: of('pending'), firing: of('firing') };
  // What nothing is recorded of is at least known to be the incident.
  return known.pending.length + known.firing.length > 0 ? known : { pending: [], firing: [{ from: start / 1000, to: until / 1000 }] };
}

// ---- the judgement ----

export type State = 'wrong' | 'clearing' | 'holding' | 'recovered' | 'again' | 'blind' | 'unknown';

export interface Judgement {
  state: State;
  /** The usual value before the incident. */
  before: number | null;
  worst: { value: number; at: number } | null;
  now: { value: number; at: number } | null;
  /** Since when it has been as it is now: on the good side, on the bad one, or not measured. */
  since: number | null;
  /** How long it must be good to count, and how long it has been. */
  hold: number;
  held: number;
  /** It is well below the threshold and yet this many times what it was before; null where that says nothing. */
  times: number | null;
}

export interface Evidence {
  /** The left side of the comparison, or the whole expression where it is none; only the series of this alert. */
  columns: Columns;
  limit: Threshold | null;
  start: number;
  /** Null while the alert is active. */
  end: number | null;
  /** The `for` of the rule, in seconds. */
  waits: number;
}

/** Of several series at one moment the value that is furthest on the wrong side; null where none has one. */
function worstAt(columns: Columns, limit: Threshold | null, i: number): number | null {
  const known = columns.series.map((s) => s.values[i] ?? null).filter((v) => v !== null);
  if (known.length === 0) return null;
  if (!limit || limit.operator.startsWith('>')) return Math.max(...known);
  if (limit.operator.startsWith('<')) return Math.min(...known);
  return known.find((v) => breaks(v, limit)) ?? known[0]!;
}

/** Where there is a comparison: silence is no recovery. Where there is none, the expression gives something only while it is wrong. */
export function judge({ columns, limit, start, end, waits }: Evidence): Judgement {
  const at = columns.times.map((t) => t * 1000);
  const values = at.map((_, i) => worstAt(columns, limit, i));
  const step = at.length > 1 ? at[1]! - at[0]! : 15_000;
  const isBad = (v: number | null): boolean => v !== null && (!limit || breaks(v, limit));
  const last = values.length - 1;
  const hold = holdFor(waits);
  const calm = values.filter((v, i): v is number => v !== null && at[i]! < start && !isBad(v)).sort((a, b) => a - b);
  const before = limit && calm.length > 0 ? calm[Math.floor((calm.length - 1) / 2)]! : null;
  let worst: Judgement['worst'] = null;
  values.forEach((v, i) => {
    // The incident is its bad values, and those in it: what ends it may lie a step later than they do.
    if (v === null || at[i]! < start - step || (end !== null && at[i]! > end + step)) return;
    if (worst === null || (limit?.operator.startsWith('<') ? v < worst.value : v > worst.value)) worst = { value: v, at: at[i]! };
  });
  const judgement: Judgement = { state: 'unknown', before, worst, now: null, since: null, hold, held: 0, times: null };
  if (last < 0) return judgement;

  const newest = values.findLastIndex((v) => v !== null);
  // What the newest step has not got yet is no silence.
  const isSilent = newest < 0 || at[last]! - at[newest]! > Math.max(2 * step, 20_000);
  if (isSilent && limit) {
    const from = newest < 0 ? null : at[newest]!;
    return { ...judgement, state: 'blind', since: from };
  }
  const end_i = isSilent ? last : newest;
  const wrong = !isSilent && isBad(values[end_i]!);
  let i = end_i;
  while (i > 0 && (values[i - 1] === null ? !wrong : isBad(values[i - 1]!) === wrong)) i -= 1;
  const since = at[i]!;
  const now = values[end_i] === null ? null : { value: values[end_i]!, at: at[end_i]! };
  if (wrong) return { ...judgement, now, since, state: end === null ? 'wrong' : 'again' };
  const held = at[last]! - since;
  const times = limit && now && before !== null && /^>/.test(limit.operator) && before > 0 && now.value >= 2 * before ? now.value / before : null;
  const state = end === null ? 'clearing' : held >= hold ? 'recovered' : 'holding';
  return { ...judgement, now, since, held, times, state };
}

/** One sentence for what was found. */
export function sentence(found: Judgement, limit: Threshold | null, unit: Unit, zone: Zone, now: number): string {
  const { state, before, since } = found;
  const moment = since === null ? '' : now - since < 10 * MINUTE ? clock(since, zone, false) : hourMinute(since, zone);
  const lasted = since === null ? '' : age(now - since);
  const usual = before === null || !limit ? '' : `${valueBeside(before, limit.value, unit)} before the incident`;
  const value = found.now === null || !limit ? '' : `${valueBeside(found.now.value, limit.value, unit)}, ${standing(found.now.value, limit, unit)}`;
  switch (state) {
    case 'wrong':
      return limit ? `Not recovered: ${value} for ${lasted}, since ${moment}${usual ? `; ${usual}` : ''}.` : `Not recovered: the condition has held for ${lasted}, since ${moment}.`;
    case 'again':
      return limit ? `It is wrong again: ${value} since ${moment}, after the alert was over${usual ? `; ${usual}` : ''}.` : `The condition holds again since ${moment}, after the alert was over.`;
    case 'clearing':
      return `${limit ? `${value} for ${lasted}, since ${moment}` : `The condition has not held for ${lasted}, since ${moment}`}, but the alert still fires${usual ? `; ${usual}` : ''}.`;
    case 'holding':
      return `Recovering: ${limit ? `${value} for ${lasted}, since ${moment}` : `the condition has not held for ${lasted}, since ${moment}`}${usual ? `; ${usual}` : ''}. It counts as recovered after ${age(found.hold)}.`;
    case 'recovered': {
      const more = found.times === null ? usual : `still ${Number(found.times.toPrecision(2))} times the ${usual}`;
      return `Recovered: ${limit ? `${value} for ${lasted}, since ${moment}` : `the condition has not held for ${lasted}, since ${moment}`}${more ? `; ${more}` : ''}.`;
    }
    case 'blind':
      return since === null
        ? 'Not proven: the expression gives no number in all this time. No data is no recovery.'
        : `Not proven: the expression has given no number for ${lasted}, since ${moment}. No data is no recovery.`;
    default:
      return 'Nothing is known of its metric.';
  }
}

export const STATE: Record<State, { tone: 'bad' | 'warn' | 'good' | 'quiet'; text: string }> = {
  wrong: { tone: 'bad', text: '▲ not recovered' },
  again: { tone: 'bad', text: '▲ wrong again' },
  clearing: { tone: 'warn', text: '◔ clearing' },
  holding: { tone: 'warn', text: '◔ recovering' },
  recovered: { tone: 'good', text: '✔ recovered' },
  blind: { tone: 'warn', text: '○ not proven' },
  unknown: { tone: 'quiet', text: '○ unknown' },
};
