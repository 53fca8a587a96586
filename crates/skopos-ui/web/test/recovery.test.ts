import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Columns } from '../src/api/prometheus';
import type { Alert } from '../src/api/types';
import { conditions, incidentOf, threshold, type Threshold } from '../src/lib/alerts';
import { related } from '../src/lib/incident';
import {
  asked, bands, breaks, comparable, fromFirst, holdFor, judge, recoveryWindow, sentence, standing, STATE, TIMES, together, unitOf, valueBeside, valueText,
} from '../src/lib/recovery';

const MINUTE = 60_000;
const START = Date.parse('2026-11-22T14:00:00Z');
const above: Threshold = { expr: 'x', operator: '>', value: 0.05 };

/** One series, a value a minute, from ten minutes before the incident began. */
function minutely(values: (number | null)[]): Columns {
  return { times: values.map((_, i) => START / 1000 + (i - 10) * 60), series: [{ labels: {}, values }] };
}

/** Ten minutes before, then what follows. */
const story = (...after: (number | null)[]): Columns => minutely([...Array<number>(10).fill(0.006), ...after]);

const said = (columns: Columns, end: number | null, limit: Threshold | null = above, waits = 100): string => {
  const now = columns.times.at(-1)! * 1000;
  return sentence(judge({ columns, limit, start: START, end, waits }), limit, 'share', 'utc', now);
};

describe('units', () => {
  it('are those in which the annotations tell the value, else those of the metrics', () => {
    const cases: [string, string, string][] = [
      ['sum(a) / sum(b)', 'p99 {{ $value | humanizeDuration }}', 'seconds'],
      ['x', 'rate {{ $value | humanizePercentage }}', 'share'],
      ['x', '{{ humanize1024 $value }} {{ $value | humanize1024 }}B', 'bytes'],
      ['sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))', '', 'share'],
      ['histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket[5m])) by (le))', '', 'seconds'],
      ['rate(a_seconds_sum[5m]) / rate(a_seconds_count[5m])', '', 'plain'],
      ['db_connection_pool_usage_ratio', '', 'share'],
      ['slo:sli_error:ratio_rate5m{a="b/c"}', '', 'plain'],
      ['process_resident_memory_bytes', '', 'bytes'],
      ['rate(process_cpu_seconds_total[5m])', '', 'plain'],
      ['task_queue_depth{queue_name="a/b"}', '', 'plain'],
    ];
    for (const [expr, template, want] of cases) expect(unitOf(expr, [template]), `${expr} ${template}`).toBe(want);
  });

  it('are said shortly, and never as the threshold when they are not it', () => {
    expect([valueText(0.0083, 'share'), valueText(2.04, 'seconds'), valueText(42, 'plain'), valueText(3.4567, 'times')]).toEqual(['0.83%', '2.04s', '42', '3.5× the threshold']);
    expect(valueBeside(0.00996, 0.01, 'share')).toBe('0.996%');
    expect(valueBeside(0.01, 0.01, 'share')).toBe('1%');
    expect(valueBeside(0.5, 0.01, 'share')).toBe('50%');
    fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0.01, 0.05, 0.0144, 0.5), (value, limit) => {
      fc.pre(value === limit || Math.abs(value - limit) > limit * 1e-4);
      expect(valueBeside(value, limit, 'share') === valueText(limit, 'share', 4)).toBe(value === limit);
    }));
  });

  it('stand to the threshold in words', () => {
    const words = (operator: string, value: number): string => standing(value, { expr: '', operator, value: 2 }, 'plain');
    expect([words('>', 3), words('>', 2), words('>', 1)]).toEqual(['above 2', 'not above 2', 'below 2']);
    expect([words('<', 1), words('<', 2), words('<', 3)]).toEqual(['below 2', 'not below 2', 'above 2']);
    expect([words('>=', 2), words('<=', 2), words('==', 2), words('!=', 2)]).toEqual(['at or above 2', 'at or below 2', 'at 2', 'at 2']);
    expect(standing(3, TIMES, 'times')).toBe('above it');
  });
});

describe('conditions', () => {
  it('are told apart where all of them must hold', () => {
    const burn = 'slo:a{b="and"} / 0.001 > 14.4\n  and ignoring (window)\nslo:c / 0.001 > 14.4\n and ignoring (window)\nslo:bad >= 5';
    expect(conditions(burn)?.map((c) => [c.operator, c.value])).toEqual([['>', 14.4], ['>', 14.4], ['>=', 5]]);
    expect(conditions('(a > 1) and on (job) (b >= 2)')?.map((c) => c.expr)).toEqual(['a', 'b']);
    for (const expr of ['a > 1', 'a > 1 or b > 2', 'a > 1 and b', 'a and b > 1', 'absent(up)', 'sum(a > 1 and b > 2)']) expect(conditions(expr), expr).toBeNull();
    expect(comparable(conditions('a > 1 and b < 2')!)).toBe(false);
    expect(comparable(conditions('a > 1 and b >= 2')!)).toBe(true);
  });

  it('together are as far as the least of them', () => {
    const column = (...values: (number | null)[]): Columns => ({ times: [0, 60, 120], series: [{ labels: {}, values }] });
    const { lines, least } = together([
      { name: 'fast', limit: threshold('a > 2')!, columns: column(8, 2, null) },
      { name: 'slow', limit: threshold('b > 4')!, columns: column(6, 8, 8) },
    ]);
    expect(lines.series.map((s) => s.values)).toEqual([[4, 1, null], [1.5, 2, 2]]);
    expect(least.series[0]!.values).toEqual([1.5, 1, null]);
  });
});

describe('what is asked', () => {
  it('of a share of counts gives 0 where nothing failed', () => {
    const ratio = 'sum(rate(a{code=~"5../"}[5m]))\n/ sum(rate(a[5m]))';
    expect(asked(ratio)).toBe(`(${ratio}) or ((sum(rate(a[5m]))) > 0) * 0`);
    expect(asked(`(${ratio})`)).toBe(asked(ratio));
    for (const expr of [
      'up', 'histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m])))', 'rate(a_seconds_sum[5m]) / rate(a_seconds_count[5m])', 'a / b / c', 'free / total',
      'rate(a[5m]) / on (job) rate(b[5m])', 'rate(a[5m]) / rate(b[5m]) * 100', 'rate(a[5m]) / rate(b[5m]) or rate(c[5m])',
    ]) expect(asked(expr), expr).toBe(expr);
  });
});

describe('a recovery', () => {
  it('is told in a sentence', () => {
    // Ten bad minutes, then seven good ones.
    const bad = Array<number>(10).fill(0.12);
    expect(said(story(...bad), null)).toBe('Not recovered: 12%, above 5% for 9m, since 14:00:00; 0.6% before the incident.');
    expect(said(story(...bad, 0.008, 0.008), null)).toBe('0.8%, below 5% for 1m, since 14:10:00, but the alert still fires; 0.6% before the incident.');
    const end = START + 10 * MINUTE;
    expect(said(story(...bad, 0.008, 0.008, 0.008), end)).toBe('Recovering: 0.8%, below 5% for 2m, since 14:10:00; 0.6% before the incident. It counts as recovered after 5m.');
    expect(said(story(...bad, ...Array<number>(7).fill(0.008)), end)).toBe('Recovered: 0.8%, below 5% for 6m, since 14:10:00; 0.6% before the incident.');
    expect(said(story(...bad, ...Array<number>(7).fill(0.03)), end)).toBe('Recovered: 3%, below 5% for 6m, since 14:10:00; still 5 times the 0.6% before the incident.');
    expect(said(story(...bad, 0.01, 0.01, 0.2, 0.2), end)).toBe('It is wrong again: 20%, above 5% since 14:12:00, after the alert was over; 0.6% before the incident.');
  });

  it('is not proven by silence, where a number was compared', () => {
    const gone = story(...Array<number>(10).fill(0.12), null, null, null, null, null);
    const found = judge({ columns: gone, limit: above, start: START, end: START + 10 * MINUTE, waits: 0 });
    expect(found.state).toBe('blind');
    expect(said(gone, START + 10 * MINUTE)).toBe('Not proven: the expression has given no number for 5m, since 14:09:00. No data is no recovery.');
    expect(said(minutely([null, null, null, null]), START)).toContain('no number in all this time');
    // The newest step may come a moment later.
    expect(judge({ columns: story(0.12, 0.01, 0.01, null), limit: above, start: START, end: START + MINUTE, waits: 0 }).state).toBe('recovered');
  });

  it('of a condition without a threshold is that it no longer gives anything', () => {
    const condition = (...after: (number | null)[]): Columns => minutely([...Array<null>(10).fill(null), ...after]);
    expect(said(condition(1, 1, 1), null, null)).toBe('Not recovered: the condition has held for 2m, since 14:00:00.');
    const end = START + 3 * MINUTE;
    expect(said(condition(1, 1, 1, null, null, null, null), end, null, 60)).toBe('Recovered: the condition has not held for 3m, since 14:03:00.');
  });

  it('of an alert below its threshold is being above it', () => {
    const below: Threshold = { expr: 'up', operator: '<', value: 1 };
    const up = minutely([...Array<number>(10).fill(1), 0, 0, 0, 1, 1, 1]);
    const found = judge({ columns: up, limit: below, start: START, end: START + 3 * MINUTE, waits: 0 });
    expect(found).toMatchObject({ state: 'recovered', before: 1, worst: { value: 0 }, now: { value: 1 }, since: START + 3 * MINUTE, times: null });
  });

  it('is judged by the worst of several series', () => {
    const columns: Columns = { times: [0, 60, 120], series: [{ labels: { pod: 'a' }, values: [0.9, 0.9, 0.01] }, { labels: { pod: 'b' }, values: [0.01, 0.9, 0.3] }, { labels: { pod: 'c' }, values: [null, null, 0.4] }] };
    expect(judge({ columns, limit: above, start: 0, end: null, waits: 0 })).toMatchObject({ state: 'wrong', now: { value: 0.4 }, since: 0 });
  });

  it('has one state, a since within what is known, and a sentence, whatever was measured', () => {
    const value = fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: null });
    fc.assert(fc.property(
      fc.array(value, { maxLength: 40 }), fc.option(fc.integer({ min: 0, max: 30 }), { nil: null }), fc.constantFrom('>', '>=', '<', '<=', '==', '!='), fc.boolean(),
      (values, ends, operator, compares) => {
        const columns = minutely(values);
        const limit = compares ? { expr: 'x', operator, value: 0.5 } : null;
        const end = ends === null ? null : START + ends * MINUTE;
        const found = judge({ columns, limit, start: START, end, waits: 60 });
        expect(STATE[found.state]).toBeDefined();
        if (found.since !== null) {
          expect(found.since).toBeGreaterThanOrEqual(columns.times[0]! * 1000);
          expect(found.since).toBeLessThanOrEqual(columns.times.at(-1)! * 1000);
        }
        if (found.state === 'wrong' || found.state === 'again') expect(limit ? breaks(found.now!.value, limit) : true).toBe(true);
        if (limit && ['recovered', 'holding', 'clearing'].includes(found.state)) expect(breaks(found.now!.value, limit)).toBe(false);
        expect(sentence(found, limit, 'plain', 'utc', (columns.times.at(-1) ?? 0) * 1000)).toMatch(/\.$/);
      },
    ));
  });
});

describe('its window and bands', () => {
  it('have as much before and after as it lasted, within limits', () => {
    const of = (lasted: number, now: number): [number, number] => {
      const { from, to } = recoveryWindow(START, START + lasted * MINUTE, START + now * MINUTE);
      return [(START - from) / MINUTE, (to - START) / MINUTE];
    };
    expect(of(2, 600)).toEqual([5, 17]);
    expect(of(30, 600)).toEqual([30, 60]);
    expect(of(600, 6000)).toEqual([60, 660]);
    expect(of(2, 3)).toEqual([5, 3]);
    expect([holdFor(0), holdFor(300), holdFor(86_400)]).toEqual([MINUTE / 2, 15 * MINUTE, 30 * MINUTE]);
  });

  it('leave out the empty beginning of a young store', () => {
    const columns = minutely([...Array<null>(30).fill(null), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const cut = fromFirst(columns);
    expect(cut.series[0]!.values).toEqual([null, null, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(cut.times).toHaveLength(12);
    expect(fromFirst(minutely([1, null]))).toEqual(minutely([1, null]));
    expect(fromFirst({ times: [1, 2], series: [] }).times).toEqual([1, 2]);
  });

  it('are the pending and the firing parts, or all of it where nothing is recorded', () => {
    const [a, b, c] = [START, START + MINUTE, START + 5 * MINUTE];
    const phases = [{ state: 'pending' as const, from: a, to: b }, { state: 'firing' as const, from: b, to: c }];
    expect(bands(phases, a, c, c + MINUTE)).toEqual({ pending: [{ from: a / 1000, to: b / 1000 }], firing: [{ from: b / 1000, to: c / 1000 }] });
    expect(bands([], a, null, c)).toEqual({ pending: [], firing: [{ from: a / 1000, to: c / 1000 }] });
  });
});

describe('what is active beside it', () => {
  it('is of the same rule or service, and of a budget only the worst', () => {
    const alert = (labels: Record<string, string>, state: Alert['state'] = 'firing'): Alert => ({ labels, annotations: {}, state, activeAt: '2026-11-22T14:00:00Z', value: '1' });
    const own = alert({ alertname: 'A', service: 's' });
    const all = [
      alert({ alertname: 'B', service: 's' }, 'pending'), own, alert({ alertname: 'A', service: 'other' }), alert({ alertname: 'C', service: 'other' }),
      alert({ alertname: 'Fast', service: 's', slo: 'x', severity: 'page' }), alert({ alertname: 'Slow', service: 's', slo: 'x', severity: 'ticket' }),
    ];
    const names = (labels: Record<string, string>): string[] => related(all, incidentOf(own), labels).map((a) => `${a.labels.alertname} ${a.labels.service}`);
    expect(names(own.labels)).toEqual(['A other', 'Fast s', 'B s']);
    // It names no service: whatever is active may have to do with it.
    expect(names({ alertname: 'A' })).toEqual(['A other', 'C other', 'Fast s', 'B s']);
  });
});
