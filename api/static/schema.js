// JSON Schema as text and lists: types with bounds, fields; nested objects are folded.
const MAX_DEPTH = 8;

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Add to a <details> element what `makeChildren` returns, when it is first opened.
export function fillWhenOpened(details, makeChildren) {
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...makeChildren());
  });
  return details;
}

// Text with `code` between backticks.
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

export class Schemas {
  constructor(byName) {
    this.byName = byName;
  }

  resolve(schema) {
    if (!schema.$ref) return schema;
    const { $ref, ...siblings } = schema;
    return { ...this.byName[$ref.split("/").pop()], ...siblings };
  }

  // The type of a value, in one line.
  type(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    const choices = schema.anyOf || schema.oneOf;
    if (choices) return choices.map((choice) => this.type(choice)).join(" or ");
    if ("const" in schema) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
    if (schema.type === "array") return `array of ${this.items(schema)}${bounds(schema)}`;
    const text = [].concat(schema.type || "anything").join(" or ");
    return text + bounds(schema);
  }

  items(schema) {
    if (schema.prefixItems) return schema.prefixItems.map((item) => this.type(item)).join(", ");
    return schema.items ? this.type(schema.items) : "anything";
  }

  // The objects inside a schema, as [name, schema].
  inner(schema) {
    const whole = this.resolve(schema);
    const choices = whole.anyOf || whole.oneOf;
    if (choices) return choices.flatMap((choice) => this.inner(choice));
    if (whole.properties) return [[schema.$ref ? this.type(schema) : whole.title || "object", whole]];
    if (whole.items) return this.inner(whole.items);
    if (whole.additionalProperties?.$ref) return this.inner(whole.additionalProperties);
    return [];
  }

  // A list of an object's fields.
  fields(object, depth = 0) {
    const list = element("ul", { class: "fields" });
    for (const [name, schema] of Object.entries(object.properties || {})) {
      list.append(this.field(name, schema, (object.required || []).includes(name), depth));
    }
    return list;
  }

  field(name, schema, required, depth) {
    const { description } = this.resolve(schema);
    const fallback = "default" in schema ? `; ${JSON.stringify(schema.default)} if left out` : "";
    return element(
      "li", {},
      element("code", {}, name), " ",
      element("span", { class: "type" }, this.type(schema) + fallback),
      required ? element("span", { class: "required" }, " required") : null,
      description ? element("p", {}, ...prose(description)) : null,
      ...(depth < MAX_DEPTH ? this.inner(schema).map((object) => this.fold(object, depth)) : []),
    );
  }

  fold([name, object], depth) {
    const details = element("details", {}, element("summary", { class: "type" }, name));
    return fillWhenOpened(details, () => [this.fields(object, depth + 1)]);
  }

  // A body or a response.
  show(schema) {
    const objects = this.inner(schema);
    const line = element("p", { class: "faint" }, this.type(schema));
    if (objects.length === 1) return [line, this.fields(objects[0][1])];
    return [line, ...objects.map((object) => this.fold(object, 0))];
  }
}

function bounds(schema) {
  const parts = [];
  const pair = (low, high, word) => {
    if (low !== undefined && high !== undefined) parts.push(low === high ? `${low}${word}` : `${low} to ${high}${word}`);
    else if (low !== undefined) parts.push(`at least ${low}${word}`);
    else if (high !== undefined) parts.push(`at most ${high}${word}`);
  };
  pair(schema.minimum, schema.maximum, "");
  if (schema.exclusiveMinimum !== undefined) parts.push(`above ${schema.exclusiveMinimum}`);
  if (schema.exclusiveMaximum !== undefined) parts.push(`below ${schema.exclusiveMaximum}`);
  pair(schema.minLength, schema.maxLength, " characters");
  pair(schema.minItems, schema.maxItems, " items");
  pair(undefined, schema.maxProperties, " names");
  if (schema.pattern) parts.push(schema.pattern);
  return parts.length ? `, ${parts.join(", ")}` : "";
}
