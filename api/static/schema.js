// JSON Schema as text and lists: types with their bounds, fields, what is nested folded away.
const DEEPEST = 8;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Text in which `code` stands between backticks.
export function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

export class Schemas {
  constructor(named) {
    this.named = named;
  }

  resolve(schema) {
    if (!schema.$ref) return schema;
    const { $ref, ...beside } = schema;
    return { ...this.named[$ref.split("/").pop()], ...beside };
  }

  // What a value is, in one line.
  type(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    const choices = schema.anyOf || schema.oneOf;
    if (choices) return choices.map((each) => this.type(each)).join(" or ");
    if ("const" in schema) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(", ");
    if (schema.type === "array") return `array of ${this.items(schema)}${bounds(schema)}`;
    const text = [].concat(schema.type || "anything").join(" or ");
    return text + bounds(schema);
  }

  items(schema) {
    if (schema.prefixItems) return schema.prefixItems.map((each) => this.type(each)).join(", ");
    return schema.items ? this.type(schema.items) : "anything";
  }

  // The objects inside: each with the name that its fold shows.
  inner(schema) {
    const whole = this.resolve(schema);
    const choices = whole.anyOf || whole.oneOf;
    if (choices) return choices.flatMap((each) => this.inner(each));
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
    const told = this.resolve(schema);
    const fallback = "default" in schema ? `; ${JSON.stringify(schema.default)} if left out` : "";
    return element(
      "li", {},
      element("code", {}, name), " ",
      element("span", { class: "type" }, this.type(schema) + fallback),
      required ? element("span", { class: "required" }, " required") : null,
      told.description ? element("p", {}, ...prose(told.description)) : null,
      ...(depth < DEEPEST ? this.inner(schema).map((each) => this.fold(each, depth)) : []),
    );
  }

  fold([name, object], depth) {
    const made = element("details", {}, element("summary", { class: "type" }, name));
    made.addEventListener("toggle", () => {
      if (made.open && made.children.length === 1) made.append(this.fields(object, depth + 1));
    });
    return made;
  }

  // The whole of a body or an answer.
  show(schema) {
    const found = this.inner(schema);
    const line = element("p", { class: "faint" }, this.type(schema));
    if (found.length === 1) return [line, this.fields(found[0][1])];
    return [line, ...found.map((each) => this.fold(each, 0))];
  }
}

function bounds(schema) {
  const told = [];
  const pair = (low, high, word) => {
    if (low !== undefined && high !== undefined) told.push(low === high ? `${low}${word}` : `${low} to ${high}${word}`);
    else if (low !== undefined) told.push(`at least ${low}${word}`);
    else if (high !== undefined) told.push(`at most ${high}${word}`);
  };
  pair(schema.minimum, schema.maximum, "");
  if (schema.exclusiveMinimum !== undefined) told.push(`above ${schema.exclusiveMinimum}`);
  if (schema.exclusiveMaximum !== undefined) told.push(`below ${schema.exclusiveMaximum}`);
  pair(schema.minLength, schema.maxLength, " characters");
  pair(schema.minItems, schema.maxItems, " items");
  pair(undefined, schema.maxProperties, " names");
  if (schema.pattern) told.push(schema.pattern);
  return told.length ? `, ${told.join(", ")}` : "";
}
