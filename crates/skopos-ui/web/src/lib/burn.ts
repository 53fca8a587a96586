// What the charts of a budget show, how fast it burnt, and what spent it: worked out from the events that the server
// counts between two points.

import type { Columns } from '../api/prometheus';
import type { Labels } from '../api/types';
import { LINE } from './lines';
import { spentText, type SloChart, type SloPoint, type SloStatus } from './slo';
import { durationText, type Window } from './time';

const MINUTE_MS = 60_000;
const STEPS = [60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/** Seconds between points, for at most `points` of them; slices fit into it. */
export function chartStep(window: Window, points = 720): number {
  const wanted = (window.to - window.from) / 1000 / points;
  return STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 86_400) * 86_400;
}

/** Milliseconds between the points of a chart: what was asked for, rounded up to whole slices. */
export function stepOf(chart: SloChart): number {
  const [first, second] = chart.points;
  return first && second ? second.at_ms - first.at_ms : MINUTE_MS;
}

/**
 * A chart that was asked for up to a step after `now`, so that its last point counts what happened since the one before:
 * that point is put where it belongs, with what is left now.
 */
export function closed(chart: SloChart, now: number, remaining: number | null): SloChart {
  const points = chart.points.filter((_, i, all) => i === 0 || all[i - 1]!.at_ms < now);
  return { ...chart, end_ms: now, points: points.map((p) => (p.at_ms > now ? { ...p, at_ms: now, remaining } : p)) };
}

/** A chart without what lies before its first event; null where there is none. */
export function sinceData(chart: SloChart): SloChart | null {
  const first = chart.points.findIndex((p, i) => i > 0 && p.total > 0);
  if (first < 0) return null;
  const points = chart.points.slice(first - 1);
  return { ...chart, start_ms: Math.max(chart.start_ms, points[0]!.at_ms), points };
}

/** What a first point counts lies before the chart. */
const badWithin = (points: SloPoint[]): number => points.slice(1).reduce((sum, p) => sum + p.bad, 0);

/**
 * The burn-down: from 100 % where the window begins to what is left now, beside what spending evenly would leave. It is
 * scaled by what is left now, so that it ends where the other figures are, whatever was rounded to steps on the way.
 * A part of it, read from a point of the whole on, continues that.
 */
export function burnDown(whole: SloChart, part: SloChart | null, status: SloStatus, from = -Infinity): Columns {
  const { budget_remaining: remaining, window_end_ms: end } = status;
  const start = Math.max(status.window_start_ms, whole.points[0]?.at_ms ?? 0);
  const read = (part ?? whole).points;
  const before = part ? whole.points.filter((p) => p.at_ms <= (read[0]?.at_ms ?? 0)) : [];
  const all = Math.max(status.bad, badWithin(whole.points));
  let bad = badWithin(before);
  let known = before.some((p) => p.total > 0);
  const times: number[] = [];
  const left: (number | null)[] = [];
  const add = (ms: number, value: number | null): void => {
    times.push(ms / 1000);
    left.push(value);
  };
  read.forEach((p, i) => {
    if (i > 0) bad += p.bad;
    // From the point before the first event on.
    known ||= p.total > 0 || (read[i + 1]?.total ?? 0) > 0;
    // Before what is shown: only read to begin at a point of the whole.
    if ((read[i + 1]?.at_ms ?? Infinity) <= from) return;
    add(Math.max(p.at_ms, start), !known || remaining === null ? null : all > 0 ? 1 - (1 - remaining) * (bad / all) : 1);
  });
  // A unit of the calendar goes on: its end is shown, with nothing known of it.
  if (!part && times.length > 0 && end > whole.end_ms + stepOf(whole)) add(end, null);
  const even = (ms: number): number => 1 - Math.min(1, Math.max(0, (ms - start) / (end - start)));
  return {
    times,
    series: [
      { labels: { [LINE]: 'budget left' }, values: left },
      { labels: { [LINE]: 'spent evenly' }, values: times.map((s) => even(s * 1000)) },
    ],
  };
}

/** What a rolling window had left, at each moment. */
export function leftOver(chart: SloChart, from = -Infinity): Columns {
  const points = chart.points.filter((_, i, all) => (all[i + 1]?.at_ms ?? Infinity) > from);
  return {
    times: points.map((p) => p.at_ms / 1000),
    series: [{ labels: { [LINE]: 'left of the window that ends there' }, values: points.map((p) => p.remaining) }],
  };
}

/** Where a part of the chart must begin so that it continues the whole one exactly: at a point of that one. */
export function partStart(whole: SloChart, from: number): number {
  const before = whole.points.filter((p) => p.at_ms <= from);
  return before.at(-1)?.at_ms ?? whole.points[0]?.at_ms ?? from;
}

/** Seconds between the points of a part: a fraction of those of the whole. */
export function partStep(whole: SloChart, part: Window): number {
  const of = stepOf(whole) / 1000;
  const wanted = chartStep(part, 400);
  return STEPS.find((step) => step >= wanted && of % step === 0) ?? of;
}

/** The burn rate of the window that ends at each point: a sliding sum over the points of a chart. */
export function burnLine(chart: SloChart, windowMs: number, budget: number): (number | null)[] {
  const width = Math.max(1, Math.round(windowMs / stepOf(chart)));
  let bad = 0;
  let total = 0;
  return chart.points.map((p, i) => {
    bad += p.bad;
    total += p.total;
    const gone = chart.points[i - width];
    if (gone) {
      bad -= gone.bad;
      total -= gone.total;
    }
    // What was subtracted again leaves crumbs.
    return total > 1e-9 && budget > 0 ? Math.max(0, bad / total / budget) : null;
  });
}

/** How far back the chart of an alert goes: so that several of its long windows are seen. */
export function burnSpan(longMs: number, sloMs: number): number {
  return Math.max(longMs * 2, Math.min(longMs * 24, sloMs));
}

/** Points of a chart that the server gives at most. */
const MOST_POINTS = 1_900;

/** Seconds between the points of a burn chart: a part of its short window, so that sliding sums are exact. */
export function burnStep(readMs: number, shortMs: number): number {
  const fits = STEPS.filter((step) => shortMs % (step * 1000) === 0 && readMs / 1000 / step <= MOST_POINTS);
  return fits.filter((step) => step * 3000 <= shortMs).at(-1) ?? fits[0] ?? chartStep({ from: 0, to: readMs }, MOST_POINTS);
}

// ---- what spent it ----

export interface Stretch extends Window {
  /** The share of the budget. */
  spent: number;
  bad: number;
  /** The mean burn rate. */
  burn: number;
}

/** The parts of the window in which more was spent than it bears, dearest first; single quiet points do not part them. */
export function stretches(chart: SloChart, status: SloStatus, most = 6): Stretch[] {
  const budget = 1 - status.target;
  const spent = 1 - (status.budget_remaining ?? 1);
  if (spent <= 0 || status.bad <= 0 || budget <= 0) return [];
  const found: (Stretch & { total: number })[] = [];
  let quiet = 2;
  for (const [i, p] of chart.points.entries()) {
    // What the first point counts lies before it.
    if (i === 0 || p.at_ms <= status.window_start_ms) continue;
    const dear = p.total > 0 && p.bad / p.total > budget;
    if (!dear) {
      quiet += 1;
      continue;
    }
    const open = found.at(-1);
    if (open && quiet <= 1) {
      open.to = p.at_ms;
      open.bad += p.bad;
      open.total += p.total;
    } else {
      found.push({ from: Math.max(status.window_start_ms, chart.points[i - 1]?.at_ms ?? p.at_ms - stepOf(chart)), to: p.at_ms, bad: p.bad, total: p.total, spent: 0, burn: 0 });
    }
    quiet = 0;
  }
  return found
    .map(({ total, ...s }) => ({ ...s, spent: (s.bad / status.bad) * spent, burn: s.bad / total / budget }))
    .sort((a, b) => b.spent - a.spent)
    .filter((s) => s.spent >= 0.001)
    .slice(0, most);
}

/** `4 stretches spent 91 % of what is gone`. */
export function stretchSentence(all: Stretch[], status: SloStatus): string {
  const gone = 1 - (status.budget_remaining ?? 1);
  if (all.length === 0 || gone <= 0) return '';
  const share = Math.min(1, all.reduce((sum, s) => sum + s.spent, 0) / gone);
  return `${spentText(share)} of what is gone was spent in ${all.length === 1 ? 'one stretch' : `${all.length} stretches`}`;
}

/** The metrics that a query reads, with their matchers: what stands before a range. */
export function selectorsOf(query: string): string[] {
  const found: string[] = [];
  const pattern = /([a-zA-Z_:][\w:.]*)?\s*(\{(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|[^}"'`])*\})?\s*\[[^\]]+\]/g;
  for (const [, name = '', matchers = ''] of query.matchAll(pattern)) {
    if (name || matchers) found.push(`${name}${matchers}`);
  }
  return [...new Set(found)];
}

/** A query summed by these labels too, over another window; null where it sums nothing. */
export function widened(query: string, labels: string[], windowMs: number): string | null {
  const length = durationText(Math.max(60_000, Math.round(windowMs / 1000) * 1000));
  // Texts in quotes stay as they are.
  const pieces = query.split(/("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)/);
  let sums = 0;
  const changed = pieces.map((piece, i) => {
    if (i % 2 === 1) return piece;
    return piece
      .replace(/\bsum\s*(?:by\s*\(([^)]*)\)\s*)?\(/g, (_, by: string | undefined) => {
        sums += 1;
        const all = [...new Set([...(by ?? '').split(',').map((l) => l.trim()).filter(Boolean), ...labels])];
        return `sum by (${all.join(', ')}) (`;
      })
      .replace(/\[5m\]/g, `[${length}]`);
  });
  return sums > 0 ? changed.join('') : null;
}

/** The labels that a query matches by. */
export function matchedBy(query: string): Set<string> {
  return new Set([...query.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*["'`]/g)].map(([, name]) => name!));
}

export interface Share {
  label: string;
  value: string;
  /** Of the bad events. */
  bad: number;
  /** Of all events. */
  all: number;
}

/** Which values of which labels the bad events have more often than others do, the most telling first. */
export function telling(bad: { metric: Labels; value: number }[], all: { metric: Labels; value: number }[], most = 6): Share[] {
  const count = (rows: { metric: Labels; value: number }[]): { sum: number; by: Map<string, Map<string, number>> } => {
    const by = new Map<string, Map<string, number>>();
    let sum = 0;
    for (const { metric, value } of rows) {
      if (!(value > 0)) continue;
      sum += value;
      for (const [label, text] of Object.entries(metric)) {
        const values = by.get(label) ?? new Map<string, number>();
        values.set(text, (values.get(text) ?? 0) + value);
        by.set(label, values);
      }
    }
    return { sum, by };
  };
  const [wrong, whole] = [count(bad), count(all)];
  if (wrong.sum <= 0 || whole.sum <= 0) return [];
  const shares: Share[] = [];
  for (const [label, values] of wrong.by) {
    for (const [value, n] of values) {
      const share = { label, value, bad: n / wrong.sum, all: Math.min(1, (whole.by.get(label)?.get(value) ?? 0) / whole.sum) };
      // What all events have says nothing, and neither does what bad ones have no more often.
      if (share.bad >= 0.05 && share.bad - share.all >= 0.05) shares.push(share);
    }
  }
  return shares.sort((a, b) => (b.bad - b.all) - (a.bad - a.all)).slice(0, most);
}
