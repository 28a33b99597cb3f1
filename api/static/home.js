// The first page: keeps the key of a sign-in link, and says whether the service is ready.
import { key, signIn } from "./key.js";

signIn();
document.getElementById("signed-in").hidden = !key();
document.getElementById("curl").firstChild.data = document
  .getElementById("curl")
  .textContent.replace("http://127.0.0.1:8000", location.origin);

const state = document.getElementById("state");
try {
  const answer = await fetch("/readyz");
  const told = await answer.json();
  state.textContent = answer.ok ? "ready" : `not ready: ${told.detail}`;
} catch {
  state.textContent = "does not answer";
}
