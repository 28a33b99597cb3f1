// The API reference: the operations of the published document, grouped by tag.
import { key, keep, signIn } from "./key.js";
import { Schemas, element, fillWhenOpened, prose } from "./schema.js";
import { form } from "./try.js";

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
  for (const [{ name: tag, description }, entries] of groupByTag(document_)) {
    main.append(element("h2", { id: `tag-${tag}` }, tag), element("p", { class: "faint" }, description));
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

// The operations of each tag, in the document's order of tags.
function groupByTag({ tags, paths }) {
  const groups = new Map(tags.map((tag) => [tag, []]));
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = tags.find(({ name }) => name === operation.tags[0]);
      groups.get(tag).push({ path, method: method.toUpperCase(), operation });
    }
  }
  return groups;
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
  inside.append(element("p", { class: "faint" }, ...prose(operation.description)));
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
  const { "application/json": json, "text/event-stream": events } = response.content || {};
  const schema = (json || events)?.schema;
  if (!schema) return element("p", {}, ...line);
  return fillWhenOpened(element("details", {}, element("summary", {}, ...line)), () => schemas.show(schema));
}
