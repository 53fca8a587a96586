import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TraceColumns } from '../src/api/types';
import { matches, modelOf, rowOf, selfTime, visibleRows } from '../src/lib/trace/model';

/** A trace from a list of parents (each before its children, depth first) and times. */
function trace(rows: { parent: number; start: number; duration: number; status?: number; name?: number }[]): TraceColumns {
  const n = rows.length;
  const fill = (value: number): number[] => new Array<number>(n).fill(value);
  return {
    trace_id: '0'.repeat(32), start_unix_nano: '1', duration_ns: Math.max(0, ...rows.map((r) => r.start + r.duration)),
    services: ['a', 'b'], names: ['GET /', 'query'],
    spans: {
      id: rows.map((_, i) => i.toString(16).padStart(16, '0')), parent: rows.map((r) => r.parent), service: fill(0),
      name: rows.map((r) => r.name ?? 0), kind: new Array<string>(n).fill('internal'), start_ns: rows.map((r) => r.start),
      duration_ns: rows.map((r) => r.duration), status: rows.map((r) => r.status ?? 0), events: fill(0), links: fill(0), logs: fill(0),
    },
    logs: 0,
  };
}

/** Random trees, depth first. */
const trees = fc.array(fc.tuple(fc.nat(3), fc.nat(100), fc.nat(100), fc.nat(2)), { minLength: 1, maxLength: 60 }).map((items) => {
  const path: number[] = [];
  return trace(items.map(([up, start, duration, status], i) => {
    path.length = Math.max(0, path.length - up);
    const parent = path.at(-1) ?? -1;
    path.push(i);
    return { parent, start, duration, status };
  }));
});

const ancestors = (columns: TraceColumns, i: number): number[] => {
  const out: number[] = [];
  for (let p = columns.spans.parent[i]!; p >= 0; p = columns.spans.parent[p]!) out.push(p);
  return out;
};

describe('a trace as arrays', () => {
  it('knows depth, subtree and errors below, as a walk over parents would', () => {
    fc.assert(fc.property(trees, (columns) => {
      const model = modelOf(columns);
      for (let i = 0; i < model.count; i += 1) {
        const below = [...Array(model.count).keys()].filter((j) => ancestors(columns, j).includes(i));
        expect(model.depth[i]).toBe(ancestors(columns, i).length);
        expect(model.end[i]! - i - 1).toBe(below.length);
        expect(model.errorsBelow[i]).toBe(below.filter((j) => columns.spans.status[j] === 2).length);
      }
    }));
  });

  it('shows a span unless something above it is folded', () => {
    fc.assert(fc.property(trees, fc.array(fc.nat(59)), (columns, closed) => {
      const model = modelOf(columns);
      const folded = new Set(closed);
      const rows = visibleRows(model, folded);
      const want = [...Array(model.count).keys()].filter((i) => !ancestors(columns, i).some((a) => folded.has(a)));
      expect([...rows]).toEqual(want);
      for (let i = 0; i < model.count; i += 1) {
        const row = rows[rowOf(rows, i)]!;
        expect(row === i || ancestors(columns, i).includes(row)).toBe(true);
      }
    }));
  });

  it('marks as critical a chain of spans, each with its parent', () => {
    fc.assert(fc.property(trees, (columns) => {
      const model = modelOf(columns);
      expect(model.critical.some((c) => c === 1)).toBe(true);
      for (let i = 0; i < model.count; i += 1) {
        if (model.critical[i] && columns.spans.parent[i]! >= 0) expect(model.critical[columns.spans.parent[i]!]).toBe(1);
      }
    }));
    //  root 0..100; a 5..40, b 30..90 (ends last), c 95..95
    const model = modelOf(trace([
      { parent: -1, start: 0, duration: 100 }, { parent: 0, start: 5, duration: 20 },
      { parent: 0, start: 30, duration: 60 }, { parent: 2, start: 31, duration: 5 }, { parent: 0, start: 32, duration: 10 },
    ]));
    expect([...model.critical]).toEqual([1, 1, 1, 1, 0]);
  });

  it('counts self time without the children, also where they overlap or outlive the span', () => {
    const model = modelOf(trace([
      { parent: -1, start: 0, duration: 100 }, { parent: 0, start: 10, duration: 30 },
      { parent: 0, start: 20, duration: 40 }, { parent: 0, start: 90, duration: 50 },
    ]));
    expect(selfTime(model, 0)).toBe(100 - 50 - 10);
    expect(selfTime(model, 1)).toBe(30);
  });

  it('finds by name, service and id', () => {
    const model = modelOf(trace([{ parent: -1, start: 0, duration: 1 }, { parent: 0, start: 0, duration: 1, name: 1 }]));
    expect([...matches(model, 'QUER')]).toEqual([1]);
    expect([...matches(model, '0000000000000000')]).toEqual([0]);
    expect([...matches(model, ' ')]).toEqual([]);
  });

  it('takes a hundred thousand spans in its stride', () => {
    const n = 100_000;
    const model = modelOf(trace(Array.from({ length: n }, (_, i) => ({ parent: i === 0 ? -1 : i - 1 - (i % 3 === 0 ? 1 : 0) >= 0 && i % 50 !== 0 ? i - 1 : 0, start: i, duration: n - i }))));
    expect(visibleRows(model, new Set()).length).toBe(n);
    expect(visibleRows(model, new Set([0])).length).toBe(1);
  });
});
