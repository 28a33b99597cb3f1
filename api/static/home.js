// The start page: stores the key of a sign-in link, and shows whether the service is ready.
import { key, signIn } from "./key.js";

signIn();
document.getElementById("signed-in").hidden = !key();
document.getElementById("curl").firstChild.data = document
  .getElementById("curl")
  .textContent.replace("http://127.0.0.1:8000", location.origin);

const state = document.getElementById("state");
try {
  const response = await fetch(new URL("../readyz", import.meta.url));
  const body = await response.json();
  state.textContent = response.ok ? "ready" : `not ready: ${body.detail}`;
} catch {
  state.textContent = "does not answer";
}
