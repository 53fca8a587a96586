// What the alert screens work out from rules and alerts: threshold, window, the filter for its logs, its address.

import type { Alert, AlertingRule, Labels } from '../api/types';
import { equals } from './filter';
import { fingerprint } from './fingerprint';
import type { Window } from './time';
import { incidentText, type IncidentRef } from './view';

/** What is shown before an alert became active, and after it ended. */
export const PAD_MS = 5 * 60_000;

export interface Threshold {
  /** The expression without its comparison. */
  expr: string;
  operator: string;
  value: number;
}

/** Splits `expr > 0.01` at its last comparison outside brackets; null where it does not end in one with a number. */
export function threshold(expr: string): Threshold | null {
  let depth = 0;
  let quote = '';
  let found: { at: number; operator: string } | null = null;
  for (let i = 0; i < expr.length; i += 1) {
    const c = expr[i]!;
    if (quote) {
      if (c === '\\') i += 1;
      else if (c === quote) quote = '';
      continue;
    }
    if (c === '"' || c === "'" || c === '`') quote = c;
    else if ('([{'.includes(c)) depth += 1;
    else if (')]}'.includes(c)) depth -= 1;
    else if (depth === 0) {
      // Joined by and, or, unless: no single line says when it fires.
      if (/^(and|or|unless)\b/i.test(expr.slice(i)) && !/[\w:]/.test(expr[i - 1] ?? ' ')) return null;
      const operator = /^(>=|<=|==|!=|>|<)/.exec(expr.slice(i))?.[1];
      if (operator) {
        found = { at: i, operator };
        i += operator.length - 1;
      }
    }
  }
  if (!found) return null;
  const right = expr.slice(found.at + found.operator.length).trim().replace(/^bool\b/, '').trim();
  const value = constant(right);
  return value === null ? null : { expr: expr.slice(0, found.at).trim(), operator: found.operator, value };
}

/** A number, or a product or quotient of numbers in parentheses: `(14.4 * 0.001)`. */
function constant(text: string): number | null {
  const bare = /^\(([^()]*)\)$/.exec(text)?.[1] ?? text;
  const parts = bare.split(/\s*([*/])\s*/);
  let value = number(parts[0] ?? '');
  for (let i = 1; i < parts.length && value !== null; i += 2) {
    const next = number(parts[i + 1] ?? '');
    value = next === null ? null : parts[i] === '*' ? value * next : value / next;
  }
  return value;
}

function number(text: string): number | null {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text.trim()) ? Number(text) : null;
}

/** The comparisons of an expression that joins them by `and`, each to hold; null where one is none, or there is only one. */
export function conditions(expr: string): Threshold[] | null {
  const parts = conjuncts(expr);
  if (parts.length < 2) return null;
  const all = parts.map((part) => threshold(bare(part)));
  return all.some((each) => each === null) ? null : (all as Threshold[]);
}

/** The text between each `and` outside brackets and quotes, without what matches the labels of both sides. */
function conjuncts(expr: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quote = '';
  let from = 0;
  for (let i = 0; i < expr.length; i += 1) {
    const c = expr[i]!;
    if (quote) {
      if (c === '\\' && quote !== '`') i += 1;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === "'" || c === '`') {
      quote = c;
    } else if ('([{'.includes(c)) {
      depth += 1;
    } else if (')]}'.includes(c)) {
      depth -= 1;
    } else if (depth === 0 && /^and\b/i.test(expr.slice(i)) && !/[\w:]/.test(expr[i - 1] ?? ' ')) {
      const joint = /^and(\s*\b(on|ignoring)\s*\([^)]*\))?/i.exec(expr.slice(i))![0];
      parts.push(expr.slice(from, i));
      from = i + joint.length;
      i = from - 1;
    }
  }
  return [...parts, expr.slice(from)].map((part) => part.trim());
}

/** Without the brackets around all of it. */
export function bare(text: string): string {
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === '(') depth += 1;
    else if (text[i] === ')') depth -= 1;
    if (depth === 0 && i < text.length - 1) return text;
  }
  return text.startsWith('(') && text.endsWith(')') ? text.slice(1, -1).trim() : text;
}

/** From five minutes before it became active to five minutes after its end, or until now. */
export function incidentWindow(start: number, end: number | null, now: number): Window {
  return { from: start - PAD_MS, to: end === null ? now : Math.min(now, end + PAD_MS) };
}

const SERVICE_LABELS = ['service_name', 'service', 'job'];

export function serviceOf(labels: Labels): string {
  return SERVICE_LABELS.map((name) => labels[name]).find((value) => value !== undefined && value !== '') ?? '';
}

/** The filter for the logs of an alert: its service, and only errors when the alert is about errors. */
export function logsFilter(labels: Labels, expr: string): string {
  const service = serviceOf(labels);
  const aboutErrors = /error|5\.\.|fail|fatal/i.test(`${labels.alertname ?? ''} ${expr}`);
  return [service === '' ? '' : equals('service.name', service), aboutErrors ? 'level>=error' : ''].filter(Boolean).join(' ');
}

/** The filter for its traces: failed ones when it is about errors. */
export function tracesFilter(labels: Labels, expr: string): string {
  return logsFilter(labels, expr).replace('level>=error', 'status=error');
}

export function incidentOf(alert: Alert): IncidentRef {
  return { rule: alert.labels.alertname ?? '', fingerprint: fingerprint(alert.labels), start: Math.floor(Date.parse(alert.activeAt)) };
}

/** Of an incident as the server tells it. */
export function incidentKey(of: { labels: Labels; fingerprint: string; active_at: string }): IncidentRef {
  return { rule: of.labels.alertname ?? '', fingerprint: of.fingerprint, start: Math.floor(Date.parse(of.active_at)) };
}

export function firingPath(inc: IncidentRef): string {
  return `/alerts/${incidentText(inc)}`;
}

export function runbookOf(annotations: Labels): string {
  return annotations.runbook_url ?? annotations.runbook ?? '';
}

/** A link only where it is one: anything but http and https stays text. */
export function safeLink(text: string): string | null {
  try {
    const url = new URL(text);
    return url.protocol === 'https:' || url.protocol === 'http:' ? url.href : null;
  } catch {
    return null;
  }
}

/** Labels worth reading: not the name, which stands elsewhere, and of an objective not what says it again. */
export function labelText(labels: Labels): string {
  const again = (name: string): boolean => name === 'alertname' || (labels.slo !== undefined && name.startsWith('sloth_'));
  return Object.entries(labels).filter(([name]) => !again(name)).map(([name, value]) => `${name}=${value}`).join(' · ');
}

export function severityTone(labels: Labels): 'bad' | 'warn' {
  return /^(critical|page|p1|fatal|high|error|p2)$/i.test(labels.severity ?? '') ? 'bad' : 'warn';
}

/** Those that somebody must answer first: firing before pending, pages first, and of alike ones the longest active, which is nearest to the cause. */
export function urgentFirst(alerts: Alert[]): Alert[] {
  const SEVERITY = [/^(critical|page|p1)$/i, /^(high|error|p2)$/i];
  const rank = (a: Alert): number => {
    const at = SEVERITY.findIndex((pattern) => pattern.test(a.labels.severity ?? ''));
    return (a.state === 'firing' ? 0 : 10) + (at < 0 ? SEVERITY.length : at);
  };
  return [...alerts].sort((a, b) => rank(a) - rank(b) || Date.parse(a.activeAt) - Date.parse(b.activeAt) || (a.labels.alertname ?? '').localeCompare(b.labels.alertname ?? ''));
}

/** One alert for each budget that burns, the worst, with how many more of its burn alerts there are; all others as they are. */
export function folded(alerts: Alert[]): { alert: Alert; more: number; others: Alert[] }[] {
  const rank = (a: Alert): string => `${a.state === 'firing' ? 0 : 1}${severityTone(a.labels) === 'bad' ? 0 : 1}${a.labels.severity ?? ''}`;
  const out: { alert: Alert; more: number; others: Alert[] }[] = [];
  const at = new Map<string, { alert: Alert; more: number; others: Alert[] }>();
  for (const alert of alerts) {
    const own = Object.entries(alert.labels).filter(([name]) => !['alertname', 'severity', 'sloth_window'].includes(name));
    const key = alert.labels.slo === undefined ? '' : JSON.stringify(own.sort());
    const known = key === '' ? undefined : at.get(key);
    if (known) {
      known.more += 1;
      if (rank(alert) < rank(known.alert)) {
        known.others.unshift(known.alert);
        known.alert = alert;
      } else {
        known.others.push(alert);
      }
    } else {
      const entry = { alert, more: 0, others: [] };
      out.push(entry);
      if (key !== '') at.set(key, entry);
    }
  }
  return out;
}

export interface RuleOf {
  rule: AlertingRule;
  group: string;
  interval: number;
}
