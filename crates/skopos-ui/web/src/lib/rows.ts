// `j` and `k` on screens whose rows are links: from one to the next, and back. Enter then opens it, as it opens any link.

import { isTyping } from './keys';
import { prefs } from './prefs.svelte';

/** Whether a single key is a command now: not while somebody types, holds another key, answers a dialog, or has switched them off. */
export function isCommand(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  return prefs.keys && !isTyping(event.target) && document.querySelector('dialog[open]') === null;
}

/** Whether nothing that has keys of its own has the focus. */
export function isIdle(target: EventTarget | null): boolean {
  return target === document.body || (target instanceof Element && target.id === 'main');
}

/** Focuses the element after or before the one that has the focus, the first one when none has. */
export function stepRows(event: KeyboardEvent, find: () => HTMLElement[]): void {
  if ((event.key !== 'j' && event.key !== 'k') || !isCommand(event)) return;
  const rows = find();
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + (event.key === 'j' ? 1 : -1)))];
  if (!next) return;
  next.focus();
  event.preventDefault();
}
