// Screens of the present keep themselves fresh: while the window is relative and the tab is seen.

import { nav } from './nav.svelte';

/** Must be called while a component is set up. `every` is in milliseconds, and may change with what it reads. */
export function polling(every: number | (() => number)): void {
  const ms = $derived(typeof every === 'number' ? every : every());
  $effect(() => {
    const timer = setInterval(() => {
      const relative = nav.view.t === null || nav.view.t.kind === 'relative';
      if (relative && document.visibilityState === 'visible') nav.refresh();
    }, ms);
    return () => clearInterval(timer);
  });
}
