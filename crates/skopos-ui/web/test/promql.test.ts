import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DURATIONS, firstMetric, matching, namesLike, placeAt, starting, summary } from '../src/lib/promql';

/** The place of the caret, which `|` marks. */
function at(marked: string) {
  const caret = marked.indexOf('|');
  return placeAt(marked.replace('|', ''), caret);
}

describe('completion of PromQL', () => {
  it('knows what may stand where the caret is', () => {
    const cases: [string, [string, string, string?, string?] | null][] = [
      ['|', ['name', '']],
      ['su|', ['name', 'su']],
      ['sum(ra|', ['name', 'ra']],
      ['a + |', ['name', '']],
      ['up|_x', ['name', 'up']],
      ['http{|', ['label', '', 'http']],
      ['sum(http{met|', ['label', 'met', 'http']],
      ['http{method="GET",st|', ['label', 'st', 'http']],
      ['http{method="G|', ['value', 'G', 'http', 'method']],
      ['http{method="G|"}', ['value', 'G', 'http', 'method']],
      ['http{method=~"a,b{|', ['value', 'a,b{', 'http', 'method']],
      ['http{method=|', ['value', '', 'http', 'method']],
      ['sum by (jo|) (rate(http{a="by ("}[5m]))', ['label', 'jo', 'http']],
      ['a / on (jo|', ['label', 'jo', 'a']],
      ['rate(http[5|', ['duration', '5']],
      ['rate(http{a="b"}[|', ['duration', '']],
      ['rate(http[5m:1|', null],
      ['label_replace(up, "x|', null],
      ['up |', ['name', '']],
      ['up > 5|', null],
      ['rate(x[5m])|', null],
      ['# a commen|', null],
    ];
    for (const [marked, want] of cases) {
      const got = at(marked);
      if (want === null) expect(got, marked).toBeNull();
      else expect([got?.kind, got?.prefix, got?.metric, got?.label], marked).toEqual([want[0], want[1], want[2] ?? '', want[3] ?? '']);
    }
  });

  it('takes the place of the whole word or value', () => {
    const text = 'sum(http_requ{job="shop"})';
    expect(text.slice(placeAt(text, 8)!.start, placeAt(text, 8)!.end)).toBe('http_requ');
    const inValue = placeAt(text, 20)!;
    expect(text.slice(inValue.start, inValue.end)).toBe('shop');
    expect(at('http{a=|}')).toMatchObject({ bare: true, start: 7, end: 7 });
  });

  it('never fails, and never points beyond the text', () => {
    const piece = fc.constantFrom('sum', ' by ', '(', ')', '{', '}', '[', ']', '"', '\\', ',', '=', '=~', 'job', '5m', '# x', '\n', 'é', '`', "'");
    fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), fc.nat(60), (pieces, n) => {
      const text = pieces.join('');
      const caret = Math.min(n, text.length);
      const place = placeAt(text, caret);
      if (!place) return;
      expect(place.start).toBeLessThanOrEqual(caret);
      expect(place.end).toBeGreaterThanOrEqual(caret);
      expect(place.end).toBeLessThanOrEqual(text.length);
      expect(text.slice(place.start, caret)).toBe(place.prefix);
    }));
  });

  it('sees the metric past words, labels and texts', () => {
    expect(firstMetric('sum by (job) (rate(http_requests_total{a="x"}[5m]))')).toBe('http_requests_total');
    expect(firstMetric('label_replace(up, "a", "$1", "job", "b")')).toBe('up');
    expect(firstMetric('sum(rate(')).toBe('');
  });

  it('offers what begins with the typed first', () => {
    expect(matching(['db_http', 'http', 'up'], 'HT')).toEqual(['http', 'db_http']);
    expect(namesLike('a"}b')).toBe('{__name__=~"(?i).*ab.*"}');
    expect(namesLike('')).toBe('{__name__=~".+"}');
    expect(DURATIONS).toContain('5m');
  });
});

describe('a metric', () => {
  it('begins as one mostly wants it', () => {
    expect(starting('up', 'gauge')).toBe('up');
    expect(starting('jobs_total', '')).toBe('sum(rate(jobs_total[5m]))');
    expect(starting('wait_seconds', 'histogram')).toBe('histogram_quantile(0.99, sum by (le) (rate(wait_seconds_bucket[5m])))');
    expect(starting('wait_seconds_bucket', '')).toContain('rate(wait_seconds_bucket[5m])');
    expect(starting('open_count', 'gauge')).toBe('open_count');
  });

  it('is summed up over what has data', () => {
    expect(summary([null, 1, 3, null, 2])).toEqual({ last: 2, min: 1, max: 3, avg: 2 });
    expect(summary([null])).toEqual({ last: null, min: null, max: null, avg: null });
  });
});
