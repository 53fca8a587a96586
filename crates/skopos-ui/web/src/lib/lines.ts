// Columns as charts want them: several answers on one time axis, the largest series apart and the others as one.

import type { Columns } from '../api/prometheus';
import type { Labels } from '../api/types';
import { clock, dateTime, hourMinute, type Zone } from './time';

/** How a line is drawn: a place in the palette of ten, and whether it is broken. */
export interface Look {
  hue: number;
  dashed: boolean;
}

/** The label that names a line which is no single series. */
export const LINE = 'line';

/** A time axis longer than this (seconds) says days. */
const DATED = 200_000;
const DAY = 86_400;

/** How far apart the times below a chart stand at least, and the room that half of the last one needs: pixels. */
export function timeSpace(span: number): { apart: number; half: number } {
  return span > DATED ? { apart: 100, half: 42 } : { apart: 66, half: 26 };
}

/** The times below a chart of so many seconds, whose ticks are so far apart: `14:02:07`, `14:02`, `11-22 14:02`, and of whole days `11-22`. */
export function timeTexts(ticks: number[], span: number, apart: number, zone: Zone): string[] {
  if (span < 600) return ticks.map((s) => clock(s * 1000, zone, false));
  if (span <= DATED) return ticks.map((s) => hourMinute(s * 1000, zone));
  const texts = ticks.map((s) => dateTime(s * 1000, zone).slice(5, 16));
  return apart >= DAY && texts.every((text) => text.endsWith(' 00:00')) ? texts.map((text) => text.slice(0, 5)) : texts;
}

/** Answers to several queries over the same window as one, each with the name it was asked under. */
export function joined(parts: { name: string; columns: Columns }[]): Columns {
  const times = parts.find((part) => part.columns.times.length > 0)?.columns.times ?? [];
  const series = parts.flatMap(({ name, columns }) => columns.series.map((s) => ({ labels: { ...s.labels, [LINE]: name }, values: s.values })));
  return { times, series };
}

/** The mean over what has data: a window that began before the service did says nothing about its rate. */
export function meanOf(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** The `most` largest series by their mean, and one named `n others` with the sum of the rest. */
export function largest(columns: Columns, most: number): Columns {
  const order = columns.series
    .map((series) => ({ series, mean: meanOf(series.values) ?? 0 }))
    .sort((a, b) => b.mean - a.mean)
    .map(({ series }) => series);
  if (order.length <= most) return { times: columns.times, series: order };
  const rest = order.slice(most - 1);
  const sum = columns.times.map((_, i) => {
    const known = rest.map((s) => s.values[i] ?? null).filter((v) => v !== null);
    return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
  });
  return { times: columns.times, series: [...order.slice(0, most - 1), { labels: { [LINE]: `${rest.length} others` }, values: sum }] };
}

/** Each series by what tells it apart: the labels whose values differ, or all of them when there is only one. */
export function namer(all: Labels[]): (labels: Labels) => string {
  const names = [...new Set(all.flatMap((labels) => Object.keys(labels)))].filter((n) => n !== '__name__');
  const telling = names.filter((n) => new Set(all.map((labels) => labels[n] ?? '')).size > 1);
  return (labels) => {
    const shown = (telling.length > 0 ? telling : names.filter((n) => n === 'instance')).map((n) => labels[n] ?? '').filter((v) => v !== '');
    return shown.join(' ') || 'value';
  };
}
