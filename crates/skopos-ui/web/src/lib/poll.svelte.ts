// Screens of the present keep themselves fresh: while the window is relative and the tab is seen.

import { nav } from './nav.svelte';

/**
 * Must be called while a component is set up. `every` is in milliseconds, and may change with what it reads. `always` is for
 * screens that tell of the present whatever window their charts show.
 */
export function polling(every: number | (() => number), always = false): void {
  const ms = $derived(typeof every === 'number' ? every : every());
  $effect(() => {
    const timer = setInterval(() => {
      const relative = always || nav.view.t === null || nav.view.t.kind === 'relative';
      if (relative && document.visibilityState === 'visible') nav.refresh();
    }, ms);
    return () => clearInterval(timer);
  });
}
