// A form that sends an operation's request, with the key of this tab, and shows the response.
import { key } from "./key.js";
import { element } from "./schema.js";

const MAX_SHOWN = 200_000; // characters of a response

export function form({ path, method, operation }, schemas) {
  const inputs = (operation.parameters || []).filter((parameter) => parameter.in !== "header").map(input);
  const media = Object.keys(operation.requestBody?.content || {}).filter((name) => name !== "multipart/form-data");
  const text = media.length ? element("textarea", { "aria-label": "body", spellcheck: "false" }) : null;
  if (media[0] === "application/json") {
    text.value = JSON.stringify(example(operation.requestBody.content[media[0]].schema, schemas), null, 1);
  }
  const result = element("div", { "aria-live": "polite" });
  const node = element(
    "form", { class: "try" },
    element("h4", {}, "Try it"),
    ...inputs.map(({ label }) => label), text,
    element("p", {}, element("button", {}, `Send ${method}`)),
    result,
  );
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    result.replaceChildren("…");
    result.replaceChildren(...(await send(address(path, inputs), method, media[0], text?.value)));
  });
  return node;
}

function input(parameter) {
  const { name, required, schema } = parameter;
  const field = element("input", { required, placeholder: placeholder(schema) });
  return { parameter, field, label: element("label", {}, element("code", {}, name), field) };
}

function placeholder(schema) {
  if (schema.enum) return schema.enum.join(", ");
  return "default" in schema && schema.default !== null ? String(schema.default) : "";
}

function address(path, inputs) {
  const query = new URLSearchParams();
  for (const { parameter, field } of inputs) {
    const { name, schema } = parameter;
    const value = field.value.trim();
    if (parameter.in === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value && schema.type === "array") value.split(",").forEach((item) => query.append(name, item.trim()));
    else if (value) query.append(name, value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function send(url, method, media, body) {
  const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
  if (media) headers["Content-Type"] = media;
  try {
    const response = await fetch(new URL(`..${url}`, import.meta.url), { method, headers, body: media ? body : undefined });
    const line = element("p", {}, element("span", { class: "status mono" }, `${response.status}`), `${method} ${url}`);
    return [line, element("pre", {}, element("code", {}, await responseText(response)))];
  } catch (error) {
    return [element("p", { class: "warn" }, `no answer: ${error.message}`)];
  }
}

async function responseText(response) {
  const media = response.headers.get("Content-Type") || "";
  if (media.includes("octet-stream")) return `${(await response.blob()).size} bytes`;
  const text = await response.text();
  try {
    return cut(media.includes("json") ? JSON.stringify(JSON.parse(text), null, 1) : text);
  } catch {
    return cut(text);
  }
}

function cut(text) {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}\n…` : text;
}

// The smallest body with all required fields.
function example(schema, schemas, depth = 0) {
  const whole = schemas.resolve(schema);
  if (whole.examples) return whole.examples[0];
  if ("const" in whole) return whole.const;
  if (whole.enum) return whole.enum[0];
  const choices = whole.anyOf || whole.oneOf;
  if (choices) return example(choices[0], schemas, depth);
  if (whole.properties && depth < 6) {
    const names = Object.keys(whole.properties).filter((name) => whole.required?.includes(name) || "const" in whole.properties[name]);
    return Object.fromEntries(names.map((name) => [name, example(whole.properties[name], schemas, depth + 1)]));
  }
  if (whole.type === "array") return whole.minItems ? [example(whole.items, schemas, depth + 1)] : [];
  return { integer: whole.minimum ?? 1, number: 1, boolean: true, string: "text", object: {} }[whole.type] ?? null;
}
