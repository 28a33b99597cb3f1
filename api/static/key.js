// The access key of this tab, from the address's fragment; stored until the tab is closed.
const NAME = "tickforge-key";

export function key() {
  return sessionStorage.getItem(NAME) || "";
}

export function keep(text) {
  if (text) sessionStorage.setItem(NAME, text);
  else sessionStorage.removeItem(NAME);
}

// A sign-in link ends in #key=…, which a browser never sends; it is removed from the address bar.
export function signIn() {
  const match = /^#key=(.+)$/.exec(location.hash);
  if (!match) return;
  history.replaceState(null, "", location.pathname);
  try {
    keep(decodeURIComponent(match[1]));
  } catch {
    keep(match[1]); // a key with a bare % in it
  }
}
