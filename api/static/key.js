// The key of this tab: taken out of the address's fragment, kept until the tab is closed.
const NAME = "tickforge-key";

export function key() {
  return sessionStorage.getItem(NAME) || "";
}

export function keep(text) {
  if (text) sessionStorage.setItem(NAME, text);
  else sessionStorage.removeItem(NAME);
}

// A sign-in link ends in #key=…: the browser never sends that part, and the address bar forgets it.
export function signIn() {
  const found = /^#key=(.+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname);
  try {
    keep(decodeURIComponent(found[1]));
  } catch {
    keep(found[1]); // a key with a bare % in it
  }
}
