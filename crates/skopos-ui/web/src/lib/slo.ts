// Service level objectives as the server tells them, how they are said, and which come first. Shares are 0 to 1; times
// are milliseconds since the epoch. What their charts show is worked out in `burn.ts`.

import type { Labels } from '../api/types';
import { age } from './format';

export type Health = 'ok' | 'warning' | 'critical' | 'no_data';
export type Verdict = 'go' | 'caution' | 'freeze';

export interface BurnRate {
  window: string;
  /** How many times as fast as the budget bears; null where nothing happened. */
  rate: number | null;
  bad: number;
  total: number;
}

/** The condition of one burn-rate alert. */
export interface BurnAlert {
  name: string;
  severity: string;
  factor: number;
  /** Long, then short. */
  windows: string[];
  is_met: boolean;
  /** Only the guard against low traffic keeps it quiet. */
  is_guarded: boolean;
}

export interface SloCorrection {
  id: string;
  slo: string;
  start_ms: number;
  end_ms: number;
  reason: string;
  by: string;
  created_ms: number;
  revoked_ms: number | null;
}

/** The budget of one objective, or of one of its groups, now. */
export interface SloStatus {
  slo: string;
  service: string;
  owner: string;
  description: string;
  runbook: string;
  group: Labels;
  target: number;
  window: string;
  budgeting: string;
  window_start_ms: number;
  window_end_ms: number;
  good_ratio: number | null;
  bad: number;
  total: number;
  /** Below 0 when overspent; null where nothing is known. */
  budget_remaining: number | null;
  budget_minutes: number;
  budget_minutes_left: number | null;
  /** The share of the window that has data. */
  coverage: number;
  burn: BurnRate[];
  alerts: BurnAlert[];
  hours_to_exhaustion: number | null;
  last_data_ms: number | null;
  health: Health;
  /** With what each takes out. */
  corrections: (SloCorrection & { bad: number; total: number })[];
  budget_remaining_uncorrected: number | null;
  error: string | null;
  /** Why what it counts cannot be what was meant; its sentence says so too. */
  problem: string | null;
  sentence: string;
}

export interface SloState {
  loaded_at_ms: number;
  /** Why changed files are not in force. */
  error: string | null;
  interval_seconds: number;
  last_slot_ms: number | null;
  backfill: { state: 'none' | 'running' | 'done' | 'failed'; done: number; chunks: number; reached_ms: number | null; error: string | null };
}

export interface SloList {
  slos: SloStatus[];
  state: SloState;
}

export interface SloDefinition {
  name: string;
  service: string;
  owner: string;
  description: string;
  runbook: string;
  target: number;
  window: string;
  is_calendar: boolean;
  budgeting: string;
  group_by: string[];
  labels: Labels;
  policy: { caution_below: number; freeze_below: number; override_by: string[]; review: string };
  file: string;
  line: number;
  /** The specification as YAML. */
  native: string;
  /** PromQL over five minutes. */
  queries: { error_ratio: string; bad: string | null; total: string | null };
}

export type Outcome =
  | { kind: 'insufficient_data'; reason: string }
  | { kind: 'exhausted' }
  | { kind: 'lasts'; until_ms: number }
  | { kind: 'exhaustion'; early_ms: number; middle_ms: number | null; late_ms: number | null; probability: number };

export interface SloForecast {
  slo: string;
  group: Labels;
  outcome: Outcome;
  sentence: string;
}

export type NoteKind = 'deploy' | 'incident' | 'drill' | 'note';

export interface SloAnnotation {
  id: string;
  kind: NoteKind;
  service: string;
  start_ms: number;
  end_ms: number | null;
  text: string;
  by: string;
  link: string;
}

/** What a deploy or an incident cost. */
export interface SloSpender {
  annotation: SloAnnotation;
  slo: string;
  group: Labels;
  until_ms: number;
  spent: number;
  spent_before: number;
  sentence: string;
}

export interface SloOverride {
  id: string;
  service: string;
  reason: string;
  by: string;
  created_ms: number;
  until_ms: number;
}

export interface SloGate {
  service: string;
  verdict: Verdict;
  exit_code: number;
  verdict_without_override: Verdict;
  override: SloOverride | null;
  reasons: { slo: string; group: Labels; verdict: Verdict; reason: string; budget_remaining: number | null }[];
  sentence: string;
}

export interface SloDetail {
  slo: SloDefinition;
  budgets: SloStatus[];
  forecasts: SloForecast[];
  spenders: SloSpender[];
  annotations: SloAnnotation[];
  corrections: SloCorrection[];
  gate: SloGate;
}

export interface SloPoint {
  at_ms: number;
  /** The share left of the window that ends here. */
  remaining: number | null;
  bad: number;
  total: number;
}

export interface SloChart {
  start_ms: number;
  end_ms: number;
  window_start_ms: number;
  window_end_ms: number;
  points: SloPoint[];
}

export interface SloReview {
  slo: string;
  group: Labels;
  target: number;
  suggestion: 'tighten' | 'loosen' | 'keep' | 'insufficient_data';
  suggested_target: number | null;
  why: string;
}

export interface SloBeginnings {
  service: string;
  /** YAML. */
  text: string;
  /** The metrics that it is made of. */
  found: { requests: string | null; durations: string | null };
}

// ---- words ----

export const HEALTH: Record<Health, { tone: 'bad' | 'warn' | 'good' | 'quiet'; glyph: string; word: string }> = {
  critical: { tone: 'bad', glyph: '✖', word: 'critical' },
  warning: { tone: 'warn', glyph: '▲', word: 'at risk' },
  no_data: { tone: 'quiet', glyph: '○', word: 'no data' },
  ok: { tone: 'good', glyph: '✔', word: 'within budget' },
};

export const VERDICT: Record<Verdict, { tone: 'bad' | 'warn' | 'good'; glyph: string; word: string }> = {
  go: { tone: 'good', glyph: '✔', word: 'go' },
  caution: { tone: 'warn', glyph: '▲', word: 'caution' },
  freeze: { tone: 'bad', glyph: '✖', word: 'freeze' },
};

export const KIND: Record<NoteKind, { glyph: string; word: string }> = {
  deploy: { glyph: '▼', word: 'Deploy' },
  incident: { glyph: '▲', word: 'Incident' },
  drill: { glyph: '◇', word: 'Drill' },
  note: { glyph: '✎', word: 'Note' },
};

/** A share of good events with a digit more than its target has (three at least), cut off: `99.966%`. What was missed is never called
 *  met, and less than all never `100%`. The server's sentences and the command line say it by the same rule. */
export function goodText(ratio: number | null, target: number): string {
  if (ratio === null || !Number.isFinite(ratio)) return '–';
  const digits = Math.max(2, targetText(target).slice(0, -1).split('.')[1]?.length ?? 0) + 1;
  const scale = 10 ** digits;
  // Binary fractions miss 57 % by a little.
  let units = Math.floor(ratio * 100 * scale + 1e-6);
  if ((ratio < 1 && units >= 100 * scale) || (ratio < target - 1e-12 && units >= target * 100 * scale - 1e-6)) units -= 1;
  return `${Number((units / scale).toFixed(digits))}%`;
}

/** A target as it is written: `99.9%`. */
export function targetText(target: number): string {
  return `${Number((target * 100).toFixed(6))}%`;
}

/** What is left of a budget: `38.2%`, `0.04%`, `−120%`, `−14×`. Cut off, not rounded: 99.96 % is not all of it. */
export function leftText(share: number | null): string {
  if (share === null || !Number.isFinite(share)) return '–';
  if (share <= -10) return `−${Math.round(-share)}×`;
  const percent = Math.abs(share * 100);
  if (percent > 0 && percent < 0.01) return `${share < 0 ? '−' : ''}<0.01%`;
  const scale = percent >= 100 || percent === 0 ? 1 : percent < 0.1 ? 100 : 10;
  return `${share < 0 ? '−' : ''}${Math.floor(percent * scale + 1e-9) / scale}%`;
}

/** `38.2% left`, `overspent by 20%` */
export function leftWords(share: number | null): string {
  if (share === null) return 'nothing known';
  return share < 0 ? `overspent by ${leftText(share).slice(1)}` : `${leftText(share)} left`;
}

/** A share of the budget that was spent: `62%`, `0.4%`, `<0.01%`, `1,400%`. */
export function spentText(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 0.01) return '<0.01%';
  return `${Number(percent.toFixed(percent < 0.1 ? 2 : percent < 10 ? 1 : 0)).toLocaleString('en-US')}%`;
}

/** `43.2`, `0.08`, `2,160` */
export function minutesText(minutes: number): string {
  const size = Math.abs(minutes);
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2;
  return Number(minutes.toFixed(digits)).toLocaleString('en-US').replace('-', '−');
}

/** `14.2×`, `0.04×`, `1,300×` */
export function rateText(rate: number | null): string {
  if (rate === null || !Number.isFinite(rate)) return '–';
  const digits = rate >= 100 || rate === 0 ? 0 : rate >= 10 ? 1 : 2;
  return rate > 0 && rate < 0.005 ? '<0.01×' : `${Number(rate.toFixed(digits)).toLocaleString('en-US')}×`;
}

/** `2d 4h`; for what is further away than anybody plans, only that. */
export function hoursText(hours: number): string {
  return hours > 8760 ? '>1y' : age(hours * 3_600_000);
}

export function groupText(group: Labels): string {
  return Object.entries(group).map(([name, value]) => `${name}=${value}`).join(' · ');
}

/** What the server says of a budget or its forecast, without the name and the group that stand above it. A sentence that begins with a
 *  name keeps it as it is: names have their own case. */
export function sentenceOf(status: { slo: string; group: Labels; sentence: string }): string {
  const { slo, group, sentence } = status;
  const own = [`${slo} (${Object.values(group).join(', ')}): `, `${slo}: `].find((start) => sentence.startsWith(start));
  if (own === undefined) return sentence;
  const text = sentence.slice(own.length);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A group as one text, whatever the order of its labels. */
export function groupKey(group: Labels): string {
  return new URLSearchParams(Object.entries(group).sort(([a], [b]) => (a < b ? -1 : 1))).toString();
}

/** The address of an objective's page, or of one of its groups. */
export function sloPath(name: string): string {
  return `/slos/${encodeURIComponent(name).replace(/\.([a-z0-9]+)$/i, '%2E$1')}`;
}

// ---- which come first ----

const ORDER: Record<Health, number> = { critical: 0, warning: 1, no_data: 2, ok: 3 };

export function worstFirst(all: SloStatus[]): SloStatus[] {
  return [...all].sort((a, b) => ORDER[a.health] - ORDER[b.health]
    || (a.budget_remaining ?? 2) - (b.budget_remaining ?? 2)
    || a.slo.localeCompare(b.slo) || groupText(a.group).localeCompare(groupText(b.group)));
}

/** Those that somebody should look at. */
export function atRisk(all: SloStatus[]): SloStatus[] {
  return worstFirst(all).filter((s) => s.health === 'critical' || s.health === 'warning');
}

/** Rows whose name, service, owner or group has every word. */
export function matching(all: SloStatus[], text: string): SloStatus[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((s) => {
    const said = `${s.slo} ${s.service} ${s.owner} ${groupText(s.group)} ${HEALTH[s.health].word}`.toLowerCase();
    return words.every((word) => said.includes(word));
  });
}

/** The budget that the page shows: the chosen one, else the worst. */
export function chosenBudget(budgets: SloStatus[], key: string): SloStatus | undefined {
  return budgets.find((s) => groupKey(s.group) === key) ?? worstFirst(budgets)[0];
}

export function sameGroup(a: Labels, b: Labels): boolean {
  return groupKey(a) === groupKey(b);
}

/** The burn over a window, by its name. */
export function burnOver(status: SloStatus, window: string): number | null {
  return status.burn.find((b) => b.window === window)?.rate ?? null;
}

/** Whether an alert's labels are those of this budget. */
export function isOf(labels: Labels, status: { slo: string; group: Labels }): boolean {
  return labels.slo === status.slo && Object.entries(status.group).every(([name, value]) => labels[name] === value);
}
