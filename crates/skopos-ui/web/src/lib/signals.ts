// Whether anything has arrived yet, and how much of what.

import { get, Failure } from '../api/client';
import { instant } from '../api/prometheus';
import type { LogPage, TracePage } from '../api/types';

export interface Arrived {
  logs: boolean;
  traces: boolean;
  metrics: boolean;
}

/** Metrics of the server about itself do not count. */
export async function arrived(signal: AbortSignal): Promise<Arrived> {
  const [logs, traces, metrics] = await Promise.all([
    get<LogPage>('/api/v1/logs', { limit: 1, start: 'now-15d' }, signal).then((page) => page.logs.length > 0),
    get<TracePage>('/api/v1/traces', { limit: 1, start: 'now-15d' }, signal).then((page) => page.traces.length > 0, absent),
    instant('count({__name__=~".+",__name__!~"skopos_.*|ALERTS.*|traces_spanmetrics_.*|log_records_total|up|scrape_.*",job!="skopos"})', Date.now(), signal)
      .then((found) => found.length > 0),
  ]);
  return { logs, traces, metrics };
}

function absent(error: unknown): boolean {
  if (error instanceof Failure && error.status === 404) return false;
  throw error;
}

/** When a store of less than an hour began to take data; null for an older one, also one that was opened again lately. */
export async function beganAt(signal?: AbortSignal): Promise<number | null> {
  const status = await get<{ started_at?: string }>('/api/v1/status', {}, signal);
  const started = Date.parse(status.started_at ?? '');
  if (!(Date.now() - started < 3_600_000)) return null;
  const [before, logs] = await Promise.all([
    instant('count({__name__=~"up|traces_spanmetrics_calls_total|http_requests_total"})', started - 1000, signal),
    get<LogPage>('/api/v1/logs', { limit: 1, start: String(started / 1000 - 3600), end: String(started / 1000 - 1) }, signal),
  ]);
  return before.length === 0 && logs.logs.length === 0 ? started : null;
}

export async function hasData(signal: AbortSignal): Promise<boolean> {
  const { logs, traces, metrics } = await arrived(signal);
  return logs || traces || metrics;
}
