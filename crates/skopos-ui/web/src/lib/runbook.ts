// A runbook as the server tells it: a tree of text. Nothing in it is markup; what may be followed is decided here once more.

import { safeLink } from './alerts';

export type Piece =
  | { type: 'text'; text: string }
  | { type: 'code'; text: string }
  | { type: 'emphasis'; text: Piece[] }
  | { type: 'strong'; text: Piece[] }
  | { type: 'deleted'; text: Piece[] }
  | { type: 'link'; href: string; text: Piece[] }
  | { type: 'break' };

export interface Item {
  /** Names a diagnostic step. */
  step?: string;
  blocks: Block[];
}

export type Block =
  | { type: 'heading'; level: number; text: Piece[] }
  | { type: 'paragraph'; text: Piece[] }
  | { type: 'list'; start?: number; items: Item[] }
  | { type: 'code'; language?: string; text: string }
  | { type: 'quote'; blocks: Block[] }
  | { type: 'table'; head: Piece[][]; rows: Piece[][][] }
  | { type: 'rule' };

export interface Tick {
  step: string;
  at_ms: number;
  by: string | null;
}

export interface RunbookPage {
  name: string;
  title: string | null;
  owner: string | null;
  problems: { code: string; line: number; message: string; hint: string }[];
  steps: string[];
  blocks: Block[];
}

export interface Runbook {
  alert: string;
  link: string | null;
  url: string | null;
  problem: string | null;
  page: RunbookPage | null;
  ticks: Tick[];
}

/** Where a link leads, when it leads anywhere from here: pages beside the runbook are not served. */
export function hrefOf(piece: { href: string }): string | null {
  return /^mailto:[^\s]+$/i.test(piece.href) ? piece.href : safeLink(piece.href);
}

/** The page without its own title, which stands above it. */
export function bodyOf(page: RunbookPage): Block[] {
  const [first, ...rest] = page.blocks;
  return first?.type === 'heading' && plain(first.text).trim() === page.title ? rest : page.blocks;
}

export function plain(pieces: Piece[]): string {
  return pieces.map((p) => (p.type === 'break' ? '\n' : typeof p.text === 'string' ? p.text : plain(p.text))).join('');
}

/** How many of the page's steps are done; ticks of steps that were rewritten since do not count. */
export function progress(steps: string[], ticks: Tick[]): number {
  const done = new Set(ticks.map((tick) => tick.step));
  return steps.filter((step) => done.has(step)).length;
}

/** A heading of the page below the panel's own. */
export function headingTag(level: number): string {
  return `h${Math.min(6, Math.max(3, level + 1))}`;
}
