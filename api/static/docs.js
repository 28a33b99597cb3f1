// The reference: the published document, drawn operation by operation, grouped by tag.
import { key, keep, signIn } from "./key.js";
import { Schemas, element, prose } from "./schema.js";
import { form } from "./try.js";

const ORDER = ["jobs", "history", "checkpoints", "events", "logs", "datasets", "keys", "about", "pages"];

signIn();
const field = document.getElementById("key");
field.value = key();
field.addEventListener("input", () => keep(field.value.trim()));
field.form.addEventListener("submit", (event) => event.preventDefault());
field.form.hidden = false;

const main = document.getElementById("doc");
try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  draw(await answer.json());
} catch (error) {
  main.append(element("p", { class: "warn" }, `/openapi.json could not be read: ${error.message}`));
}

function draw(document_) {
  const schemas = new Schemas(document_.components.schemas);
  document.getElementById("version").textContent = `reference ${document_.info.version}`;
  main.append(element("h1", {}, `${document_.info.title} reference`), element("p", {}, ...prose(document_.info.description)));
  const places = document.getElementById("places");
  for (const [tag, operations] of grouped(document_.paths)) {
    main.append(element("h2", { id: `tag-${tag}` }, tag));
    const list = element("ul");
    for (const each of operations) {
      main.append(operation(each, schemas));
      list.append(place(each));
    }
    places.append(element("h3", {}, tag), list);
  }
  open();
  addEventListener("hashchange", open);
}

// The operation that the address names is open, and in sight.
function open() {
  const named = document.getElementById(location.hash.slice(1));
  if (named?.tagName !== "DETAILS") return;
  named.open = true;
  named.scrollIntoView();
}

function grouped(paths) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, told] of Object.entries(methods)) {
      const tag = told.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method: method.toUpperCase(), told });
    }
  }
  const rank = (tag) => (ORDER.includes(tag) ? ORDER.indexOf(tag) : ORDER.length);
  return [...groups].sort(([a], [b]) => rank(a) - rank(b));
}

function place({ path, method, told }) {
  return element(
    "li", {},
    element("a", { href: `#${told.operationId}`, title: told.summary },
      element("span", { class: `method ${method}` }, method), element("span", {}, path.replace(/^\/v1/, ""))),
  );
}

function operation(each, schemas) {
  const { path, method, told } = each;
  const made = element(
    "details", { class: "operation", id: told.operationId },
    element("summary", {},
      element("span", { class: `method ${method}` }, method),
      element("span", { class: "path mono" }, path),
      element("span", { class: "about" }, told.summary.split("\n")[0])),
  );
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) made.append(inside(each, schemas));
  });
  return made;
}

function inside(each, schemas) {
  const { told } = each;
  const made = element("div", { class: "inside" }, element("p", {}, ...prose(told.summary)));
  made.append(element("p", { class: "faint" }, ...prose(told.description || "Open: needs no key.")));
  const parameters = told.parameters || [];
  for (const [where, title] of [["path", "In the path"], ["query", "Query"], ["header", "Headers"]]) {
    const found = parameters.filter((one) => one.in === where);
    if (found.length) made.append(element("h4", {}, title), parameterList(found, schemas));
  }
  if (told.requestBody) made.append(...body(told.requestBody, schemas));
  made.append(element("h4", {}, "Answers"), ...Object.entries(told.responses).map((one) => response(one, schemas)));
  made.append(form(each, schemas));
  return made;
}

function parameterList(parameters, schemas) {
  const described = (one) => ({ ...one.schema, description: one.description });
  const properties = Object.fromEntries(parameters.map((one) => [one.name, described(one)]));
  return schemas.fields({ properties, required: parameters.filter((one) => one.required).map((one) => one.name) });
}

function body(request, schemas) {
  return Object.entries(request.content).flatMap(([media, { schema }]) => [
    element("h4", {}, `Body (${media})`),
    ...(schema ? schemas.show(schema) : []),
  ]);
}

function response([status, told], schemas) {
  const media = Object.keys(told.content || {});
  const line = [element("span", { class: "status mono" }, status), told.description,
    media.length ? element("span", { class: "faint" }, ` (${media.join(", ")})`) : null];
  const schema = told.content?.["application/json"]?.schema;
  if (!schema) return element("p", {}, ...line);
  const made = element("details", {}, element("summary", {}, ...line));
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) made.append(...schemas.show(schema));
  });
  return made;
}
