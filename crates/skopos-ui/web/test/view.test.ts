import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY, follow, incidentText, parse, parseIncident, segments, serialize, type View } from '../src/lib/view';

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const word = text.filter((s) => s !== '');
const ms = fc.integer({ min: 0, max: 4_102_444_800_000 });
const range = fc.oneof(
  fc.constant(null),
  fc.integer({ min: 1, max: 86_400_000 * 400 }).map((n) => ({ kind: 'relative', ms: n }) as const),
  fc.tuple(ms, ms).filter(([a, b]) => a !== b).map(([a, b]) => ({ kind: 'absolute', from: Math.min(a, b), to: Math.max(a, b) }) as const),
);
const incident = fc.record({
  rule: word,
  fingerprint: fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 16, maxLength: 16 }),
  start: ms,
});
const KNOWN = new Set(['t', 'q', 'inc', 'sel', 'find', 'z', 'sort', 'viz', 'tz', 'expr']);
const path = fc.array(word, { maxLength: 4 }).map((parts) => `/${parts.map(encodeURIComponent).join('/')}`);

const view: fc.Arbitrary<View> = fc.record({
  path,
  t: range,
  q: text,
  inc: fc.option(incident, { nil: null }),
  sel: text,
  find: text,
  z: fc.option(fc.tuple(fc.nat(), fc.nat()).filter(([a, b]) => a < b), { nil: null }),
  sort: text,
  viz: text,
  tz: fc.constantFrom<'utc' | ''>('', 'utc'),
  expr: fc.array(word, { maxLength: 3 }),
  rest: fc.array(fc.tuple(text.filter((k) => !KNOWN.has(k)), text), { maxLength: 4 }),
});

describe('the state of a view', () => {
  it('comes back from its address', () => {
    fc.assert(fc.property(view, (v) => {
      expect(parse(serialize(v))).toEqual(v);
    }), { numRuns: 500 });
  });

  it('keeps unknown keys, and known ones whose value it does not understand', () => {
    fc.assert(fc.property(view, fc.tuple(word.filter((k) => !KNOWN.has(k)), text), (v, extra) => {
      const url = serialize({ ...v, rest: [...v.rest, extra] });
      expect(parse(serialize(parse(url))).rest).toContainEqual(extra);
    }));
    for (const pair of ['t=yesterday', 'inc=x', 'z=5..1', 'tz=mars', 't=']) {
      expect(serialize(parse(`/logs?${pair}`))).toBe(`/logs?${pair}`);
    }
  });

  it('settles: any address means the same after one round', () => {
    const key = fc.oneof(fc.constantFrom(...KNOWN), word);
    const value = fc.oneof(text, fc.constantFrom('1h', '60m', '5..9', '09..10', 'utc', 'a/00112233445566aa/5'));
    fc.assert(fc.property(fc.array(fc.tuple(key, value), { maxLength: 8 }), (pairs) => {
      const once = parse(`/logs?${new URLSearchParams(pairs)}`);
      expect(parse(serialize(once))).toEqual(once);
    }));
  });

  it('carries window, zone and incident to another screen, and nothing else', () => {
    const from = parse('/alerts?t=15m&q=a%3Db&inc=High%2520load/00112233445566aa/1700000000000&tz=utc&sel=x&foo=1');
    const to = parse(follow(from, '/logs', { q: 'level>=error' }));
    expect(to).toEqual({
      ...EMPTY, path: '/logs', t: { kind: 'relative', ms: 900_000 }, q: 'level>=error', tz: 'utc',
      inc: { rule: 'High load', fingerprint: '00112233445566aa', start: 1_700_000_000_000 },
    });
  });

  it('reads incidents strictly', () => {
    const good = { rule: 'A/B c', fingerprint: '00112233445566aa', start: 5 };
    expect(parseIncident(incidentText(good))).toEqual(good);
    for (const bad of ['', 'a/b/c', 'a/00112233445566aa/', 'a/00112233445566aa/05', '/00112233445566aa/5', '%/00112233445566aa/5']) {
      expect(parseIncident(bad), bad).toBeNull();
    }
  });

  it('decodes paths, also broken ones', () => {
    expect(segments('/alerts/High%20load/%zz')).toEqual(['alerts', 'High load', '%zz']);
  });
});
