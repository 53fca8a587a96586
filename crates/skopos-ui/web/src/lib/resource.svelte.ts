// Loading, by effect: whatever `load` reads before its first await loads it again. A superseded request is aborted, the
// previous result stays (marked stale), and a skeleton is due only after 150 ms.

import { Failure } from '../api/client';

const SLOW_MS = 150;

export class Resource<T> {
  /** The last result. */
  data = $state.raw<T | undefined>(undefined);
  failure = $state.raw<Failure | null>(null);
  loading = $state(true);
  /** Loading for so long that it should show. */
  slow = $state(false);

  /** Must be called while a component is set up. `load` returns null when there is nothing to ask. */
  constructor(load: (signal: AbortSignal) => Promise<T> | null) {
    $effect(() => {
      const controller = new AbortController();
      const promise = load(controller.signal);
      if (!promise) {
        this.loading = false;
        return undefined;
      }
      this.loading = true;
      const timer = setTimeout(() => (this.slow = true), SLOW_MS);
      const done = (): void => {
        clearTimeout(timer);
        this.loading = false;
        this.slow = false;
      };
      promise.then(
        (data) => {
          if (controller.signal.aborted) return;
          done();
          this.data = data;
          this.failure = null;
        },
        (error: unknown) => {
          if (controller.signal.aborted) return;
          done();
          this.failure = error instanceof Failure ? error : new Failure(String(error), 0);
        },
      );
      return () => {
        clearTimeout(timer);
        controller.abort();
      };
    });
  }

  get stale(): boolean {
    return this.loading && this.data !== undefined;
  }
}
