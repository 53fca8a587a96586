// The last so many items: constant time to add, oldest first to read, and a count of everything that ever came.

export class Ring<T> {
  #items: (T | undefined)[];
  #total = 0;
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#items = new Array<T | undefined>(capacity);
  }

  push(item: T): void {
    this.#items[this.#total % this.capacity] = item;
    this.#total += 1;
  }

  /** How many came, kept or not. */
  get total(): number {
    return this.#total;
  }

  get length(): number {
    return Math.min(this.#total, this.capacity);
  }

  /** The item that came as number `n` (from 0), while it is kept. */
  at(n: number): T | undefined {
    return n < this.#total - this.length || n >= this.#total ? undefined : this.#items[n % this.capacity];
  }

  /** Puts another item in the place of number `n`, while that is kept. */
  replace(n: number, item: T): void {
    if (this.at(n) !== undefined) this.#items[n % this.capacity] = item;
  }

  clear(): void {
    this.#items = new Array<T | undefined>(this.capacity);
    this.#total = 0;
  }
}
