// From an incident's reference to its window, scope and counts. One function, so that every screen means the same.

import { get } from '../api/client';
import { history, type Incident } from '../api/alerting';
import { alertingRules, alerts } from '../api/prometheus';
import type { Alert, AlertingRule, Histogram, Labels, TracePage } from '../api/types';
import { fingerprint } from './fingerprint';
import { folded, incidentOf, incidentWindow, logsFilter, serviceOf, tracesFilter } from './alerts';
import { seconds, type Window } from './time';
import type { IncidentRef } from './view';

export interface Phase {
  state: 'pending' | 'firing';
  from: number;
  to: number;
}

export interface IncidentScope {
  labels: Labels;
  service: string;
  state: string;
  /** Null while it goes on. */
  end: number | null;
  window: Window;
  phases: Phase[];
  alert: Alert | null;
  /** The same alert where it is active again, in a later incident. */
  again: Alert | null;
  /** What else is active that has to do with it. */
  others: Alert[];
  acknowledgedAt: number | null;
  rule: AlertingRule | null;
  group: string;
  interval: number;
  logsFilter: string;
  tracesFilter: string;
  logs: number;
  traces: number;
  moreTraces: boolean;
}

/** How long after its beginning the end of an incident is looked for at first, and at most. */
const SEARCH_MS = 24 * 3_600_000;
const LONGEST_MS = 30 * SEARCH_MS;
/** Counted exactly up to here. */
export const MOST_TRACES = 100;

export async function incidentScope(inc: IncidentRef, signal: AbortSignal): Promise<IncidentScope> {
  const now = Date.now();
  const [active, groups] = await Promise.all([alerts(signal), alertingRules(signal)]);
  const alert = active.find((a) => a.labels.alertname === inc.rule && fingerprint(a.labels) === inc.fingerprint) ?? null;
  // An alert that became active again since is another incident.
  const same = alert !== null && Math.abs(incidentOf(alert).start - inc.start) < 1000;
  const again = !same && alert !== null && incidentOf(alert).start > inc.start ? alert : null;
  const group = groups.find((g) => g.rules.some((r) => r.name === inc.rule));
  const rule = group?.rules.find((r) => r.name === inc.rule) ?? null;
  const interval = (group?.interval ?? 15) * 1000;
  const found = await recorded(inc, now, signal);
  const labels = (same ? alert.labels : null) ?? found?.labels ?? { alertname: inc.rule };
  const end = same ? null : found?.ended_at ? Date.parse(found.ended_at) : inc.start;
  const phases = found ? phasesOf({ ...found, ended_at: same ? null : found.ended_at }, now) : [];
  const window = incidentWindow(inc.start, end, now);
  const expr = rule?.query ?? '';
  const scope = { logs: logsFilter(labels, expr), traces: tracesFilter(labels, expr) };
  const [logs, traces] = await Promise.all([
    countLogs(scope.logs, window, signal), countTraces(scope.traces, window, signal),
  ]);
  return {
    labels, service: serviceOf(labels), state: same ? alert.state : 'over', end, window, phases,
    alert: same ? alert : null, again, others: related(active, inc, labels), acknowledgedAt: found?.acknowledged_at ? Date.parse(found.acknowledged_at) : null, rule, group: group?.name ?? '', interval,
    logsFilter: scope.logs, tracesFilter: scope.traces, logs, traces: traces.count, moreTraces: traces.more,
  };
}

export async function countLogs(filter: string, window: Window, signal: AbortSignal): Promise<number> {
  const query = { filter: filter || undefined, start: seconds(window.from), end: seconds(window.to), buckets: 1 };
  return (await get<Histogram>('/api/v1/logs/histogram', query, signal)).total;
}

export async function countTraces(filter: string, window: Window, signal: AbortSignal): Promise<{ count: number; more: boolean }> {
  const query = { filter: filter || undefined, start: seconds(window.from), end: seconds(window.to), limit: MOST_TRACES };
  const page = await get<TracePage>('/api/v1/traces', query, signal);
  return { count: page.traces.length, more: Boolean(page.next_cursor) };
}

export interface Counts {
  logs: number;
  errors: number;
  traces: number;
  failed: number;
  moreTraces: boolean;
  moreFailed: boolean;
}

/** How many records and traces a filter finds in a window, and how many of them are wrong. */
export function countSignals(q: string, window: Window, signal: AbortSignal): Promise<Counts> {
  return Promise.all([
    countLogs(q, window, signal), countLogs(`${q} level>=error`, window, signal),
    countTraces(q, window, signal), countTraces(`${q} status=error`, window, signal),
  ]).then(([logs, errors, traces, failed]) => ({ logs, errors, traces: traces.count, moreTraces: traces.more, failed: failed.count, moreFailed: failed.more }));
}

/** The incident as the rule recorded it, exact to the evaluation; null when nothing of it is stored. */
async function recorded(inc: IncidentRef, now: number, signal: AbortSignal): Promise<Incident | null> {
  const look = async (ms: number): Promise<Incident | null> => {
    const window = { from: inc.start - 60_000, to: Math.min(now, inc.start + ms) };
    const { incidents } = await history({ rule: inc.rule, fingerprint: inc.fingerprint, window }, signal);
    return incidents.find((each) => Math.abs(Date.parse(each.active_at) - inc.start) < 1000) ?? null;
  };
  const found = await look(SEARCH_MS);
  const end = inc.start + SEARCH_MS;
  // It may have gone on beyond what was looked at.
  return found?.ended_at && end < now && Date.parse(found.ended_at) >= end - 1000 ? look(LONGEST_MS) : found;
}

function phasesOf(found: Incident, now: number): Phase[] {
  const [active, fired, end] = [found.active_at, found.fired_at, found.ended_at].map((at) => (at === null ? null : Date.parse(at)));
  const to = end ?? now;
  const phases: Phase[] = [{ state: 'pending', from: active!, to: fired ?? to }];
  if (fired !== null && fired !== undefined) phases.push({ state: 'firing', from: fired, to });
  return phases.filter((phase) => phase.to > phase.from);
}

/** What else is active and has to do with it: of the same rule, of the same service, or anything where it names none. Of a budget's burn alerts the worst. */
export function related(active: Alert[], inc: IncidentRef, labels: Labels): Alert[] {
  const service = serviceOf(labels);
  const others = active.filter((a) => !(a.labels.alertname === inc.rule && fingerprint(a.labels) === inc.fingerprint));
  const near = others.filter((a) => service === '' || a.labels.alertname === inc.rule || serviceOf(a.labels) === service);
  const order = (a: Alert): number => (a.state === 'firing' ? 0 : 1);
  return folded(near.sort((a, b) => order(a) - order(b))).map(({ alert }) => alert);
}
