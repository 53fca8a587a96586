// Rate, errors and duration per service, from whichever metrics are there: those derived from spans, else those that
// the services expose themselves.

import { instant, range, type Columns } from '../api/prometheus';
import type { Labels } from '../api/types';
import { meanOf } from './lines';
import { durationText, type Window } from './time';

interface Source {
  name: 'spans' | 'http';
  by: string;
  calls: string;
  errors: string;
  buckets: string;
  only: string;
}

const SPANS: Source = {
  name: 'spans',
  by: 'service_name',
  calls: 'traces_spanmetrics_calls_total',
  errors: 'status_code="STATUS_CODE_ERROR"',
  buckets: 'traces_spanmetrics_latency_bucket',
  only: 'span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"',
};
const HTTP: Source = {
  name: 'http',
  by: 'job',
  calls: 'http_requests_total',
  errors: 'status_code=~"5.."',
  buckets: 'http_request_duration_seconds_bucket',
  only: '',
};

export interface ServiceRow {
  service: string;
  rate: number;
  /** Share of failed calls, 0 to 1. */
  errors: number;
  /** Seconds. */
  p50: number;
  p99: number;
  rates: (number | null)[];
  errorRates: (number | null)[];
  p99s: (number | null)[];
}

export interface Services {
  source: 'spans' | 'http' | 'none';
  rows: ServiceRow[];
}

const braces = (...parts: string[]): string => {
  const all = parts.filter((part) => part !== '');
  return all.length === 0 ? '' : `{${all.join(',')}}`;
};

export async function serviceRows(window: Window, signal: AbortSignal): Promise<Services> {
  const seconds = Math.max(60, Math.round((window.to - window.from) / 1000));
  const whole = durationText(seconds * 1000);
  for (const source of [SPANS, HTTP]) {
    const matched = braces(source.only);
    const rates = await instant(`sum by (${source.by}) (rate(${source.calls}${matched}[${whole}])) > 0`, window.to, signal);
    if (rates.length === 0) continue;
    return { source: source.name, rows: await rowsOf(source, rates, whole, window, signal) };
  }
  return { source: 'none', rows: [] };
}

async function rowsOf(
  source: Source, rates: { metric: Labels; value: [number, string] }[], whole: string, window: Window, signal: AbortSignal,
): Promise<ServiceRow[]> {
  const step = durationText(Math.max(60_000, ((window.to - window.from) / 30) * 2));
  const ok = braces(source.only);
  const bad = braces(source.only, source.errors);
  const quantile = (q: number, span: string): string =>
    `histogram_quantile(${q}, sum by (${source.by}, le) (rate(${source.buckets}${ok}[${span}])))`;
  const rateExpr = (selector: string): string => `sum by (${source.by}) (rate(${source.calls}${selector}[${step}]))`;
  const [errors, p50, p99, rateLines, errorLines, p99Lines] = await Promise.all([
    instant(`sum by (${source.by}) (rate(${source.calls}${bad}[${whole}]))`, window.to, signal),
    instant(quantile(0.5, whole), window.to, signal),
    instant(quantile(0.99, whole), window.to, signal),
    range(rateExpr(ok), window, 30, signal),
    range(rateExpr(bad), window, 30, signal),
    range(quantile(0.99, step), window, 30, signal),
  ]);
  const number = (from: typeof rates, service: string): number =>
    Number(from.find((s) => s.metric[source.by] === service)?.value[1] ?? NaN);
  const line = (from: Columns, service: string): (number | null)[] =>
    from.series.find((s) => s.labels[source.by] === service)?.values ?? [];
  return rates.map(({ metric, value }) => {
    const service = metric[source.by] ?? '';
    const overall = Number(value[1]);
    const failed = number(errors, service);
    const lineOfRates = line(rateLines, service);
    return {
      service,
      rate: meanOf(lineOfRates) ?? overall,
      errors: Number.isNaN(failed) ? 0 : failed / overall,
      p50: number(p50, service),
      p99: number(p99, service),
      rates: lineOfRates,
      errorRates: line(errorLines, service),
      p99s: line(p99Lines, service),
    };
  });
}

/** Worst first: by the share of errors in steps that matter, then by p99. */
export function worstFirst(rows: ServiceRow[]): ServiceRow[] {
  const grade = (row: ServiceRow): number => (row.errors >= 0.05 ? 3 : row.errors >= 0.01 ? 2 : row.errors > 0.001 ? 1 : 0);
  const slow = (row: ServiceRow): number => (Number.isNaN(row.p99) ? 0 : row.p99);
  return [...rows].sort((a, b) => grade(b) - grade(a) || slow(b) - slow(a) || a.service.localeCompare(b.service));
}

/** How bad a share of failed calls is. */
export function health(errors: number): 'bad' | 'warn' | 'good' {
  return errors >= 0.01 ? 'bad' : errors > 0.001 ? 'warn' : 'good';
}

export const HEALTH_WORD = { bad: 'failing', warn: 'some errors', good: 'healthy' } as const;
export const HEALTH_GLYPH = { bad: '✖', warn: '▲', good: '✔' } as const;
