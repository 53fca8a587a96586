// The server counts a filter in bytes of UTF-8, JavaScript in UTF-16 units.

const encoder = new TextEncoder();

export function byteOffset(text: string, chars: number): number {
  return encoder.encode(text.slice(0, chars)).length;
}

export function charOffset(text: string, bytes: number): number {
  let seen = 0;
  for (let i = 0; i < text.length; ) {
    if (seen >= bytes) return i;
    const point = text.codePointAt(i)!;
    seen += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    i += point < 0x10000 ? 1 : 2;
  }
  return text.length;
}

/** Replaces a range of bytes, and says where the caret goes. */
export function splice(text: string, range: { start: number; end: number }, by: string): { text: string; caret: number } {
  const [a, b] = [charOffset(text, range.start), charOffset(text, range.end)];
  return { text: text.slice(0, a) + by + text.slice(b), caret: a + by.length };
}
