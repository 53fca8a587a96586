// Where we are. The address bar is the only state; this is its reactive reading, and the one writer.

import { EMPTY, follow, parse, serialize, type View } from './view';
import { resolve, usualRange, type TimeRange, type Window, type Zone } from './time';

/** How long typing and panning may go on before the address follows. */
const SETTLE_MS = 300;

class Nav {
  view = $state.raw<View>(EMPTY);
  /** The instant that relative windows end at; moves on refresh. */
  now = $state(Date.now());
  /** Counts refreshes: what reads it loads again. */
  tick = $state(0);
  /** When a young store began; null for one that is older than the usual window. */
  began = $state<number | null>(null);
  #pending: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    this.view = parse(location.pathname + location.search);
    addEventListener('popstate', () => {
      clearTimeout(this.#pending);
      this.view = parse(location.pathname + location.search);
    });
    document.addEventListener('click', (event) => this.#click(event));
  }

  get window(): Window {
    return resolve(this.range, this.now);
  }

  /** The chosen range, or the usual one. */
  get range(): TimeRange {
    return this.view.t ?? usualRange(this.began === null ? null : this.now - this.began);
  }

  get zone(): Zone {
    return this.view.tz === 'utc' ? 'utc' : 'local';
  }

  /** Goes to an address of ours, with an entry in the history. */
  go(url: string): void {
    clearTimeout(this.#pending);
    const samePath = parse(url).path === this.view.path;
    history.pushState(null, '', url);
    this.view = parse(url);
    if (!samePath) this.now = Date.now();
  }

  /** Changes this view, with an entry in the history: a committed filter, a chosen window, an opened drawer. */
  push(patch: Partial<View>): void {
    this.go(serialize({ ...this.view, ...patch }));
  }

  /** Changes this view in place: typing, panning, zooming. The address follows when it settles. */
  replace(patch: Partial<View>): void {
    this.view = { ...this.view, ...patch };
    clearTimeout(this.#pending);
    this.#pending = setTimeout(() => history.replaceState(null, '', serialize(this.view)), SETTLE_MS);
  }

  /** An address for a link to another screen, with the window and the incident. */
  to(path: string, patch: Partial<View> = {}): string {
    return follow(this.view, path, patch);
  }

  /** An address for a link within this view. */
  here(patch: Partial<View>): string {
    return serialize({ ...this.view, ...patch });
  }

  refresh(): void {
    this.now = Date.now();
    this.tick += 1;
  }

  /** Shows another window. */
  look(window: Window): void {
    this.push({ t: { kind: 'absolute', from: Math.round(window.from), to: Math.round(window.to) } });
  }

  /** This view with its window fixed to instants, so that it shows the same tomorrow. */
  frozen(): string {
    const { from, to } = this.window;
    const t = { kind: 'absolute', from: Math.round(from), to: Math.round(to) } as const;
    return location.origin + serialize({ ...this.view, t });
  }

  /** Plain links work as links; we only spare the reload. */
  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest('a');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (/^\/(api|metrics|health)(\/|$)/.test(link.pathname)) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const nav = new Nav();
