// The waterfall's canvases: bars of the visible rows, the ruler, and the minimap, which is drawn once and kept.

import { color } from '../colors';
import { duration } from '../format';
import { hueOf } from '../severity';
import type { TraceModel } from './model';

export const ROW = 24;
export const RULER = 22;
export const MAP = 44;

export interface Scale {
  /** The shown part, nanoseconds. */
  from: number;
  to: number;
  /** CSS pixels. */
  width: number;
}

export function x(scale: Scale, ns: number): number {
  return ((ns - scale.from) / (scale.to - scale.from)) * scale.width;
}

/** Pleasant distances for a ruler: 1, 2 or 5 times a power of ten. */
export function ticks(from: number, to: number, most: number): number[] {
  const raw = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= raw) ?? raw;
  const out: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) out.push(at);
  return out;
}

export function drawRuler(context: CanvasRenderingContext2D, scale: Scale): void {
  context.font = '13px system-ui, sans-serif';
  context.fillStyle = color('--muted');
  context.textBaseline = 'middle';
  for (const at of ticks(scale.from, scale.to, scale.width / 110)) {
    const left = x(scale, at);
    const text = at === 0 ? '0' : duration(at);
    const width = context.measureText(text).width;
    if (left + width + 6 < scale.width) context.fillText(text, left + 4, RULER / 2);
  }
}

export interface Marks {
  selected: number;
  matched: ReadonlySet<number> | null;
  critical: boolean;
}

/** Draws the bars of rows `first` to `last`; `top` is the y of row `first`. */
export function drawRows(
  context: CanvasRenderingContext2D, model: TraceModel, rows: Int32Array, first: number, last: number,
  top: number, scale: Scale, marks: Marks,
): void {
  const height = (last - first) * ROW + top;
  context.fillStyle = color('--line');
  for (const at of ticks(scale.from, scale.to, scale.width / 110)) context.fillRect(Math.round(x(scale, at)), 0, 1, height);
  const hues = model.columns.services.map((service) => color(`--hue-${hueOf(service)}`));
  const [bad, text, muted, accent] = [color('--bad'), color('--text'), color('--muted'), color('--accent')];
  context.font = '13px system-ui, sans-serif';
  context.textBaseline = 'middle';
  for (let row = first; row < last; row += 1) {
    const span = rows[row]!;
    const y = top + (row - first) * ROW;
    const a = x(scale, model.start[span]!);
    const b = x(scale, model.start[span]! + model.duration[span]!);
    const left = Math.max(-2, a);
    const width = Math.max(2, Math.min(scale.width + 2, b) - left);
    if (span === marks.selected) {
      context.fillStyle = color('--accent-soft');
      context.fillRect(0, y, scale.width, ROW);
    }
    const faint = marks.matched !== null && !marks.matched.has(span);
    if (b >= 0 && a <= scale.width) {
      context.globalAlpha = faint ? 0.3 : 1;
      context.fillStyle = hues[model.service[span]!] ?? muted;
      context.fillRect(left, y + 6, width, ROW - 12);
      if (model.status[span] === 2) {
        context.fillStyle = bad;
        context.fillRect(left, y + 6, Math.min(4, width), ROW - 12);
        context.fillRect(left, y + ROW - 6, width, 2);
      }
      if (marks.critical && model.critical[span]) {
        context.fillStyle = text;
        context.fillRect(left, y + 3, width, 2);
      }
      const said = duration(model.duration[span]!);
      const measured = context.measureText(said).width;
      context.fillStyle = span === marks.selected ? accent : muted;
      const outside = Math.min(b, scale.width) + 6;
      if (outside + measured < scale.width) context.fillText(said, outside, y + ROW / 2);
      else if (left - measured - 6 > 0) context.fillText(said, left - measured - 6, y + ROW / 2);
      context.globalAlpha = 1;
    } else {
      context.fillStyle = muted;
      context.fillText(a > scale.width ? '▸' : '◂', a > scale.width ? scale.width - 12 : 2, y + ROW / 2);
    }
  }
}

/** The whole trace in a strip: spans by depth, one pixel column at most once per depth. Made once per width and theme. */
export function drawMap(context: CanvasRenderingContext2D, model: TraceModel, width: number): void {
  let deepest = 0;
  for (let i = 0; i < model.count; i += 1) deepest = Math.max(deepest, model.depth[i]!);
  const levels = Math.min(deepest + 1, 14);
  const height = Math.max(1.5, (MAP - 4) / levels);
  const hues = model.columns.services.map((service) => color(`--hue-${hueOf(service)}`));
  const bad = color('--bad');
  const scale: Scale = { from: 0, to: Math.max(1, model.total), width };
  // Per level the last pixel that is taken: what falls on it would not be seen.
  const taken = new Float64Array(levels).fill(-1);
  for (let i = 0; i < model.count; i += 1) {
    const level = Math.min(levels - 1, model.depth[i]!);
    const left = x(scale, model.start[i]!);
    const right = Math.max(left + 1, x(scale, model.start[i]! + model.duration[i]!));
    if (right <= taken[level]! && model.status[i] !== 2) continue;
    taken[level] = Math.max(taken[level]!, right);
    context.fillStyle = model.status[i] === 2 ? bad : (hues[model.service[i]!] ?? bad);
    context.fillRect(left, 2 + level * height, right - left, Math.max(1, height - 1));
  }
}
