import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  burnDown, burnLine, burnSpan, burnStep, chartStep, closed, leftOver, matchedBy, partStart, partStep, selectorsOf, sinceData, stretches,
  stretchSentence, telling, widened,
} from '../src/lib/burn';
import {
  atRisk, chosenBudget, goodText, groupKey, groupText, isOf, leftText, leftWords, hoursText, matching, minutesText, rateText, sentenceOf, sloPath, spentText,
  targetText, worstFirst, type SloChart, type SloPoint, type SloStatus,
} from '../src/lib/slo';
import type { Alert } from '../src/api/types';
import { folded, labelText } from '../src/lib/alerts';
import { datedWindow } from '../src/lib/time';
import { parse, segments, serialize } from '../src/lib/view';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function budget(over: Partial<SloStatus> = {}): SloStatus {
  return {
    slo: 'orders', service: 'order-service', owner: 'team-orders', description: '', runbook: '', group: {}, target: 0.99, window: '30d', budgeting: 'occurrences',
    window_start_ms: 0, window_end_ms: 100 * HOUR, good_ratio: 0.995, bad: 50, total: 10_000, budget_remaining: 0.5, budget_minutes: 432, budget_minutes_left: 216,
    coverage: 1, burn: [], alerts: [], hours_to_exhaustion: null, last_data_ms: 0, health: 'ok', corrections: [], budget_remaining_uncorrected: 0.5, error: null, problem: null, sentence: '', ...over,
  };
}

/** A chart with a point for each pair of bad and total, `step` apart. */
function chart(counts: [number, number][], step = HOUR, start = 0): SloChart {
  const points: SloPoint[] = [{ at_ms: start, remaining: 1, bad: 7, total: 7 }];
  counts.forEach(([bad, total], i) => points.push({ at_ms: start + (i + 1) * step, remaining: 0.5, bad, total }));
  const end = start + counts.length * step;
  return { start_ms: start, end_ms: end, window_start_ms: start, window_end_ms: end, points };
}

describe('figures of objectives', () => {
  it('have as many nines as they need, and are never rounded to all', () => {
    const cases: [number | null, string][] = [
      [1, '100%'], [0.9994, '99.94%'], [0.99967, '99.967%'], [0.9996699, '99.966%'], [0.9999999, '99.999%'], [0.98966, '98.966%'], [0.57, '57%'], [0, '0%'], [null, '–'],
    ];
    for (const [ratio, want] of cases) expect(goodText(ratio, 0.999), String(ratio)).toBe(want);
    expect([goodText(0.999994, 0.99999), goodText(0.99985, 0.9999)]).toEqual(['99.9994%', '99.985%']);
    fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.constantFrom(0.9, 0.99, 0.999, 0.9995, 0.99999), (ratio, target) => {
      const text = goodText(ratio, target);
      const said = Number(text.slice(0, -1)) / 100;
      expect(text).not.toBe('100%');
      expect(said).toBeLessThanOrEqual(ratio + 1e-9);
      expect(ratio - said).toBeLessThan(1.1e-5);
      // Met or missed: the text says the same.
      if (Math.abs(ratio - target) > 1e-9) expect(said >= target - 1e-12, text).toBe(ratio >= target);
    }), { examples: [[0.999 - 1e-9 * 2, 0.999]] });
  });

  it('are told in sentences without the name above them, and with it as it is written', () => {
    expect(sentenceOf({ slo: 'shop', group: {}, sentence: 'shop: nothing burns.' })).toBe('Nothing burns.');
    expect(sentenceOf({ slo: 'classic', group: { region: 'ü-us', zone: 'a' }, sentence: 'classic (ü-us, a): the budget is exhausted.' })).toBe('The budget is exhausted.');
    expect(sentenceOf({ slo: 'classic', group: { region: 'us' }, sentence: 'classic (eu): 85 % good' })).toBe('classic (eu): 85 % good');
  });

  it('say targets, shares, minutes and rates as people write them', () => {
    expect([0.999, 0.9995, 0.95, 0.99999].map(targetText)).toEqual(['99.9%', '99.95%', '95%', '99.999%']);
    expect([1, 0.9996, 0.382, 0.004, 0.00044, 0.00004, 0, -0.2, -1.255, -14.2, null].map(leftText)).toEqual(['100%', '99.9%', '38.2%', '0.4%', '0.04%', '<0.01%', '0%', '−20%', '−125%', '−14×', '–']);
    expect([0.382, -0.2, -14.2, null].map(leftWords)).toEqual(['38.2% left', 'overspent by 20%', 'overspent by 14×', 'nothing known']);
    expect([0.62, 0.042, 0.0004, 0.00001, 14, 0].map(spentText)).toEqual(['62%', '4.2%', '0.04%', '<0.01%', '1,400%', '0%']);
    expect([43.2, 0.0864, 2160, 0, -0.86].map(minutesText)).toEqual(['43.2', '0.09', '2,160', '0', '−0.86']);
    expect([14.4, 0.037, 1300.4, 0, 0.001, null].map(rateText)).toEqual(['14.4×', '0.04×', '1,300×', '0×', '<0.01×', '–']);
    expect([52, 9000].map(hoursText)).toEqual(['2d 4h', '>1y']);
  });

  it('say the day of a window that is not of today', () => {
    const at = (text: string): number => Date.parse(`${text}Z`);
    const now = at('2026-11-23T12:00:00');
    expect(datedWindow({ from: at('2026-11-23T09:00:00'), to: at('2026-11-23T10:00:00') }, 'utc', now)).toBe('09:00–10:00');
    expect(datedWindow({ from: at('2026-11-20T09:00:00'), to: at('2026-11-20T10:00:00') }, 'utc', now)).toBe('11-20 09:00–10:00');
    expect(datedWindow({ from: at('2025-11-20T09:00:00'), to: at('2025-11-20T10:00:00') }, 'utc', now)).toBe('2025-11-20 09:00–10:00');
    expect(datedWindow({ from: at('2026-11-20T23:00:00'), to: at('2026-11-21T01:00:00') }, 'utc', now)).toBe('2026-11-20 23:00–2026-11-21 01:00');
  });
});

describe('objectives in lists', () => {
  const all = [
    budget({ slo: 'fine', budget_remaining: 0.9 }), budget({ slo: 'silent', health: 'no_data', budget_remaining: null }), budget({ slo: 'less', budget_remaining: 0.4 }),
    budget({ slo: 'warned', health: 'warning', budget_remaining: 0.2 }), budget({ slo: 'gone', health: 'critical', budget_remaining: -0.3 }), budget({ slo: 'burning', health: 'critical', budget_remaining: 0.6 }),
  ];
  it('come worst first', () => {
    expect(worstFirst(all).map((s) => s.slo)).toEqual(['gone', 'burning', 'warned', 'silent', 'less', 'fine']);
    expect(atRisk(all).map((s) => s.slo)).toEqual(['gone', 'burning', 'warned']);
  });

  it('are found by every word of name, service, owner, group and state', () => {
    const split = budget({ slo: 'regional', group: { region: 'eu' } });
    expect(matching([...all, split], 'team EU').map((s) => s.slo)).toEqual(['regional']);
    expect(matching(all, 'no data').map((s) => s.slo)).toEqual(['silent']);
    expect(matching(all, ' ')).toHaveLength(all.length);
    expect(matching(all, 'nothing like it')).toEqual([]);
  });

  it('have groups that are the same in any order, and of which the worst is shown', () => {
    expect(groupKey({ b: '2', a: '1=&' })).toBe(groupKey({ a: '1=&', b: '2' }));
    expect(groupText({ region: 'eu', route: '/pay' })).toBe('region=eu · route=/pay');
    const eu = budget({ group: { region: 'eu' }, budget_remaining: 0.9 });
    const us = budget({ group: { region: 'us' }, budget_remaining: 0.1 });
    expect(chosenBudget([eu, us], '')).toBe(us);
    expect(chosenBudget([eu, us], groupKey(eu.group))).toBe(eu);
    expect(chosenBudget([], '')).toBeUndefined();
    expect(isOf({ slo: 'orders', region: 'eu', severity: 'P1' }, eu)).toBe(true);
    expect(isOf({ slo: 'orders', region: 'us' }, eu)).toBe(false);
    expect(isOf({ slo: 'other', region: 'eu' }, eu)).toBe(false);
  });

  it('fold their burn alerts on the overview into the worst of each budget', () => {
    const alert = (alertname: string, severity: string, labels: Record<string, string> = {}, state: 'firing' | 'pending' = 'firing'): Alert =>
      ({ labels: { alertname, severity, ...labels }, annotations: {}, state, activeAt: '2026-11-23T00:00:00Z', value: '1' });
    const eu = { slo: 'orders', region: 'eu', sloth_id: 'orders' };
    const all = [alert('Other', 'P3'), alert('Trend', 'P3', { ...eu, sloth_window: '3d' }), alert('Fast', 'P1', eu), alert('Slow', 'P2', eu), alert('Fast', 'P1', { ...eu, region: 'us' }, 'pending'), alert('Other', 'P3', { job: 'x' })];
    expect(folded(all).map(({ alert: a, more }) => [a.labels.alertname, a.labels.region ?? '', more])).toEqual([['Other', '', 0], ['Fast', 'eu', 2], ['Fast', 'us', 0], ['Other', '', 0]]);
    expect(labelText(all[2]!.labels)).toBe('severity=P1 · slo=orders · region=eu');
    expect(labelText({ alertname: 'x', sloth_id: 'kept' })).toBe('sloth_id=kept');
  });

  it('have addresses that survive, whatever their names', () => {
    fc.assert(fc.property(fc.string({ minLength: 1 }).filter((name) => !/^\.+$/.test(name)), (name) => segments(parse(serialize(parse(sloPath(name)))).path)[1] === name));
    // Not taken for a file when it is opened anew.
    expect(sloPath('orders.v2')).toBe('/slos/orders%2Ev2');
  });
});

describe('the burn-down', () => {
  const spent = chart([[0, 100], [10, 100], [0, 100], [20, 100]]);
  const status = budget({ bad: 30, budget_remaining: 0.7, window_end_ms: 4 * HOUR });
  const about = (values: (number | null)[]) => values.map((v) => (v === null ? null : expect.closeTo(v, 9)));

  it('begins at all of it, ends at what is left, and stands beside what spending evenly would leave', () => {
    const { times, series } = burnDown(spent, null, status);
    expect(times).toEqual([0, 3600, 7200, 10_800, 14_400]);
    // What the first point counts lies before it.
    expect(series[0]!.values).toEqual(about([1, 1, 0.9, 0.9, 0.7]));
    expect(series[1]!.values).toEqual([1, 0.75, 0.5, 0.25, 0]);
  });

  it('ends where the other figures are, also when more was counted in whole steps', () => {
    const asked = { ...chart([[0, 100], [10, 100], [0, 100], [20, 100], [30, 50]]), end_ms: 5 * HOUR };
    const late = closed(asked, 4.5 * HOUR, 0.4);
    expect(late.points.at(-1)).toEqual({ at_ms: 4.5 * HOUR, remaining: 0.4, bad: 30, total: 50 });
    const { times, series } = burnDown(late, null, budget({ bad: 60, budget_remaining: 0.4, window_end_ms: 4.5 * HOUR }));
    expect([times.at(-1), series[0]!.values.at(-1)]).toEqual([4.5 * 3600, expect.closeTo(0.4, 9)]);
    expect(series[0]!.values.at(-2)).toBeCloseTo(0.7, 9);
    expect(burnDown(spent, null, budget({ bad: 29, budget_remaining: 0.7, window_end_ms: 4 * HOUR })).series[0]!.values.at(-1)).toBeCloseTo(0.7, 9);
    expect(burnDown(spent, null, budget({ bad: 30, budget_remaining: -2, window_end_ms: 4 * HOUR })).series[0]!.values.at(-1)).toBeCloseTo(-2, 9);
  });

  it('of a young budget begins where its data does', () => {
    const young = chart([[0, 0], [0, 0], [10, 100], [10, 100]]);
    young.points[0] = { at_ms: 0, remaining: null, bad: 0, total: 0 };
    const known = sinceData(young)!;
    expect([known.start_ms, known.points.length]).toEqual([2 * HOUR, 3]);
    const { times, series } = burnDown(known, null, budget({ bad: 20, budget_remaining: 0.8, window_end_ms: 4 * HOUR }));
    expect(times).toEqual([7200, 10_800, 14_400]);
    expect(series.map((line) => line.values)).toEqual([about([1, 0.9, 0.8]), [1, 0.5, 0]]);
    expect(sinceData(chart([[0, 0]]))).toBeNull();
  });

  it('knows nothing before there was data, or without any', () => {
    const young = chart([[0, 0], [0, 0], [10, 100], [0, 0]]);
    young.points[0] = { at_ms: 0, remaining: null, bad: 0, total: 0 };
    expect(burnDown(young, null, budget({ bad: 10, budget_remaining: 0.9, window_end_ms: 4 * HOUR })).series[0]!.values).toEqual(about([null, null, 1, 0.9, 0.9]));
    expect(burnDown(spent, null, budget({ budget_remaining: null, window_end_ms: 4 * HOUR })).series[0]!.values.every((v) => v === null)).toBe(true);
    expect(burnDown(chart([[0, 10], [0, 10]]), null, budget({ bad: 0, budget_remaining: 1, window_end_ms: 2 * HOUR })).series[0]!.values).toEqual([1, 1, 1]);
  });

  it('shows the end of a unit of the calendar that goes on', () => {
    const { times, series } = burnDown(spent, null, budget({ bad: 30, budget_remaining: 0.7, window_end_ms: 8 * HOUR }));
    expect(times.at(-1)).toBe(8 * 3600);
    expect(series.map((s) => s.values.at(-1))).toEqual([null, 0]);
  });

  it('of a part continues the whole, exactly', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.constant(10)), { minLength: 24, maxLength: 60 }), fc.integer({ min: 0, max: 100 }), (all, share) => {
      const counts = all.slice(0, all.length - (all.length % 6)) as [number, number][];
      const bad = counts.reduce((n, [b]) => n + b, 0);
      const now = budget({ bad, budget_remaining: 1 - bad / 200, window_end_ms: counts.length * 10 * MINUTE });
      const whole = chart(Array.from({ length: counts.length / 6 }, (_, i): [number, number] => [counts.slice(i * 6, i * 6 + 6).reduce((n, [b]) => n + b, 0), 60]), HOUR);
      const from = partStart(whole, (whole.end_ms * share) / 100);
      expect(from % HOUR).toBe(0);
      const fine = burnDown(chart(counts, 10 * MINUTE), null, now);
      const { times, series } = burnDown(whole, chart(counts.slice(from / (10 * MINUTE)), 10 * MINUTE, from), now);
      times.forEach((s, i) => expect(series[0]!.values[i]).toBeCloseTo(fine.series[0]!.values[fine.times.indexOf(s)]!, 9));
    }));
  });

  it('of a part leaves away what was only read to begin at a point of the whole', () => {
    const part = chart([[0, 1], [0, 1], [0, 1], [0, 1]], 15 * MINUTE, HOUR);
    expect(burnDown(spent, part, status, HOUR + 40 * MINUTE).times).toEqual([HOUR + 30 * MINUTE, HOUR + 45 * MINUTE, 2 * HOUR].map((ms) => ms / 1000));
    expect(leftOver(part, HOUR + 40 * MINUTE).times).toHaveLength(3);
    expect(partStep(spent, { from: HOUR, to: 2 * HOUR })).toBe(60);
    expect(partStep(chart([[0, 1]], 3 * HOUR), { from: 0, to: 700 * HOUR })).toBe(10_800);
  });

  it('has steps that slices fit into', () => {
    expect(chartStep({ from: 0, to: 30 * 24 * HOUR })).toBe(3600);
    expect(chartStep({ from: 0, to: HOUR })).toBe(60);
    expect(chartStep({ from: 0, to: 366 * 24 * HOUR }) % 900).toBe(0);
  });
});

describe('burn rates', () => {
  it('are sliding sums, whatever they slide over', () => {
    const counts = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 100 })).map(([bad, more]): [number, number] => [bad, bad + more]), { minLength: 1, maxLength: 80 });
    fc.assert(fc.property(counts, fc.integer({ min: 1, max: 12 }), (pairs, width) => {
      const it = chart(pairs, 5 * MINUTE);
      burnLine(it, width * 5 * MINUTE, 0.01).forEach((rate, i) => {
        const part = it.points.slice(Math.max(0, i - width + 1), i + 1);
        const [bad, total] = [part.reduce((n, p) => n + p.bad, 0), part.reduce((n, p) => n + p.total, 0)];
        if (total === 0) expect(rate).toBeNull();
        else expect(rate).toBeCloseTo(bad / total / 0.01, 6);
      });
    }));
  });

  it('are drawn over several long windows, by steps that are parts of the short one', () => {
    for (const [long, short] of [[HOUR, 5 * MINUTE], [6 * HOUR, 30 * MINUTE], [24 * HOUR, 2 * HOUR], [72 * HOUR, 6 * HOUR], [5 * MINUTE, 5 * MINUTE]] as const) {
      const read = burnSpan(long, 30 * 24 * HOUR) + long;
      const step = burnStep(read, short);
      expect(short % (step * 1000), `${long}`).toBe(0);
      expect(read / 1000 / step).toBeLessThan(2000);
    }
    expect(burnSpan(72 * HOUR, 7 * 24 * HOUR)).toBe(7 * 24 * HOUR);
    // A short window in a long past: as fine as can be.
    expect(burnStep(400 * 24 * HOUR, 5 * MINUTE)).toBeGreaterThan(0);
  });
});

describe('what spent a budget', () => {
  it('is found as stretches, dearest first, which single quiet points do not part', () => {
    const it = chart([[0, 100], [5, 100], [0, 100], [5, 100], [0, 100], [0, 100], [0, 100], [30, 100], [0, 100], [1, 100]]);
    const status = budget({ target: 0.99, bad: 41, total: 1000, budget_remaining: 1 - 4.1, window_start_ms: 0 });
    const found = stretches(it, status);
    expect(found.map((s) => [s.from / HOUR, s.to / HOUR])).toEqual([[7, 8], [1, 4]]);
    expect(found[0]!.spent).toBeCloseTo(3, 9);
    expect(found[1]!.spent).toBeCloseTo(1, 9);
    expect(found[0]!.burn).toBeCloseTo(30, 9);
    expect(stretchSentence(found, status)).toBe('98% of what is gone was spent in 2 stretches');
  });

  it('is nothing where nothing is spent or known', () => {
    const it = chart([[0, 100], [1, 1000]]);
    expect(stretches(it, budget({ bad: 0, budget_remaining: 1 }))).toEqual([]);
    expect(stretches(it, budget({ budget_remaining: null }))).toEqual([]);
    expect(stretches(it, budget({ bad: 1, budget_remaining: 0.9 }))).toEqual([]);
    expect(stretchSentence([], budget())).toBe('');
  });

  it('is summed by further labels over another window; texts stay as they are', () => {
    expect(selectorsOf('sum(increase(a_total{x="}[5m]",y=~"5.."}[5m])) - sum by (r) (rate(b{le="0.3"}[5m]))')).toEqual(['a_total{x="}[5m]",y=~"5.."}', 'b{le="0.3"}']);
    expect(selectorsOf('vector(1)')).toEqual([]);
    expect(widened('sum(increase(a{x="sum(b[5m])"}[5m]))', ['route', 'code'], 2 * HOUR)).toBe('sum by (route, code) (increase(a{x="sum(b[5m])"}[2h]))');
    expect(widened('sum by (region) (increase(a[5m]))', ['route', 'region'], 1000)).toBe('sum by (region, route) (increase(a[1m]))');
    expect(widened('max(a[5m])', ['route'], HOUR)).toBeNull();
    expect([...matchedBy('a{job="x",code=~"5..",z!="=y"}')]).toEqual(['job', 'code', 'z']);
  });

  it('is told by what bad events have more often than others', () => {
    const row = (route: string, host: string, value: number) => ({ metric: { route, host, job: 'shop' }, value });
    const found = telling([row('/pay', 'a', 97), row('/items', 'b', 3), row('/gone', 'a', NaN)], [row('/pay', 'a', 200), row('/items', 'b', 700), row('/items', 'a', 100)]);
    expect(found.map((s) => [s.label, s.value])).toEqual([['route', '/pay'], ['host', 'a']]);
    expect(found[0]).toMatchObject({ bad: expect.closeTo(0.97, 9), all: expect.closeTo(0.2, 9) });
    expect(telling([], [row('/pay', 'a', 1)])).toEqual([]);
  });
});
