// A trace as typed arrays. Rows are numbers into these arrays; nothing is allocated per span, so that folding or
// filtering a hundred thousand of them costs a loop, not a hundred thousand objects.

import type { TraceColumns } from '../../api/types';

export interface TraceModel {
  count: number;
  depth: Uint16Array;
  /** Index of the parent, or -1. */
  parent: Int32Array;
  /** One past the last descendant: the spans lie depth first, so a subtree is a range. */
  end: Int32Array;
  /** Nanoseconds from the trace's start. */
  start: Float64Array;
  duration: Float64Array;
  /** 0 unset, 1 ok, 2 error. */
  status: Uint8Array;
  /** Spans below with an error. */
  errorsBelow: Uint32Array;
  service: Uint16Array;
  critical: Uint8Array;
  total: number;
  columns: TraceColumns;
}

export function modelOf(columns: TraceColumns): TraceModel {
  const { spans } = columns;
  const count = spans.id.length;
  const model: TraceModel = {
    count,
    depth: new Uint16Array(count),
    parent: Int32Array.from(spans.parent),
    end: new Int32Array(count),
    start: Float64Array.from(spans.start_ns),
    duration: Float64Array.from(spans.duration_ns),
    status: Uint8Array.from(spans.status),
    errorsBelow: new Uint32Array(count),
    service: Uint16Array.from(spans.service),
    critical: new Uint8Array(count),
    total: columns.duration_ns,
    columns,
  };
  for (let i = 0; i < count; i += 1) {
    const parent = model.parent[i]!;
    // A parent stands before its children; anything else is treated as a root.
    if (parent >= i) model.parent[i] = -1;
    const p = model.parent[i]!;
    model.depth[i] = p < 0 ? 0 : Math.min(65535, model.depth[p]! + 1);
    model.end[i] = i + 1;
    model.total = Math.max(model.total, model.start[i]! + model.duration[i]!);
  }
  for (let i = count - 1; i >= 0; i -= 1) {
    const p = model.parent[i]!;
    if (p < 0) continue;
    model.end[p] = Math.max(model.end[p]!, model.end[i]!);
    model.errorsBelow[p] = model.errorsBelow[p]! + model.errorsBelow[i]! + (model.status[i] === 2 ? 1 : 0);
  }
  markCritical(model);
  return model;
}

/**
 * Marks the critical path: from the longest root's end backwards, the child that ended last before the point we are at,
 * and so on down. These are the spans that would have to be faster for the trace to be.
 */
function markCritical(model: TraceModel): void {
  let root = -1;
  for (let i = 0; i < model.count; i += 1) {
    if (model.parent[i] === -1 && (root < 0 || model.duration[i]! > model.duration[root]!)) root = i;
  }
  if (root < 0) return;
  const children = childrenOf(model);
  const stack: [number, number][] = [[root, model.start[root]! + model.duration[root]!]];
  while (stack.length > 0) {
    const [span, until] = stack.pop()!;
    model.critical[span] = 1;
    let point = until;
    const own = children.of(span).sort((a, b) => model.start[b]! + model.duration[b]! - model.start[a]! - model.duration[a]!);
    for (const child of own) {
      const end = model.start[child]! + model.duration[child]!;
      // What outlives its parent's end (asynchronous work) does not hold it up.
      if (end > point || model.duration[child] === 0) continue;
      stack.push([child, end]);
      point = model.start[child]!;
      if (point <= model.start[span]!) break;
    }
  }
}

/** Children as one array with offsets: two passes, no array per span. */
function childrenOf(model: TraceModel): { of: (span: number) => Int32Array } {
  const offsets = new Int32Array(model.count + 1);
  for (let i = 0; i < model.count; i += 1) {
    const p = model.parent[i]!;
    if (p >= 0) offsets[p + 1] = offsets[p + 1]! + 1;
  }
  for (let i = 0; i < model.count; i += 1) offsets[i + 1] = offsets[i + 1]! + offsets[i]!;
  const fill = offsets.slice();
  const all = new Int32Array(offsets[model.count]!);
  for (let i = 0; i < model.count; i += 1) {
    const p = model.parent[i]!;
    if (p >= 0) {
      all[fill[p]!] = i;
      fill[p] = fill[p]! + 1;
    }
  }
  return { of: (span) => all.slice(offsets[span], offsets[span + 1]) };
}

/** The spans that are shown, in order, when those in `folded` hide what is below them. */
export function visibleRows(model: TraceModel, folded: ReadonlySet<number>): Int32Array {
  const rows = new Int32Array(model.count);
  let n = 0;
  for (let i = 0; i < model.count; ) {
    rows[n] = i;
    n += 1;
    i = folded.has(i) ? model.end[i]! : i + 1;
  }
  return rows.slice(0, n);
}

/** The spans whose name, service or id has `text` in it. */
export function matches(model: TraceModel, text: string): Int32Array {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return new Int32Array(0);
  const { spans, names, services } = model.columns;
  const hitName = names.map((name) => name.toLowerCase().includes(wanted));
  const hitService = services.map((name) => name.toLowerCase().includes(wanted));
  const found: number[] = [];
  for (let i = 0; i < model.count; i += 1) {
    if (hitName[spans.name[i]!] || hitService[spans.service[i]!] || spans.id[i] === wanted) found.push(i);
  }
  return Int32Array.from(found);
}

/** Time of a span during which none of its children ran. */
export function selfTime(model: TraceModel, span: number): number {
  const from = model.start[span]!;
  const to = from + model.duration[span]!;
  let covered = 0;
  let until = from;
  // Children in order of their start: depth first keeps siblings so.
  for (let i = span + 1; i < model.end[span]!; i = model.end[i]!) {
    const a = Math.max(until, model.start[i]!);
    const b = Math.min(to, model.start[i]! + model.duration[i]!);
    if (b > a) {
      covered += b - a;
      until = b;
    }
  }
  return Math.max(0, model.duration[span]! - covered);
}

/** The row that holds `span`, or its folded ancestor. Rows ascend, so this is a binary search. */
export function rowOf(rows: Int32Array, span: number): number {
  let low = 0;
  let high = rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rows[middle]! <= span) low = middle;
    else high = middle - 1;
  }
  return low;
}
