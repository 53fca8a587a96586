// Newline-delimited JSON as it arrives. A line that is cut off by a chunk's end waits for the rest.

export async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<unknown[]> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += decoder.decode(value, { stream: true });
      const parts = rest.split('\n');
      rest = parts.pop() ?? '';
      const objects = parts.filter((part) => part !== '').map((part) => JSON.parse(part) as unknown);
      if (objects.length > 0) yield objects;
    }
    if (rest.trim() !== '') yield [JSON.parse(rest)];
  } finally {
    // Also when the consumer stops early: the connection must not stay.
    await reader.cancel().catch(() => undefined);
  }
}
