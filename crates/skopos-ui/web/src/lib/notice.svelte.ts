// One short message at a time, for what was done and leaves no other sign.

class NoticeState {
  text = $state('');
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string): void {
    this.text = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.text = ''), 3000);
  }
}

export const notice = new NoticeState();
