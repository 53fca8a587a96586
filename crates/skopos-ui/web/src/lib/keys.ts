// The keyboard map: one list for the handler and for the sheet that explains it.

export interface Binding {
  keys: string;
  does: string;
  where: 'everywhere' | 'lists' | 'live' | 'trace' | 'firing' | 'slo';
}

export const SCREENS: { key: string; path: string; name: string }[] = [
  { key: 'o', path: '/', name: 'Overview' },
  { key: 'v', path: '/live', name: 'Live' },
  { key: 'l', path: '/logs', name: 'Logs' },
  { key: 't', path: '/traces', name: 'Traces' },
  { key: 'm', path: '/explore', name: 'Metrics' },
  { key: 'a', path: '/alerts', name: 'Alerts' },
  { key: 'b', path: '/slos', name: 'SLOs' },
];

export const BINDINGS: Binding[] = [
  ...SCREENS.map(({ key, name }): Binding => ({ keys: `g ${key}`, does: `go to ${name}`, where: 'everywhere' })),
  { keys: 'ctrl k', does: 'command palette', where: 'everywhere' },
  { keys: '/', does: 'to the filter', where: 'everywhere' },
  { keys: 't', does: 'choose the time', where: 'everywhere' },
  { keys: '[ ]', does: 'half a window back, forward', where: 'everywhere' },
  { keys: '- =', does: 'wider, narrower window', where: 'everywhere' },
  { keys: 'r', does: 'refresh', where: 'everywhere' },
  { keys: 'y', does: 'copy a link with the time frozen', where: 'everywhere' },
  { keys: 'Y', does: 'copy this link as it is', where: 'everywhere' },
  { keys: 'v', does: 'verify the recovery of the pinned incident', where: 'everywhere' },
  { keys: '?', does: 'this sheet', where: 'everywhere' },
  { keys: 'j k', does: 'next, previous row', where: 'lists' },
  { keys: 'enter', does: 'open the row', where: 'lists' },
  { keys: 'esc', does: 'close, leave the field', where: 'lists' },
  { keys: 'i x', does: 'include, exclude the focused value', where: 'lists' },
  { keys: '← → shift', does: 'chart: move, choose a part of time', where: 'lists' },
  { keys: 'space', does: 'pause, go on', where: 'live' },
  { keys: 'n', does: 'annotate', where: 'slo' },
  { keys: 'a', does: 'acknowledge', where: 'firing' },
  { keys: 's', does: 'silence for an hour', where: 'firing' },
  { keys: 'a d', does: 'pan left, right', where: 'trace' },
  { keys: 'w s', does: 'zoom in, out', where: 'trace' },
  { keys: '0', does: 'whole trace', where: 'trace' },
  { keys: 'n N', does: 'next, previous match', where: 'trace' },
  { keys: '← →', does: 'fold, unfold the span', where: 'trace' },
];

/** True where a key belongs to what is focused. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button'].includes(target.type);
}
