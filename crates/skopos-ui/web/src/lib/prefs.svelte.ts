// What a person prefers, in local storage and never in links.

export type Theme = 'system' | 'dark' | 'light';

interface Stored {
  theme: Theme;
  railClosed: boolean;
  keys: boolean;
  who: string;
}

const KEY = 'skopos.prefs';
const DEFAULTS: Stored = { theme: 'system', railClosed: false, keys: true, who: '' };

function read(): Stored {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Stored>) };
  } catch {
    return DEFAULTS;
  }
}

class Prefs {
  #stored = $state.raw(read());

  get theme(): Theme {
    return this.#stored.theme;
  }

  get railClosed(): boolean {
    return this.#stored.railClosed;
  }

  /** Whether single keys do something (WCAG 2.1.4: they can be switched off). */
  get keys(): boolean {
    return this.#stored.keys;
  }

  /** The name under which this person acknowledges and silences. */
  get who(): string {
    return this.#stored.who;
  }

  set(patch: Partial<Stored>): void {
    this.#stored = { ...this.#stored, ...patch };
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#stored));
    } catch {
      // Private windows may refuse; the choice then lasts as long as the page.
    }
    this.apply();
  }

  apply(): void {
    document.documentElement.dataset.theme = this.#stored.theme;
  }
}

export const prefs = new Prefs();
