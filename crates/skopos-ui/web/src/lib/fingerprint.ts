// Alertmanager's fingerprint of a label set: FNV-1a of 64 bits over the sorted names and values, each closed by 0xff.
// Computed here, because a resolved alert is only in its ALERTS series, which carries labels and no fingerprint.

const OFFSET = 14695981039346656037n;
const PRIME = 1099511628211n;
const MASK = (1n << 64n) - 1n;

export function fingerprint(labels: Record<string, string>): string {
  const encoder = new TextEncoder();
  let hash = OFFSET;
  const add = (byte: number): void => {
    hash = ((hash ^ BigInt(byte)) * PRIME) & MASK;
  };
  for (const name of Object.keys(labels).sort()) {
    for (const text of [name, labels[name]!]) {
      encoder.encode(text).forEach(add);
      add(0xff);
    }
  }
  return hash.toString(16).padStart(16, '0');
}
