import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupLabels, matchersOf, matcherText, target, together, toldOf, type Notification } from '../src/lib/response';

const START = Date.parse('2026-11-22T10:00:00Z');
const at = (seconds: number): string => new Date(START + seconds * 1000).toISOString();
const sent = (id: string, group: string, seconds: number, more: Partial<Notification> = {}): Notification =>
  ({ id, group, receiver: 'chat', integration: 0, created_at: at(seconds), attempts: 1, reason: '', ...more });

describe('a response', () => {
  it('has a target by severity', () => {
    expect(target('P1')).toContain('now');
    expect(target('P2')).toContain('30 minutes');
    expect(target('P3')).toContain('next business day');
    expect(target(null)).toContain('nobody');
  });

  it('silences exactly this alert', () => {
    const matchers = matchersOf({ severity: 'P1', alertname: 'Down', empty: '' });
    expect(matchers.map(matcherText)).toEqual(['alertname="Down"', 'severity="P1"']);
    const as = (isRegex: boolean, isEqual: boolean): string => matcherText({ name: 'a', value: 'b', isRegex, isEqual });
    expect([as(true, true), as(false, false), as(true, false)]).toEqual(['a=~"b"', 'a!="b"', 'a!~"b"']);
  });
});

describe('group keys', () => {
  it('end in the labels of the group', () => {
    expect(groupLabels('{}:{alertname="Down"}')).toEqual({ alertname: 'Down' });
    expect(groupLabels('{}/{severity=~"P1|P2"}:{alertname="x", job="a b"}')).toEqual({ alertname: 'x', job: 'a b' });
    expect(groupLabels('{}/{a=":{"}:{b="}"}')).toEqual({ b: '}' });
    expect(groupLabels('{}:{}')).toEqual({});
    for (const wrong of ['', '{}', '{}:{a=}', 'x:{a="b}']) expect(groupLabels(wrong), wrong).toBeNull();
  });

  it('whatever the values are', () => {
    const escaped = (text: string): string => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n').replace(/\t/g, '\\t');
    fc.assert(fc.property(fc.dictionary(fc.stringMatching(/^[a-z_]{1,8}$/), fc.string()), (labels) => {
      const key = `{}/{x=":{"}:{${Object.entries(labels).map(([n, v]) => `${n}="${escaped(v)}"`).join(', ')}}`;
      expect(groupLabels(key)).toEqual({ ...labels });
    }));
  });
});

describe('what a firing was told', () => {
  const labels = { alertname: 'Down', job: 'shop' };

  it('is what its groups sent since it began, the newest that is known of each', () => {
    const all = {
      deliveries: [
        sent('old', '{}:{alertname="Down"}', -60, { verdict: 'delivered', settled_at: at(-59) }),
        sent('other', '{}:{alertname="Up"}', 5, { verdict: 'delivered', settled_at: at(6) }),
        sent('ok', '{}:{alertname="Down"}', 5, { verdict: 'delivered', settled_at: at(6) }),
        sent('again', '{}:{}', 7, { verdict: 'failed', settled_at: at(8), reason: '400' }),
        sent('again', '{}:{}', 7, { verdict: 'delivered', settled_at: at(30) }),
        sent('gone', '{}:{job="shop"}', 9, { verdict: 'dropped', settled_at: at(10) }),
      ],
      waiting: [sent('slow', '{}:{job="shop"}', 20, { receiver: 'page', attempts: 3, reason: '503' })],
      dead: [sent('dead', '{}:{job="shop"}', 21, { failed_at: at(22), reason: '404' })],
    };
    expect(toldOf(labels, START, null, all).map((t) => [t.id, t.state, t.attempts])).toEqual([
      ['again', 'delivered', 1], ['dead', 'dead', 1], ['slow', 'waiting', 3], ['gone', 'dropped', 1], ['ok', 'delivered', 1],
    ]);
  });

  it('is short where one receiver fails again and again', () => {
    const dead = [1, 2, 3].map((n) => sent(`d${n}`, '{}:{}', n, { failed_at: at(n), reason: '400' }));
    const all = toldOf(labels, START, null, { deliveries: [sent('ok', '{}:{}', 9, { verdict: 'delivered' })], waiting: [], dead });
    expect(together(all).map((t) => [t.id, t.count])).toEqual([['ok', 1], ['d3', 3]]);
  });

  it('ends a while after it', () => {
    const late = [sent('resolved', '{}:{alertname="Down"}', 70, { verdict: 'delivered' }), sent('next', '{}:{alertname="Down"}', 3600, { verdict: 'delivered' })];
    expect(toldOf(labels, START, START + 60_000, { deliveries: late, waiting: [], dead: [] }).map((t) => t.id)).toEqual(['resolved']);
  });
});
