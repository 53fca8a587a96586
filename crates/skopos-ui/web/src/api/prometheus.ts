// PromQL through the Prometheus API.

import { get } from './client';
import type { Alert, Labels, MatrixSeries, RuleGroup, VectorSample } from './types';
import { seconds, stepSeconds, type Window } from '../lib/time';

interface QueryData {
  resultType: string;
  result: unknown;
}

export async function instant(expr: string, at: number, signal?: AbortSignal): Promise<VectorSample[]> {
  const data = await get<QueryData>('/api/v1/query', { query: expr, time: seconds(at) }, signal);
  if (data.resultType === 'scalar') {
    return [{ metric: {}, value: data.result as [number, string] }];
  }
  return data.resultType === 'vector' ? (data.result as VectorSample[]) : [];
}

/** One number, or null when the query gives nothing. */
export async function single(expr: string, at: number, signal?: AbortSignal): Promise<number | null> {
  const [first] = await instant(expr, at, signal);
  return first ? Number(first.value[1]) : null;
}

export async function range(expr: string, window: Window, points: number, signal?: AbortSignal): Promise<Columns> {
  const step = stepSeconds(window, points);
  // Aligned, so that a refresh moves the window by whole steps and lines do not tremble.
  const start = Math.floor(window.from / 1000 / step) * step;
  // Never later than the window: a rate that reaches into the future falls, and says so of no fact.
  const end = Math.max(start, Math.floor(window.to / 1000 / step) * step);
  const query = { query: expr, start: String(start), end: String(end), step: String(step) };
  const data = await get<QueryData>('/api/v1/query_range', query, signal);
  return columns(data.resultType === 'matrix' ? (data.result as MatrixSeries[]) : [], start, end, step);
}

/** Series on one time axis (Unix seconds); null where there is no sample. */
export interface Columns {
  times: number[];
  series: { labels: Labels; values: (number | null)[] }[];
}

export function columns(series: MatrixSeries[], start: number, end: number, step: number): Columns {
  const count = Math.max(1, Math.round((end - start) / step) + 1);
  const times = Array.from({ length: count }, (_, i) => start + i * step);
  return {
    times,
    series: series.map(({ metric, values }) => {
      const column = new Array<number | null>(count).fill(null);
      for (const [time, text] of values) {
        const at = Math.round((time - start) / step);
        const value = Number(text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : text);
        if (at >= 0 && at < count && Number.isFinite(value)) column[at] = value;
      }
      return { labels: metric, values: column };
    }),
  };
}

/** The samples themselves of a range selector. */
export async function samples(expr: string, at: number, signal?: AbortSignal): Promise<MatrixSeries[]> {
  const data = await get<QueryData>('/api/v1/query', { query: expr, time: seconds(at) }, signal);
  return data.resultType === 'matrix' ? (data.result as MatrixSeries[]) : [];
}

/** The names of the metrics that a selector finds in a window. */
export function metricNames(selector: string, window: Window, signal?: AbortSignal): Promise<string[]> {
  const query = { 'match[]': [selector], start: seconds(window.from), end: seconds(window.to) };
  return get<string[]>('/api/v1/label/{name}/values', query, signal, { name: '__name__' });
}

/** The names of the labels of what a selector finds in a window. */
export function labelNames(selector: string, window: Window, signal?: AbortSignal): Promise<string[]> {
  return get<string[]>('/api/v1/labels', { 'match[]': [selector], start: seconds(window.from), end: seconds(window.to) }, signal);
}

export async function alerts(signal?: AbortSignal): Promise<Alert[]> {
  return (await get<{ alerts: Alert[] }>('/api/v1/alerts', {}, signal)).alerts;
}

export async function alertingRules(signal?: AbortSignal): Promise<RuleGroup[]> {
  return (await get<{ groups: RuleGroup[] }>('/api/v1/rules', { type: 'alert' }, signal)).groups;
}

/** A label value inside a PromQL string. */
export function promqlString(value: string): string {
  return `"${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;
}
