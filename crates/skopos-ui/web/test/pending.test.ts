import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Beginnings, isPending, type Ended } from '../src/lib/pending';
import { Ring } from '../src/lib/ring';
import type { LogRecord } from '../src/api/types';

const ids = (span: number) => ({ trace_id: 'ab', span_id: String(span) });
const took = (durationNs: number, failed = false): Ended => ({ durationNs, failed });

describe('beginnings', () => {
  it('are records of one event that have a span', () => {
    const record = (event_name: string, span_id: string) => ({ event_name, span_id }) as LogRecord;
    expect(isPending(record('skopos.pending', 'cd'))).toBe(true);
    expect(isPending(record('skopos.pending', ''))).toBe(false);
    expect(isPending(record('', 'cd'))).toBe(false);
  });

  it('are settled by their own span, whichever comes first', () => {
    const beginnings = new Beginnings(8);
    expect(beginnings.begin(ids(1), 0)).toBe(null);
    expect(beginnings.begin(ids(2), 1)).toBe(null);
    expect(beginnings.end(ids(3), took(9))).toBe(null);
    expect(beginnings.end({ ...ids(1), trace_id: 'other' }, took(5))).toBe(null);
    expect(beginnings.end(ids(2), took(7, true))).toBe(1);
    expect(beginnings.end(ids(1), took(5))).toBe(0);
    expect(beginnings.begin(ids(3), 2)).toEqual(took(9));
    beginnings.clear();
    expect(beginnings.begin({ ...ids(1), trace_id: 'other' }, 3)).toBe(null);
  });

  it('settle every pair that is not too far apart, and keep no more than they may', () => {
    fc.assert(fc.property(fc.array(fc.nat(30), { maxLength: 120 }), (spans) => {
      const capacity = 40;
      const beginnings = new Beginnings(capacity);
      const seen = new Map<number, 'begun' | 'ended'>();
      spans.forEach((span, n) => {
        // Of each pair the beginning or the end first, by the parity of the span; what follows a whole pair begins anew.
        const first = span % 2 === 0 ? 'begun' : 'ended';
        const was = seen.get(span);
        const now = was === undefined ? first : was === 'begun' ? 'ended' : 'begun';
        const joined = now === 'begun' ? beginnings.begin(ids(span), n) : beginnings.end(ids(span), took(span));
        expect(joined !== null).toBe(was !== undefined);
        if (was === undefined) seen.set(span, now);
        else seen.delete(span);
      });
    }));
    const small = new Beginnings(2);
    for (let span = 0; span < 3; span += 1) small.begin(ids(span), span);
    expect([0, 1, 2].map((span) => small.end(ids(span), took(1)))).toEqual([null, 1, 2]);
  });
});

describe('a ring', () => {
  it('changes an item in its place while that is kept', () => {
    const ring = new Ring<string>(2);
    ring.push('a');
    ring.push('b');
    ring.replace(0, 'A');
    expect([ring.at(0), ring.at(1), ring.total]).toEqual(['A', 'b', 2]);
    ring.push('c');
    ring.replace(0, 'gone');
    ring.replace(7, 'not yet');
    expect([ring.at(0), ring.at(1), ring.at(2), ring.total]).toEqual([undefined, 'b', 'c', 3]);
  });
});
