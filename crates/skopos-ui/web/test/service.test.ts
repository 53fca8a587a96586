import { describe, expect, it } from 'vitest';
import { columns, type Columns } from '../src/api/prometheus';
import { joined, largest, LINE, meanOf, namer, timeSpace, timeTexts } from '../src/lib/lines';
import {
  before, calledSql, change, endpointName, endpointQueries, endpointRows, errorColumns, errorLines, errorsSql, fixedPart, jobIs, latencyLines, looking,
  overallQueries, plan, rateSpan, sampled, saturationLine, spacing, timedBy, trafficLines, wholeSpan, type Found, type Source,
} from '../src/lib/service';

const NOTHING: Found = { own: [], served: [], spans: [], labels: [] };
const SPANMETRICS = ['traces_spanmetrics_calls_total', 'traces_spanmetrics_latency_bucket'];
const GUIDE = ['http_requests_total', 'http_request_duration_seconds_bucket', 'db_connection_pool_usage_ratio', 'task_queue_depth'];
const traffic = (found: Partial<Found>): Source => plan('shop', { ...NOTHING, ...found }).traffic!;

describe('a service is found', () => {
  it('by its job with or without a namespace, as text and not as a pattern', () => {
    expect(jobIs('a.b"c')).toBe('job=~"(?:.*/)?a\\\\.b\\"c"');
    expect(looking('shop')).toEqual({
      own: '{job=~"(?:.*/)?shop"}',
      served: '{service_name="shop",span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"}',
      spans: '{service_name="shop",span_kind!=""}',
      labels: 'http_request_duration_seconds_bucket{job=~"(?:.*/)?shop"}',
    });
  });

  it('by the names of the guide; failures are timed apart by its spans', () => {
    const both = plan('shop', { ...NOTHING, own: GUIDE, served: SPANMETRICS });
    expect(both.traffic?.count).toBe('http_requests_total');
    expect(both.latency?.told).toBe('spans that serve');
    expect(timedBy(both)?.buckets).toBe('http_request_duration_seconds_bucket');
    const scraped = plan('shop', { ...NOTHING, own: GUIDE });
    expect([scraped.latency?.buckets, scraped.latency?.splits]).toEqual(['http_request_duration_seconds_bucket', false]);
    const labelled = plan('shop', { ...NOTHING, own: GUIDE, labels: ['status_code', 'le'], served: SPANMETRICS });
    expect([labelled.latency?.buckets, labelled.latency?.splits]).toEqual(['http_request_duration_seconds_bucket', true]);
  });

  it('by those of OpenTelemetry, classic or native', () => {
    const name = 'http_server_request_duration_seconds';
    expect(traffic({ own: [`${name}_bucket`, `${name}_count`] })).toMatchObject({ count: `${name}_count`, native: false, splits: true });
    expect(traffic({ own: [name] })).toMatchObject({ count: name, buckets: name, native: true });
  });

  it('by spans alone, also where none of them serves', () => {
    expect(traffic({ served: SPANMETRICS, spans: SPANMETRICS }).match).toContain('SPAN_KIND_SERVER');
    expect(traffic({ spans: SPANMETRICS }).match).toBe('service_name="shop"');
    expect(plan('shop', NOTHING)).toEqual({ traffic: null, latency: null, gauges: [] });
  });

  it('by a counter without a histogram, which has no latency', () => {
    const counted = plan('shop', { ...NOTHING, own: ['http_requests_total'] });
    expect([counted.traffic?.count, counted.latency]).toEqual(['http_requests_total', null]);
    expect(endpointQueries(counted.traffic!, timedBy(counted)!, '5m').p99).toBe('vector(0) < 0');
  });

  it('with what fills up, one gauge of a kind', () => {
    const { gauges } = plan('shop', { ...NOTHING, own: [...GUIDE, 'db_client_connection_count', 'process_cpu_seconds_total'] });
    expect(gauges.map((g) => [g.kind, g.told])).toEqual([
      ['pool', 'db_connection_pool_usage_ratio'], ['queue', 'task_queue_depth'], ['cpu', 'process_cpu_seconds_total'],
    ]);
    expect(saturationLine(gauges[2]!, '1m')).toBe('sum by (instance) (rate(process_cpu_seconds_total{job=~"(?:.*/)?shop"}[1m]))');
    const [semantic] = plan('shop', { ...NOTHING, own: ['db_client_connection_count'] }).gauges;
    expect(semantic!.expr).toBe('sum by (instance, db_client_connection_pool_name) (db_client_connection_count{job=~"(?:.*/)?shop",db_client_connection_state="used"})'
      + ' / max by (instance, db_client_connection_pool_name) (db_client_connection_max{job=~"(?:.*/)?shop"})');
  });
});

describe('what is asked', () => {
  it('splits latency by success where the histogram can', () => {
    const spans = traffic({ served: SPANMETRICS });
    const asked = latencyLines(spans, '1m');
    expect(asked.map((a) => a.name)).toEqual(['p50', 'p95', 'p99', 'p50 failed', 'p95 failed', 'p99 failed']);
    const match = 'service_name="shop",span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"';
    expect(asked[2]!.expr).toBe(`histogram_quantile(0.99, sum by (le) (rate(traces_spanmetrics_latency_bucket{${match},status_code!="STATUS_CODE_ERROR"}[1m])))`);
    expect(asked[5]!.expr).toContain(',status_code="STATUS_CODE_ERROR"}[1m]');
    expect(latencyLines(traffic({ own: GUIDE }), '1m').map((a) => a.name)).toEqual(['p50', 'p95', 'p99']);
    const semantic = latencyLines(traffic({ own: ['http_server_request_duration_seconds_bucket'] }), '1m');
    expect(semantic[0]!.expr).toContain('http_response_status_code!~"5.."');
  });

  it('reads native histograms without buckets', () => {
    const native = traffic({ own: ['http_server_request_duration_seconds'] });
    expect(latencyLines(native, '1m')[0]!.expr).toBe(
      'histogram_quantile(0.5, sum (rate(http_server_request_duration_seconds{job=~"(?:.*/)?shop",http_response_status_code!~"5.."}[1m])))');
    expect(trafficLines(native, '1m')).toBe(
      'sum by (http_request_method, http_route) (histogram_count(rate(http_server_request_duration_seconds{job=~"(?:.*/)?shop"}[1m])))');
  });

  it('has 0 for a service without errors, and tells kinds apart where there are several', () => {
    const guide = traffic({ own: GUIDE });
    expect(trafficLines(guide, '1m')).toBe('sum by (method, endpoint) (rate(http_requests_total{job=~"(?:.*/)?shop"}[1m]))');
    const [all, byStatus, client] = errorLines(guide, '1m');
    const whole = 'sum(rate(http_requests_total{job=~"(?:.*/)?shop"}[1m]))';
    expect(all!.expr).toBe(`(sum(rate(http_requests_total{job=~"(?:.*/)?shop",status_code=~"5.."}[1m])) or 0 * ${whole}) / ${whole}`);
    expect(byStatus!.expr).toBe(`sum by (status_code) (rate(http_requests_total{job=~"(?:.*/)?shop",status_code=~"5.."}[1m])) / on () group_left () ${whole}`);
    expect(client!.expr).toContain('status_code=~"4.."');
    expect(errorLines(traffic({ served: SPANMETRICS }), '1m')).toHaveLength(1);
  });

  it('draws one kind of failure with its zeros, and several beside their sum', () => {
    const guide = traffic({ own: GUIDE });
    const line = (labels: Record<string, string>, values: (number | null)[]) => ({ labels, values });
    const all = line({ [LINE]: 'all failed' }, [0, 0.1]);
    const five = (status: string) => line({ [LINE]: '', status_code: status }, [null, 0.1]);
    const names = (...series: ReturnType<typeof line>[]) => errorColumns(guide, { times: [0, 60], series }).series.map((s) => [s.labels[LINE], s.values[0]]);
    expect(names(all, five('503'))).toEqual([['503', 0]]);
    expect(names(all, five('500'), five('503'))).toEqual([['all failed', 0], ['500', null], ['503', null]]);
    expect(names(all)).toEqual([['all failed', 0]]);
  });

  it('has one figure for the whole of it', () => {
    const { traffic: source, latency } = plan('shop', { ...NOTHING, own: GUIDE, served: SPANMETRICS });
    const { p99, failed } = overallQueries(source!, latency, '1h');
    expect(p99).toContain('status_code!="STATUS_CODE_ERROR"}[1h]');
    expect(failed).toBe('sum(rate(http_requests_total{job=~"(?:.*/)?shop",status_code=~"5.."}[1h]))');
    expect(overallQueries(source!, null, '1h').p50).toBeNull();
  });

  it('takes rates over what the samples allow', () => {
    const hour = { from: 0, to: 3_600_000 };
    expect(spacing([])).toBe(15);
    expect(spacing([{ values: [[0, '1'], [60, '1'], [120, '1']] }, { values: [[0, '1'], [30.01, '1'], [60, '1'], [300, '1']] }])).toBe(30);
    expect(rateSpan(hour, 1)).toBe('1m');
    expect(rateSpan(hour, 60)).toBe('4m');
    expect(rateSpan({ from: 0, to: 86_400_000 }, 15)).toBe('1h');
    expect(wholeSpan(hour)).toBe('1h');
    expect(wholeSpan({ from: 0, to: 5000 })).toBe('1m');
    expect(before(hour)).toEqual({ from: -3_600_000, to: 0 });
  });

  it('is SQL in which names are text', () => {
    expect(calledSql("o'shop")).toContain("p.service = 'o''shop'");
    expect(errorsSql("o'shop")).toContain("service = 'o''shop' AND severity >= 17");
    expect(sampled({ from: 0, to: 30_000 })).toEqual([{ from: 0, to: 30_000 }]);
    expect(sampled({ from: 0, to: 3_600_000 })).toEqual([{ from: 2_700_000, to: 3_600_000 }, { from: 3_540_000, to: 3_600_000 }]);
  });

  it('finds the records of a pattern by its longest fixed piece', () => {
    expect(fixedPart('pool timeout after … ms')).toBe('pool timeout after');
    expect(fixedPart('… of … failed')).toBe('failed');
    expect(fixedPart('…')).toBe('');
  });
});

describe('the table of endpoints', () => {
  const source = traffic({ own: GUIDE });
  const spans = traffic({ served: SPANMETRICS });
  const at = (labels: Record<string, string>, value: number) => ({ metric: labels, value: [0, String(value)] as [number, string] });
  const pay = { method: 'POST', endpoint: '/pay' };
  const show = { method: 'GET', endpoint: '/' };
  const lines = (...series: [Record<string, string>, (number | null)[]][]): Columns => ({ times: [0, 60], series: series.map(([labels, values]) => ({ labels, values })) });

  it('compares with the window before, and says nothing where there was none', () => {
    const rows = endpointRows(source, source, {
      rates: lines([show, [2, 2]], [pay, [null, 12]], [{ method: 'GET', endpoint: '/idle' }, [0, 0]]),
      ratesBefore: lines([pay, [10, 10]]),
      all: [at(pay, 10), at(show, 2)], failed: [at(pay, 1)], p99: [at(pay, 0.3), at(show, NaN)],
      allBefore: [at(pay, 10)], failedBefore: [at(pay, 0.5)], p99Before: [at(pay, 0.2)],
    });
    expect(rows.map((r) => r.name)).toEqual(['POST /pay', 'GET /']);
    const [first, second] = rows;
    expect(first).toMatchObject({ rate: 12, errors: 0.1, p99: 0.3 });
    expect(first!.rateChange).toBeCloseTo(0.2);
    expect(first!.p99Change).toBeCloseTo(0.5);
    expect(first!.errorChange).toBeCloseTo(0.05);
    expect(second).toMatchObject({ rate: 2, errors: 0, p99: null, rateChange: null, p99Change: null, errorChange: null });
  });

  it('takes times from spans by the name that both have', () => {
    const empty = { ratesBefore: lines(), all: [], failed: [], allBefore: [], failedBefore: [], p99Before: [] };
    const [row] = endpointRows(source, spans, { ...empty, rates: lines([pay, [1, 1]]), p99: [at({ span_name: 'POST /pay' }, 0.5)] });
    expect(row!.p99).toBe(0.5);
    expect(endpointName(source, {})).toBe('no endpoint');
  });

  it('a change needs something before it', () => {
    expect([change(2, 1), change(1, 0), change(null, 1), change(1, null), change(NaN, 1)]).toEqual([1, null, null, null, null]);
  });
});

describe('lines', () => {
  it('have times below them that do not touch, with days where there are several', () => {
    const at = (text: string): number => Date.parse(`${text}Z`) / 1000;
    const days = [at('2026-11-01T00:00'), at('2026-11-04T00:00')];
    expect(timeTexts(days, 30 * 86_400, 3 * 86_400, 'utc')).toEqual(['11-01', '11-04']);
    expect(timeTexts([at('2026-11-01T00:00'), at('2026-11-01T12:00')], 3 * 86_400, 43_200, 'utc')).toEqual(['11-01 00:00', '11-01 12:00']);
    // Days that begin elsewhere are no days.
    expect(timeTexts([at('2026-11-01T22:00')], 30 * 86_400, 86_400, 'utc')).toEqual(['11-01 22:00']);
    expect([timeTexts([at('2026-11-01T14:02')], 3600, 60, 'utc'), timeTexts([at('2026-11-01T14:02:07')], 300, 1, 'utc')]).toEqual([['14:02'], ['14:02:07']]);
    // A digit of 13 px is 7.5 px wide.
    for (const [span, text] of [[3600, '14:02'], [300, '14:02:07'], [86_400 * 30, '11-01 00:00']] as const) expect(timeSpace(span).apart).toBeGreaterThan(text.length * 7.5);
  });

  it('of several answers share one axis', () => {
    const one = columns([{ metric: { le: 'x' }, values: [[0, '1']] }], 0, 60, 60);
    expect(joined([{ name: 'p50', columns: one }, { name: 'p99', columns: { times: [], series: [] } }])).toEqual({
      times: [0, 60], series: [{ labels: { le: 'x', [LINE]: 'p50' }, values: [1, null] }],
    });
  });

  it('beyond the largest are one', () => {
    const series = [1, 5, 3, 2].map((n) => ({ labels: { n: String(n) }, values: [n, n === 2 ? null : n] }));
    const few = largest({ times: [0, 60], series }, 3);
    expect(few.series.map((s) => s.labels.n ?? s.labels[LINE])).toEqual(['5', '3', '2 others']);
    expect(few.series[2]!.values).toEqual([3, 1]);
    expect(largest({ times: [0, 60], series }, 4).series.map((s) => s.labels.n)).toEqual(['5', '3', '2', '1']);
    expect(meanOf([null, null])).toBeNull();
  });

  it('are named by what tells them apart', () => {
    const all = [{ job: 'a', instance: 'x:1', pool: 'main' }, { job: 'a', instance: 'x:2', pool: 'main' }];
    expect(all.map(namer(all))).toEqual(['x:1', 'x:2']);
    expect(namer([all[0]!])(all[0]!)).toBe('x:1');
    expect(namer([{}])({})).toBe('value');
  });
});
