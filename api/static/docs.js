// The API reference: the operations of the published document, grouped by tag.
import { key, keep, signIn } from "./key.js";
import { Schemas, element, fillWhenOpened, prose } from "./schema.js";
import { form } from "./try.js";

const ORDER = ["jobs", "history", "pictures", "checkpoints", "answers", "events", "logs", "webhooks", "datasets", "keys", "tenants", "about", "pages"];

signIn();
const field = document.getElementById("key");
field.value = key();
field.addEventListener("input", () => keep(field.value.trim()));
field.form.addEventListener("submit", (event) => event.preventDefault());
field.form.hidden = false;

const main = document.getElementById("doc");
try {
  const response = await fetch(new URL("../openapi.json", import.meta.url));
  if (!response.ok) throw new Error(`status ${response.status}`);
  draw(await response.json());
} catch (error) {
  main.append(element("p", { class: "warn" }, `/openapi.json could not be read: ${error.message}`));
}

function draw(document_) {
  const schemas = new Schemas(document_.components.schemas);
  document.getElementById("version").textContent = `reference ${document_.info.version}`;
  main.append(element("h1", {}, `${document_.info.title} reference`), element("p", {}, ...prose(document_.info.description)));
  const index = document.getElementById("places");
  for (const [tag, entries] of groupByTag(document_.paths)) {
    main.append(element("h2", { id: `tag-${tag}` }, tag));
    const list = element("ul");
    for (const entry of entries) {
      main.append(operationDetails(entry, schemas));
      list.append(operationLink(entry));
    }
    index.append(element("h3", {}, tag), list);
  }
  openTarget();
  addEventListener("hashchange", openTarget);
}

// Open the operation in the address's fragment, and scroll to it.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.tagName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView();
}

function groupByTag(paths) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method: method.toUpperCase(), operation });
    }
  }
  const rank = (tag) => (ORDER.includes(tag) ? ORDER.indexOf(tag) : ORDER.length);
  return [...groups].sort(([a], [b]) => rank(a) - rank(b));
}

function operationLink({ path, method, operation }) {
  return element(
    "li", {},
    element("a", { href: `#${operation.operationId}`, title: operation.summary },
      element("span", { class: `method ${method}` }, method), element("span", {}, path.replace(/^\/v1/, ""))),
  );
}

function operationDetails(entry, schemas) {
  const { path, method, operation } = entry;
  const details = element(
    "details", { class: "operation", id: operation.operationId },
    element("summary", {},
      element("span", { class: `method ${method}` }, method),
      element("span", { class: "path mono" }, path),
      element("span", { class: "about" }, operation.summary.split("\n")[0])),
  );
  return fillWhenOpened(details, () => [operationBody(entry, schemas)]);
}

function operationBody(entry, schemas) {
  const { operation } = entry;
  const inside = element("div", { class: "inside" }, element("p", {}, ...prose(operation.summary)));
  inside.append(element("p", { class: "faint" }, ...prose(operation.description || "Open: needs no key.")));
  for (const [place, title] of [["path", "In the path"], ["query", "Query"], ["header", "Headers"]]) {
    const parameters = (operation.parameters || []).filter((parameter) => parameter.in === place);
    if (parameters.length) inside.append(element("h4", {}, title), parameterList(parameters, schemas));
  }
  if (operation.requestBody) inside.append(...requestBody(operation.requestBody, schemas));
  const responses = Object.entries(operation.responses).map((response) => responseDetails(response, schemas));
  inside.append(element("h4", {}, "Answers"), ...responses);
  inside.append(form(entry, schemas));
  return inside;
}

function parameterList(parameters, schemas) {
  const properties = Object.fromEntries(
    parameters.map(({ name, schema, description }) => [name, { ...schema, description }]),
  );
  const required = parameters.filter((parameter) => parameter.required).map(({ name }) => name);
  return schemas.fields({ properties, required });
}

function requestBody(body, schemas) {
  return Object.entries(body.content).flatMap(([media, { schema }]) => [
    element("h4", {}, `Body (${media})`),
    ...(schema ? schemas.show(schema) : []),
  ]);
}

function responseDetails([status, response], schemas) {
  const media = Object.keys(response.content || {});
  const line = [element("span", { class: "status mono" }, status), response.description,
    media.length ? element("span", { class: "faint" }, ` (${media.join(", ")})`) : null];
  const schema = response.content?.["application/json"]?.schema;
  if (!schema) return element("p", {}, ...line);
  return fillWhenOpened(element("details", {}, element("summary", {}, ...line)), () => schemas.show(schema));
}
