// What the page of one service asks: which of the known metrics it has, and the PromQL and SQL over them. Pure; the
// page asks, this decides what. Names are the guide's, OpenTelemetry's present and former ones, and those that Skopos
// derives from spans, so that a page is whole for services that are only scraped and for those that only trace.

import { promqlString as quote, type Columns } from '../api/prometheus';
import type { Labels, VectorSample } from '../api/types';
import { LINE, meanOf } from './lines';
import { durationText, stepSeconds, type Window } from './time';

/** Where requests are counted and timed. */
export interface Source {
  /** As it is told below the charts. */
  told: string;
  /** The counter of requests; the histogram itself where that is native. */
  count: string;
  /** `''` where there is no histogram. */
  buckets: string;
  native: boolean;
  /** Matchers that pick the service and what it serves. */
  match: string;
  /** Labels that name an endpoint. */
  endpoint: string[];
  /** The label of the counter that says how a request ended. */
  status: string;
  /** The matcher of failed requests. */
  failed: string;
  /** Whether the histogram tells failed requests apart. */
  splits: boolean;
}

/** Something that fills up. */
export interface Gauge {
  kind: 'pool' | 'queue' | 'flight' | 'cpu' | 'memory';
  told: string;
  expr: string;
}

export interface Plan {
  traffic: Source | null;
  latency: Source | null;
  gauges: Gauge[];
}

/** Names of the metrics of a service, by how they are attached to it. */
export interface Found {
  /** With its `job`. */
  own: string[];
  /** With its `service_name`, of spans that serve a request or a message. */
  served: string[];
  /** With its `service_name`, of any span. */
  spans: string[];
  /** Labels of `http_request_duration_seconds_bucket`. */
  labels: string[];
}

/** A text inside an SQL string. */
export function sqlText(value: string): string {
  return `'${value.replace(/'/g, "''")}'`;
}

function literally(value: string): string {
  return value.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&');
}

/** The job of a service is its name, behind its namespace if it has one. */
export function jobIs(service: string): string {
  return `job=~${quote(`(?:.*/)?${literally(service)}`)}`;
}

const SERVING = 'span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"';

/** The selectors whose metric names say what there is: see `Found`. */
export function looking(service: string): { own: string; served: string; spans: string; labels: string } {
  return {
    own: `{${jobIs(service)}}`,
    served: `{service_name=${quote(service)},${SERVING}}`,
    spans: `{service_name=${quote(service)},span_kind!=""}`,
    labels: `http_request_duration_seconds_bucket{${jobIs(service)}}`,
  };
}

export function plan(service: string, found: Found): Plan {
  const own = new Set(found.own);
  const job = jobIs(service);
  const sources: Source[] = [];
  if (own.has('http_requests_total')) {
    const timed = own.has('http_request_duration_seconds_bucket');
    const splits = timed && found.labels.includes('status_code');
    sources.push({
      told: 'http_requests_total', count: 'http_requests_total', buckets: timed ? 'http_request_duration_seconds_bucket' : '', native: false,
      match: job, endpoint: ['method', 'endpoint'], status: 'status_code', failed: 'status_code=~"5.."', splits,
    });
  }
  const semantic = {
    match: job, endpoint: ['http_request_method', 'http_route'], status: 'http_response_status_code',
    failed: 'http_response_status_code=~"5.."', splits: true,
  };
  if (own.has('http_server_request_duration_seconds_bucket')) {
    sources.push({
      ...semantic, told: 'http_server_request_duration_seconds', count: 'http_server_request_duration_seconds_count',
      buckets: 'http_server_request_duration_seconds_bucket', native: false,
    });
  } else if (own.has('http_server_request_duration_seconds')) {
    const name = 'http_server_request_duration_seconds';
    sources.push({ ...semantic, told: name, count: name, buckets: name, native: true });
  }
  const traced = {
    count: 'traces_spanmetrics_calls_total', buckets: 'traces_spanmetrics_latency_bucket', native: false,
    endpoint: ['span_name'], status: 'status_code', failed: 'status_code="STATUS_CODE_ERROR"', splits: true,
  };
  if (found.served.includes(traced.count)) {
    sources.push({ ...traced, told: 'spans that serve', match: `service_name=${quote(service)},${SERVING}` });
  } else if (found.spans.includes(traced.count)) {
    sources.push({ ...traced, told: 'all its spans: none serves a request', match: `service_name=${quote(service)}` });
  }
  return {
    traffic: sources[0] ?? null,
    // A fast failure is no fast answer: the first that tells them apart, else the first that times at all.
    latency: sources.find((s) => s.splits && s.buckets !== '') ?? sources.find((s) => s.buckets !== '') ?? null,
    gauges: gauges(own, job),
  };
}

function gauges(own: Set<string>, job: string): Gauge[] {
  const used = (count: string, state: string, max: string, by: string): string =>
    `sum by (instance, ${by}) (${count}{${job},${state}="used"}) / max by (instance, ${by}) (${max}{${job}})`;
  const known: [Gauge['kind'], string, string][] = [
    ['pool', 'db_connection_pool_usage_ratio', `db_connection_pool_usage_ratio{${job}}`],
    ['pool', 'db_client_connection_count', used('db_client_connection_count', 'db_client_connection_state', 'db_client_connection_max', 'db_client_connection_pool_name')],
    ['pool', 'db_client_connections_usage', used('db_client_connections_usage', 'state', 'db_client_connections_max', 'pool_name')],
    ['queue', 'task_queue_depth', `sum by (queue_name) (task_queue_depth{${job}})`],
    ['queue', 'db_client_connection_pending_requests', `db_client_connection_pending_requests{${job}}`],
    ['queue', 'db_client_connections_pending_requests', `db_client_connections_pending_requests{${job}}`],
    ['flight', 'http_requests_in_progress', `sum by (instance) (http_requests_in_progress{${job}})`],
    ['flight', 'http_server_active_requests', `sum by (instance) (http_server_active_requests{${job}})`],
    ['cpu', 'process_cpu_seconds_total', `sum by (instance) (rate(process_cpu_seconds_total{${job}}[SPAN]))`],
    ['cpu', 'process_cpu_time_seconds_total', `sum by (instance) (rate(process_cpu_time_seconds_total{${job}}[SPAN]))`],
    ['memory', 'process_resident_memory_bytes', `process_resident_memory_bytes{${job}}`],
    ['memory', 'process_memory_usage_bytes', `process_memory_usage_bytes{${job}}`],
  ];
  const first = new Map<Gauge['kind'], Gauge>();
  for (const [kind, told, expr] of known) {
    if (own.has(told) && !first.has(kind)) first.set(kind, { kind, told, expr });
  }
  return [...first.values()];
}

/** Points of a chart. */
export const POINTS = 120;

/** The selector of the samples by which the spacing of a service's metrics is seen. */
export function spacingOf(service: string): string {
  return `{__name__=~"up|target_info",${jobIs(service)}}[10m]`;
}

/** Seconds between samples: the usual distance in the closest series; 15 where nothing is known. */
export function spacing(series: { values: [number, string][] }[]): number {
  const usual = series.flatMap(({ values }) => {
    const gaps = values.slice(1).map(([time], i) => time - values[i]![0]).sort((a, b) => a - b);
    return gaps.length > 0 ? [gaps[Math.floor(gaps.length / 2)]!] : [];
  });
  return usual.length > 0 ? Math.max(1, Math.round(Math.min(...usual))) : 15;
}

/** Over which time a rate is taken: a minute at least, four samples, and nothing between two points is left out. */
export function rateSpan(window: Window, every: number): string {
  return durationText(Math.max(60, 4 * every, 2 * stepSeconds(window, POINTS)) * 1000);
}

/** The whole window, as a range of PromQL. */
export function wholeSpan(window: Window): string {
  return durationText(Math.max(60, Math.round((window.to - window.from) / 1000)) * 1000);
}

/** The window of the same length right before. */
export function before(window: Window): Window {
  return { from: window.from - (window.to - window.from), to: window.from };
}

const braces = (...matchers: string[]): string => `{${matchers.filter((m) => m !== '').join(',')}}`;

function rate(source: Source, more: string, span: string): string {
  const inner = `rate(${source.count}${braces(source.match, more)}[${span}])`;
  return source.native ? `histogram_count(${inner})` : inner;
}

function quantile(source: Source, q: number, more: string, span: string, by: string[] = []): string {
  const labels = source.native ? by : [...by, 'le'];
  const grouped = labels.length > 0 ? `sum by (${labels.join(', ')})` : 'sum';
  return `histogram_quantile(${q}, ${grouped} (rate(${source.buckets}${braces(source.match, more)}[${span}])))`;
}

/** The matcher of what did not fail. */
function fine(source: Source): string {
  return source.failed.includes('=~') ? source.failed.replace('=~', '!~') : source.failed.replace('=', '!=');
}

export interface Asked {
  name: string;
  expr: string;
}

/** Quantiles over time; failed requests apart where the histogram tells. */
export function latencyLines(source: Source, span: string): Asked[] {
  const each = (word: string, more: string): Asked[] =>
    [50, 95, 99].map((p) => ({ name: `p${p}${word}`, expr: quantile(source, p / 100, more, span) }));
  return source.splits ? [...each('', fine(source)), ...each(' failed', source.failed)] : each('', '');
}

/** Requests per second by endpoint. */
export function trafficLines(source: Source, span: string): string {
  return `sum by (${source.endpoint.join(', ')}) (${rate(source, '', span)})`;
}

/** The share of failed requests in all, together and by status where there are several kinds. A service without errors has 0, not nothing. */
export function errorLines(source: Source, span: string): Asked[] {
  const all = `sum(${rate(source, '', span)})`;
  const together = { name: 'all failed', expr: `(sum(${rate(source, source.failed, span)}) or 0 * ${all}) / ${all}` };
  if (!source.failed.includes('=~')) return [together];
  const client = source.failed.replace('5..', '4..');
  return [
    together,
    { name: '', expr: `sum by (${source.status}) (${rate(source, source.failed, span)}) / on () group_left () ${all}` },
    { name: '4xx, the caller’s', expr: `sum(${rate(source, client, span)}) / ${all}` },
  ];
}

/** Error lines by name. With one kind of failure the line of all, which has zeros too, is the line of that kind. */
export function errorColumns(source: Source, all: Columns): Columns {
  const named = all.series.map((s) => ({ ...s, labels: { [LINE]: s.labels[LINE] || s.labels[source.status] || '' } }));
  const kinds = named.filter((s) => /^5/.test(s.labels[LINE]));
  if (kinds.length !== 1) return { times: all.times, series: named };
  return {
    times: all.times,
    series: named.filter((s) => s !== kinds[0]).map((s) => (s.labels[LINE] === 'all failed' ? { ...s, labels: kinds[0]!.labels } : s)),
  };
}

export function saturationLine(gauge: Gauge, span: string): string {
  return gauge.expr.replace('[SPAN]', `[${span}]`);
}

/** What the table of endpoints asks at the end of a window, over all of it. */
export function endpointQueries(source: Source, timed: Source, span: string): Record<'all' | 'failed' | 'p99', string> {
  const by = source.endpoint.join(', ');
  return {
    all: `sum by (${by}) (${rate(source, '', span)})`,
    failed: `sum by (${by}) (${rate(source, source.failed, span)})`,
    p99: timed.buckets === '' ? 'vector(0) < 0' : quantile(timed, 0.99, '', span, timed.endpoint),
  };
}

/** Where the endpoints' latency is looked for: with the counter, so that names agree, else wherever there is some. */
export function timedBy(plan: Plan): Source | null {
  return plan.traffic?.buckets ? plan.traffic : (plan.latency ?? plan.traffic);
}

/** One figure for the whole service and window. */
export function overallQueries(source: Source, timed: Source | null, span: string): Record<'all' | 'failed', string> & Record<'p50' | 'p99', string | null> {
  return {
    all: `sum(${rate(source, '', span)})`,
    failed: `sum(${rate(source, source.failed, span)})`,
    p50: timed ? quantile(timed, 0.5, timed.splits ? fine(timed) : '', span) : null,
    p99: timed ? quantile(timed, 0.99, timed.splits ? fine(timed) : '', span) : null,
  };
}

export interface EndpointRow {
  name: string;
  labels: Labels;
  rate: number;
  rates: (number | null)[];
  /** Share of failed requests, 0 to 1. */
  errors: number;
  /** Seconds; null where it is not known. */
  p99: number | null;
  /** Against the window before, as a share: 0.2 is a fifth more. Null where there was nothing. */
  rateChange: number | null;
  p99Change: number | null;
  /** Difference of the shares of failed requests. */
  errorChange: number | null;
}

export interface EndpointData {
  /** Rates over the window, and over the one before. */
  rates: Columns;
  ratesBefore: Columns;
  all: VectorSample[];
  failed: VectorSample[];
  p99: VectorSample[];
  allBefore: VectorSample[];
  failedBefore: VectorSample[];
  p99Before: VectorSample[];
}

/** `POST /orders` */
export function endpointName(source: Source, labels: Labels): string {
  return source.endpoint.map((label) => labels[label] ?? '').filter((part) => part !== '').join(' ') || 'no endpoint';
}

/** The share by which something changed; null where there was nothing before. */
export function change(now: number | null, then: number | null): number | null {
  return now === null || then === null || then <= 0 || !Number.isFinite(now) || !Number.isFinite(then) ? null : now / then - 1;
}

/** The busiest first. An endpoint that nobody called in this window has no row. */
export function endpointRows(source: Source, timed: Source, data: EndpointData): EndpointRow[] {
  // By the name that is shown: spans are called what method and route are together.
  const values = (samples: VectorSample[], from = source): Map<string, number> => new Map(samples.map((s) => [endpointName(from, s.metric), Number(s.value[1])]));
  const means = (columns: Columns): Map<string, number | null> => new Map(columns.series.map((s) => [endpointName(source, s.labels), meanOf(s.values)]));
  const [all, failed, p99] = [values(data.all), values(data.failed), values(data.p99, timed)];
  const [allBefore, failedBefore, p99Before] = [values(data.allBefore), values(data.failedBefore), values(data.p99Before, timed)];
  const ratesBefore = means(data.ratesBefore);
  const share = (some: Map<string, number>, of: Map<string, number>, id: string): number | null => {
    const whole = of.get(id) ?? 0;
    return whole > 0 ? (some.get(id) ?? 0) / whole : null;
  };
  const known = (value: number | undefined): number | null => (value === undefined || Number.isNaN(value) ? null : value);
  return data.rates.series
    .map(({ labels, values: rates }): EndpointRow => {
      const id = endpointName(source, labels);
      const now = meanOf(rates) ?? 0;
      const errors = share(failed, all, id) ?? 0;
      const errorsBefore = share(failedBefore, allBefore, id);
      return {
        name: id, labels, rate: now, rates, errors,
        p99: known(p99.get(id)),
        rateChange: change(now, ratesBefore.get(id) ?? null),
        p99Change: change(known(p99.get(id)), known(p99Before.get(id))),
        errorChange: errorsBefore === null ? null : errors - errorsBefore,
      };
    })
    .filter((row) => row.rate > 0)
    .sort((a, b) => b.rate - a.rate || a.name.localeCompare(b.name));
}

/**
 * What the service calls, and how long it waits for it: other services by the spans they answer with, databases and
 * the like by what the calling span says about them. Failed is what either side calls failed.
 */
export function calledSql(service: string): string {
  const own = sqlText(service);
  const callee = ['c.service', ...['peer.service', 'db.system.name', 'db.system', 'messaging.system', 'rpc.service', 'server.address'].map((a) => `p.attributes->>'${a}'`), 'p.name'];
  return `SELECT coalesce(${callee.join(', ')}) AS callee, c.service IS NOT NULL AS is_service, count(*) AS calls, `
    + "sum(CASE WHEN p.status = 'ERROR' OR c.status = 'ERROR' THEN 1 ELSE 0 END) AS failed, "
    + 'approx_percentile_cont(p.duration_ms, 0.5) AS p50, approx_percentile_cont(p.duration_ms, 0.99) AS p99 '
    + 'FROM spans p LEFT JOIN spans c ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id '
    // A span that ended just now may have children that are still on their way.
    + `AND c.service <> ${own} WHERE p.service = ${own} AND p.time < now() - interval '10 seconds' AND (p.kind IN ('client', 'producer') OR c.service IS NOT NULL) `
    + 'GROUP BY 1, 2 ORDER BY p99 DESC LIMIT 20';
}

/** Its most frequent errors in the logs, with numbers and ids left out of the text. */
export function errorsSql(service: string): string {
  return `SELECT regexp_replace(body, '[0-9a-fA-F]{8}[0-9a-fA-F-]*|[0-9]+', '…', 'g') AS text, count(*) AS n, min(time) AS first, max(time) AS last, `
    + `max(trace_id) AS trace FROM logs WHERE service = ${sqlText(service)} AND severity >= 17 GROUP BY 1 ORDER BY n DESC, text LIMIT 8`;
}

/** The longest piece of a pattern that stands in every text it was made of. */
export function fixedPart(pattern: string): string {
  return pattern.split('…').map((part) => part.trim()).reduce((a, b) => (b.length > a.length ? b : a), '');
}

/** SQL reads every span: the newest part of long windows is enough to see on whom a service waits. */
export function sampled(window: Window): Window[] {
  const last = (ms: number): Window => ({ from: Math.max(window.from, window.to - ms), to: window.to });
  return window.to - window.from > 60_000 ? [last(15 * 60_000), last(60_000)] : [window];
}
