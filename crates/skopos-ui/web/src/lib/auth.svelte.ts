// The token, for this tab only: session storage ends with the tab, and no link carries it.

const KEY = 'skopos.token';

class Auth {
  token = $state(read());
  /** A request was refused for want of a token. */
  wanted = $state(false);

  use(token: string): void {
    this.token = token.trim();
    this.wanted = false;
    try {
      sessionStorage.setItem(KEY, this.token);
    } catch {
      // Without storage the token lives as long as the page.
    }
  }
}

function read(): string {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}

export const auth = new Auth();
