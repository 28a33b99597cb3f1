// A form under an operation that sends it, with the key of this tab, and shows what came back.
import { key } from "./key.js";
import { element } from "./schema.js";

const LONGEST = 200_000; // characters of an answer that are shown

export function form({ path, method, told }, schemas) {
  const inputs = (told.parameters || []).filter((one) => one.in !== "header").map(input);
  const media = Object.keys(told.requestBody?.content || {});
  const text = media.length ? element("textarea", { "aria-label": "body", spellcheck: "false" }) : null;
  if (media[0] === "application/json") {
    text.value = JSON.stringify(example(told.requestBody.content[media[0]].schema, schemas), null, 1);
  }
  const shown = element("div", { "aria-live": "polite" });
  const made = element(
    "form", { class: "try" },
    element("h4", {}, "Try it"),
    ...inputs.map(({ label }) => label), text,
    element("p", {}, element("button", {}, `Send ${method}`)),
    shown,
  );
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    shown.replaceChildren("…");
    shown.replaceChildren(...(await send(address(path, inputs), method, media[0], text?.value)));
  });
  return made;
}

function input(one) {
  const field = element("input", { required: one.required, placeholder: placeholder(one.schema) });
  return { one, field, label: element("label", {}, element("code", {}, one.name), field) };
}

function placeholder(schema) {
  if (schema.enum) return schema.enum.join(", ");
  return "default" in schema && schema.default !== null ? String(schema.default) : "";
}

function address(path, inputs) {
  const query = new URLSearchParams();
  for (const { one, field } of inputs) {
    const value = field.value.trim();
    if (one.in === "path") path = path.replace(`{${one.name}}`, encodeURIComponent(value));
    else if (value && one.schema.type === "array") value.split(",").forEach((each) => query.append(one.name, each.trim()));
    else if (value) query.append(one.name, value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function send(url, method, media, body) {
  const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
  if (media) headers["Content-Type"] = media;
  try {
    const answer = await fetch(url, { method, headers, body: media ? body : undefined });
    const line = element("p", {}, element("span", { class: "status mono" }, `${answer.status}`), `${method} ${url}`);
    return [line, element("pre", {}, element("code", {}, await told(answer)))];
  } catch (error) {
    return [element("p", { class: "warn" }, `no answer: ${error.message}`)];
  }
}

async function told(answer) {
  const media = answer.headers.get("Content-Type") || "";
  if (media.includes("octet-stream")) return `${(await answer.blob()).size} bytes`;
  const text = await answer.text();
  try {
    return cut(media.includes("json") ? JSON.stringify(JSON.parse(text), null, 1) : text);
  } catch {
    return cut(text);
  }
}

function cut(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}\n…` : text;
}

// The smallest body that has all required fields.
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
