// Severities and states: always a glyph and a word beside the colour.

export type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'unset';

export const LEVELS: readonly Level[] = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'unset'];

/** OpenTelemetry's severity numbers: 1–4 trace, 5–8 debug, 9–12 info, 13–16 warn, 17–20 error, 21–24 fatal. */
export function levelOf(severityNumber: number): Level {
  if (severityNumber >= 21) return 'fatal';
  if (severityNumber >= 17) return 'error';
  if (severityNumber >= 13) return 'warn';
  if (severityNumber >= 9) return 'info';
  if (severityNumber >= 5) return 'debug';
  return severityNumber >= 1 ? 'trace' : 'unset';
}

/** `ERROR2`, `error`, `WARN` */
export function levelOfName(name: string): Level {
  const lower = name.toLowerCase().replace(/\d+$/, '');
  if (lower === 'warning') return 'warn';
  return (LEVELS as readonly string[]).includes(lower) ? (lower as Level) : 'unset';
}

export const LEVEL_GLYPH: Record<Level, string> = {
  fatal: '✖', error: '✖', warn: '▲', info: '●', debug: '○', trace: '·', unset: '·',
};

export const LEVEL_WORD: Record<Level, string> = {
  fatal: 'FATAL', error: 'ERROR', warn: 'WARN', info: 'INFO', debug: 'DEBUG', trace: 'TRACE', unset: '–',
};

/** A stable place of a service in the palette of ten. The seed is one that keeps common names apart. */
export function hueOf(service: string): number {
  let hash = 28;
  for (let i = 0; i < service.length; i += 1) hash = Math.imul(hash ^ service.charCodeAt(i), 16777619);
  // FNV's low bits are weak for names that share an ending, as services do: mix the high ones in.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 10;
}
