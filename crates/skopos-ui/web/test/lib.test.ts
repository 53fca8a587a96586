import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columns } from '../src/api/prometheus';
import { folded, incidentKey, incidentWindow, logsFilter, PAD_MS, safeLink, threshold, urgentFirst } from '../src/lib/alerts';
import { byteOffset, charOffset, splice } from '../src/lib/bytes';
import { differs, equals, quoted, scopeOf, terms, withoutTerm, withTerm } from '../src/lib/filter';
import { fingerprint } from '../src/lib/fingerprint';
import { age, bytes, compact, duration, nanosToMs, percent, sample, visible } from '../src/lib/format';
import { bodyText, flat } from '../src/lib/logs';
import { meanOf } from '../src/lib/lines';
import { lines } from '../src/lib/ndjson';
import { Ring } from '../src/lib/ring';
import { bodyOf, headingTag, hrefOf, progress, type RunbookPage } from '../src/lib/runbook';
import { durationText, parseDuration, parseInstant, parseRange, rangeText, shift, usualRange, windowText, zoom } from '../src/lib/time';
import type { Alert, LogRecord } from '../src/api/types';

describe('filters', () => {
  it('are split at the top level only', () => {
    const cases: [string, string[]][] = [
      ['', []],
      ['a=b  c', ['a=b', 'c']],
      ['a="x y" "pool timeout"', ['a="x y"', '"pool timeout"']],
      ['(a=1 OR b=2) c=3', ['(a=1 OR b=2)', 'c=3']],
      ['a=1 OR b=2', ['a=1 OR b=2']],
      ['a=1 AND NOT b=2', ['a=1', 'NOT b=2']],
      ['a="x \\" y" b', ['a="x \\" y"', 'b']],
    ];
    for (const [filter, want] of cases) expect(terms(filter), filter).toEqual(want);
  });

  it('take and lose terms', () => {
    expect(withTerm('a=1', 'b=2')).toBe('a=1 b=2');
    expect(withTerm('a=1 b=2', 'b=2')).toBe('a=1 b=2');
    expect(withTerm('a=1 OR b=2', 'c=3')).toBe('(a=1 OR b=2) c=3');
    expect(withoutTerm('a=1 b=2', 'a=1')).toBe('b=2');
    expect(scopeOf('service.name=shop level>=error')).toBe('service.name=shop');
  });

  it('quote what is not a plain word', () => {
    expect(equals('http.route', '/pay')).toBe('http.route="/pay"');
    expect(differs('user', 'a b"c')).toBe('user!="a b\\"c"');
    expect(quoted('OR')).toBe('"OR"');
    expect(quoted('payment-service')).toBe('payment-service');
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (value) => {
      expect(terms(`a=1 ${equals('f', value)} b=2`)).toEqual(['a=1', equals('f', value), 'b=2']);
    }));
  });

  it('count in bytes where the server does', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.nat(20), (text, n) => {
      const at = [...text].slice(0, n).join('').length;
      expect(charOffset(text, byteOffset(text, at))).toBe(at);
    }));
    expect(splice('ä=serv x', { start: 3, end: 7 }, 'service')).toEqual({ text: 'ä=service x', caret: 9 });
  });
});

describe('alerts', () => {
  it('have thresholds where the expression ends in a comparison with a number', () => {
    const cases: [string, [string, string, number] | null][] = [
      ['up == 0', ['up', '==', 0]],
      ['sum(rate(a{b=~"5..>1"}[5m]))\n/ sum(rate(c[5m])) > 0.01\n', ['sum(rate(a{b=~"5..>1"}[5m]))\n/ sum(rate(c[5m]))', '>', 0.01]],
      ['(a / b) > (14.4 * 0.001)', ['(a / b)', '>', 0.0144]],
      ['a >= bool 1e3', ['a', '>=', 1000]],
      ['a > b', null],
      ['a > 1 and b > 2', null],
      ['absent(up)', null],
      ['sum(a > 5)', null],
    ];
    for (const [expr, want] of cases) {
      const got = threshold(expr);
      if (want === null) expect(got, expr).toBeNull();
      else expect(got && [got.expr, got.operator, Number(got.value.toPrecision(12))], expr).toEqual(want);
    }
  });

  it('have the fingerprint that Alertmanager gives', () => {
    expect(fingerprint({})).toBe('cbf29ce484222325');
    expect(BigInt(`0x${fingerprint({ name: 'garland, briggs', fear: 'love is not enough' })}`)).toBe(5799056148416392346n);
  });

  it('look at the errors of their service when they are about errors', () => {
    expect(logsFilter({ alertname: 'HighErrorRate', service_name: 'pay' }, 'x')).toBe('service.name=pay level>=error');
    expect(logsFilter({ alertname: 'HighLatency' }, 'histogram_quantile(…)')).toBe('');
  });

  it('have a window around them that ends now while they go on', () => {
    expect(incidentWindow(PAD_MS, null, 2 * PAD_MS)).toEqual({ from: 0, to: 2 * PAD_MS });
    expect(incidentWindow(PAD_MS, 2 * PAD_MS, 9 * PAD_MS)).toEqual({ from: 0, to: 3 * PAD_MS });
  });

  it('come by what must be answered first, and of one budget as one', () => {
    const alert = (alertname: string, severity: string, minute: number, more: Partial<Alert> = {}, slo = ''): Alert => ({
      labels: { alertname, severity, ...(slo ? { slo } : {}) }, annotations: {}, state: 'firing', activeAt: new Date(minute * 60_000).toISOString(), value: '1', ...more,
    });
    const all = [
      alert('Soon', 'P1', 1, { state: 'pending' }), alert('Low', 'info', 1), alert('Late', 'critical', 9), alert('Cause', 'page', 5),
      alert('Trend', 'P3', 2, {}, 'orders'), alert('Fast', 'P1', 7, {}, 'orders'), alert('Slow', 'P2', 3, {}, 'orders'),
    ];
    const names = urgentFirst(all).map((a) => a.labels.alertname);
    expect(names).toEqual(['Cause', 'Fast', 'Late', 'Slow', 'Low', 'Trend', 'Soon']);
    const shown = folded(urgentFirst(all)).map(({ alert: first, others }) => [first.labels.alertname, ...others.map((a) => a.labels.alertname)]);
    expect(shown).toEqual([['Cause'], ['Fast', 'Slow', 'Trend'], ['Late'], ['Low'], ['Soon']]);
    const key = incidentKey({ labels: { alertname: 'A b' }, fingerprint: '0123456789abcdef', active_at: '1970-01-01T00:00:01.25Z' });
    expect(key).toEqual({ rule: 'A b', fingerprint: '0123456789abcdef', start: 1250 });
  });

  it('link only to the web', () => {
    expect(safeLink('https://wiki/x')).toBe('https://wiki/x');
    for (const bad of ['javascript:alert(1)', ' JAVASCRIPT:alert(1)', 'data:text/html,x', 'x', '']) expect(safeLink(bad), bad).toBeNull();
  });
});

describe('time', () => {
  it('durations come back', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 4e10 }), (n) => {
      expect(parseDuration(durationText(n))).toBe(n);
    }));
    for (const bad of ['', '5', 'm', '5x', '-5m', '5m?']) expect(parseDuration(bad), bad).toBeNull();
  });

  it('ranges come back', () => {
    for (const text of ['15m', '1d', '1700000000000..1700000060000']) expect(rangeText(parseRange(text)!)).toBe(text);
    for (const bad of ['2..1', '..', '1..', '1.5..2']) expect(parseRange(bad), bad).toBeNull();
  });

  it('windows move and grow around their middle', () => {
    expect(shift({ from: 0, to: 100 }, -0.5)).toEqual({ from: -50, to: 50 });
    expect(zoom({ from: 0, to: 4000 }, 2)).toEqual({ from: -2000, to: 6000 });
    expect(zoom({ from: 0, to: 1000 }, 0.1)).toEqual({ from: 0, to: 1000 });
  });

  it('windows are as long as a young store is old', () => {
    const minutes = (age: number | null): string => rangeText(usualRange(age === null ? null : age * 60_000));
    expect([null, 0, 4, 6, 20, 31, 600].map(minutes)).toEqual(['1h', '5m', '5m', '15m', '30m', '1h', '1h']);
  });

  it('instants are read as they are typed', () => {
    const now = Date.UTC(2026, 10, 22, 14, 0, 0);
    expect(parseInstant('now-1h', now, 'utc')).toBe(now - 3_600_000);
    expect(parseInstant('13:05', now, 'utc')).toBe(Date.UTC(2026, 10, 22, 13, 5));
    expect(parseInstant('2026-11-21 23:59:58.5', now, 'utc')).toBe(Date.UTC(2026, 10, 21, 23, 59, 58, 500));
    expect(parseInstant('2026-11-21T23:59:58Z', now, 'local')).toBe(Date.UTC(2026, 10, 21, 23, 59, 58));
    expect(parseInstant('soon', now, 'utc')).toBeNull();
    expect(windowText({ from: now - 3_600_000, to: now }, 'utc')).toBe('13:00–14:00');
  });
});

describe('numbers', () => {
  it('are short and never a false zero', () => {
    expect([0, 0.31, 8.24, 412, 8240, 999_600, 1.5e9, NaN].map(compact)).toEqual(['0', '0.31', '8.2', '412', '8.2k', '1M', '1.5G', '–']);
    expect([312, 1920, 80e3, 1.924e9, 75e9].map(duration)).toEqual(['312ns', '1.92µs', '80.0µs', '1.92s', '1m 15s']);
    expect([0, 0.0002, 0.041, 0.5].map(percent)).toEqual(['0%', '0.02%', '4.1%', '50%']);
    expect([5e3, 19 * 60e3, 125 * 60e3, 76 * 3600e3].map(age)).toEqual(['5s', '19m', '2h 5m', '3d 4h']);
    expect(bytes(3 * 1024 ** 3)).toBe('3.00 GiB');
    expect([0.00001, 1 / 3, Infinity].map(sample)).toEqual(['1.00e-5', '0.3333', '+Inf']);
    expect(nanosToMs('1700000000123456789')).toBe(1700000000123.456);
  });
});

describe('streams', () => {
  it('are cut into lines wherever the chunks end', async () => {
    const objects = [{ a: 1 }, { b: 'ä\n"' }, { heartbeat: true }];
    const whole = new TextEncoder().encode(objects.map((o) => `${JSON.stringify(o)}\n`).join(''));
    for (let cut = 0; cut <= whole.length; cut += 1) {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(whole.slice(0, cut));
          controller.enqueue(whole.slice(cut));
          controller.close();
        },
      });
      const got: unknown[] = [];
      for await (const batch of lines(body)) got.push(...batch);
      expect(got).toEqual(objects);
    }
  });

  it('are let go when nobody reads on', async () => {
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('{"n":1}\n')),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const _ of lines(body)) break;
    expect(cancelled).toBe(true);
  });

  it('keep the last rows, by number', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.nat()), (capacity, items) => {
      const ring = new Ring<number>(capacity);
      items.forEach((item) => ring.push(item));
      const kept = items.map((_, i) => ring.at(i));
      expect(kept).toEqual(items.map((item, i) => (i < items.length - capacity ? undefined : item)));
      expect([ring.total, ring.length]).toEqual([items.length, Math.min(capacity, items.length)]);
    }));
  });
});

it('series come as columns on one axis', () => {
  const got = columns([{ metric: { a: 'b' }, values: [[10, '1'], [30, '+Inf'], [40, '2.5']] }], 10, 40, 10);
  expect(got).toEqual({ times: [10, 20, 30, 40], series: [{ labels: { a: 'b' }, values: [1, null, null, 2.5] }] });
});

it('records are one line, attributes a flat table', () => {
  const log = { body: 'a\n  b', event_name: '', attributes: { k: { deep: 1, list: [1, 2] }, z: '<b>' } } as unknown as LogRecord;
  expect(bodyText(log)).toBe('a ⏎ b  k={"deep":1,"list":[1,2]} z=<b>');
  expect(flat(log.attributes)).toEqual([['k.deep', '1'], ['k.list', '[1,2]'], ['z', '<b>']]);
});

it('the lock file has every platform and no registry address', () => {
  const lock = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8');
  const packages = Object.keys((JSON.parse(lock) as { packages: Record<string, unknown> }).packages);
  expect(packages.filter((name) => name.includes('@rolldown/binding-')).length).toBeGreaterThanOrEqual(15);
  expect(lock).not.toContain('"resolved"');
});

it('hidden characters are shown, not obeyed', () => {
  const log = { body: 'pay \u202efdp.exe\u0007', event_name: '', attributes: { k: 'a\u2066b' } } as unknown as LogRecord;
  expect(bodyText(log)).toBe('pay \\u{202e}fdp.exe\\u{7}  k=a\\u{2066}b');
  expect(visible('two\nlines\tand ünïcode 日本 🙂')).toBe('two\nlines\tand ünïcode 日本 🙂');
});

it('a rate is that of the time that has data', () => {
  expect(meanOf([null, null, 4, 6, null])).toBe(5);
  expect(meanOf([null])).toBe(null);
});

describe('runbooks', () => {
  it('have links that lead somewhere harmless, or none', () => {
    const cases: [string, string | null][] = [
      ['https://h/p', 'https://h/p'], ['mailto:a@b', 'mailto:a@b'], ['javascript:alert(1)', null], ['data:text/html,x', null],
      ['other.md', null], ['//evil', null], ['JaVaScRiPt:x', null],
    ];
    for (const [href, want] of cases) expect(hrefOf({ href }), href).toBe(want);
  });

  it('count the steps that are still on the page', () => {
    const tick = (step: string) => ({ step, at_ms: 0, by: null });
    expect(progress(['a', 'b', 'c'], [tick('b'), tick('gone')])).toBe(1);
    expect(progress([], [tick('a')])).toBe(0);
  });

  it('lose their own title, which stands above them', () => {
    const page = (title: string | null): RunbookPage => ({
      name: 'a.md', title, owner: null, problems: [], steps: [],
      blocks: [{ type: 'heading', level: 1, text: [{ type: 'text', text: 'Queue ' }, { type: 'code', text: 'full' }] }, { type: 'rule' }],
    });
    expect(bodyOf(page('Queue full'))).toHaveLength(1);
    expect(bodyOf(page(null))).toHaveLength(2);
    expect([1, 2, 3, 6].map(headingTag)).toEqual(['h3', 'h3', 'h4', 'h6']);
  });
});
