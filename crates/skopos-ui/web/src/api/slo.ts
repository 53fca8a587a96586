// Service level objectives: budgets, charts, and what people say about them.
import { get, post, remove } from './client';
import { chartStep, closed, sinceData } from '../lib/burn';
import type { NoteKind, SloAnnotation, SloBeginnings, SloChart, SloCorrection, SloDetail, SloList, SloReview } from '../lib/slo';
import type { Labels } from './types';
import { seconds, type Window } from '../lib/time';

export function slos(signal?: AbortSignal, service?: string): Promise<SloList> {
  return get<SloList>('/api/v1/slos', { service }, signal);
}

export function slo(name: string, signal?: AbortSignal): Promise<SloDetail> {
  return get<SloDetail>('/api/v1/slos/{name}', {}, signal, { name });
}

/** The budget of `status` over a window; `step` in seconds. What happened since the last whole step is in its last point. */
export async function sloChart(status: { slo: string; group: Labels; budget_remaining: number | null }, window: Window, step: number, signal?: AbortSignal): Promise<SloChart> {
  const query = {
    start: seconds(window.from), end: seconds(window.to + step * 1000), step: String(step),
    group: Object.entries(status.group).map(([label, value]) => `${label}=${value}`),
  };
  const chart = await get<SloChart>('/api/v1/slos/{name}/chart', query, signal, { name: status.slo });
  return closed(chart, window.to, status.budget_remaining);
}

/** The whole window of a budget; of a young one the part that has data, by steps that suit it. */
export async function wholeChart(status: { slo: string; group: Labels; budget_remaining: number | null }, window: Window, signal?: AbortSignal): Promise<SloChart> {
  const whole = await sloChart(status, window, chartStep(window), signal);
  const known = sinceData(whole);
  if (!known || window.to - known.start_ms > (window.to - window.from) * 0.4) return whole;
  const young = { from: known.start_ms, to: window.to };
  const fine = await sloChart(status, young, chartStep(young), signal);
  return sinceData(fine) ?? fine;
}

export async function reviews(name: string, signal?: AbortSignal): Promise<SloReview[]> {
  return (await get<{ reviews: SloReview[] }>('/api/v1/slo/review', { slo: name }, signal)).reviews;
}

/** Two objectives to begin with, from what a service sends. */
export function beginnings(service: string, signal?: AbortSignal): Promise<SloBeginnings> {
  return get<SloBeginnings>('/api/v1/slo/init', { service }, signal);
}

/** Deploys, incidents and notes that touch a window, of one service or of all. */
export async function annotations(service: string, window: Window, signal?: AbortSignal): Promise<SloAnnotation[]> {
  const query = { service: service || undefined, start: seconds(window.from), end: seconds(window.to) };
  return (await get<{ annotations: SloAnnotation[] }>('/api/v1/slo/annotations', query, signal)).annotations;
}

export async function annotate(note: { kind: NoteKind; service: string; text: string; start_ms: number; end_ms?: number; by: string; link?: string }): Promise<SloAnnotation> {
  return (await post<{ data: { annotation: SloAnnotation } }>('/api/v1/slo/annotations', note)).data.annotation;
}

/** Takes a stretch of time out of the count; stays visible. */
export async function correct(correction: { slo: string; start_ms: number; end_ms: number; reason: string; by: string }): Promise<SloCorrection> {
  return (await post<{ data: { correction: SloCorrection } }>('/api/v1/slo/corrections', correction)).data.correction;
}

export function takeBack(id: string): Promise<void> {
  return remove('/api/v1/slo/corrections/{id}', { id });
}
