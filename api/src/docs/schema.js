// Schemas of the description: resolved, named, drawn as a tree, and turned into an example value.
// Text reaches the page only through text nodes, so nothing in the description can become markup.

/** Makes an element; children are nodes or texts, null is left out. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

/** A description: paragraphs, `code`, and nothing else of Markdown. */
export function words(text) {
  if (!text) return null;
  const paragraphs = String(text).split(/\n\s*\n/).map((paragraph) =>
    el("p", {}, paragraph.split(/(`[^`]+`)/).map((part) =>
      part.startsWith("`") && part.length > 2 ? el("code", {}, part.slice(1, -1)) : part)));
  return el("div", { class: "words" }, paragraphs);
}

/** Follows a reference inside the document; anything else is returned as it is. */
export function resolve(root, value) {
  for (let hops = 0; value && value.$ref && hops < 20; hops++) {
    if (!value.$ref.startsWith("#/")) return {};
    value = value.$ref.slice(2).split("/").reduce(
      (node, key) => node?.[key.replace(/~1/g, "/").replace(/~0/g, "~")], root);
  }
  return value ?? {};
}

const nameOf = (schema) => schema?.$ref?.split("/").pop();
const isNull = (schema) => schema?.type === "null";
const choices = (schema) => schema.oneOf ?? schema.anyOf;

/** Parts of allOf joined into one object schema. */
function joined(root, schema) {
  if (!schema.allOf) return schema;
  const all = { ...schema, properties: { ...schema.properties }, required: [...(schema.required ?? [])] };
  for (const part of schema.allOf.map((part) => joined(root, resolve(root, part)))) {
    Object.assign(all.properties, part.properties);
    all.required.push(...(part.required ?? []));
    all.description ??= part.description;
  }
  delete all.allOf;
  return all;
}

/** A short text for the type: `string (uuid)`, `array of Order`, `integer or null`. */
export function typeText(root, written) {
  const schema = resolve(root, written);
  if (choices(schema)) {
    return choices(schema).map((choice) => typeText(root, choice)).filter((t, i, all) => all.indexOf(t) === i).join(" or ");
  }
  const types = [].concat(schema.type ?? (schema.properties || schema.allOf ? "object" : "any"));
  return types.map((type) => {
    if (type === "array") return `array of ${typeText(root, schema.items ?? {})}`;
    if (type === "object" && nameOf(written)) return nameOf(written);
    return schema.format ? `${type} (${schema.format})` : type;
  }).join(" or ");
}

/** Bounds and allowed words, as one line. */
function limits(schema) {
  const parts = [];
  if (schema.enum) parts.push(`one of ${schema.enum.map((value) => JSON.stringify(value)).join(", ")}`);
  if (schema.const !== undefined) parts.push(`always ${JSON.stringify(schema.const)}`);
  const bounds = { minimum: "from", maximum: "to", minLength: "at least", maxLength: "at most", minItems: "at least", maxItems: "at most" };
  const units = { minLength: " characters", maxLength: " characters", minItems: " items", maxItems: " items" };
  for (const [key, word] of Object.entries(bounds)) {
    if (schema[key] !== undefined) parts.push(`${word} ${schema[key]}${units[key] ?? ""}`);
  }
  if (schema.pattern) parts.push(`pattern ${schema.pattern}`);
  if (schema.default !== undefined) parts.push(`default ${JSON.stringify(schema.default)}`);
  return parts.length ? el("span", { class: "type" }, ` ${parts.join("; ")}`) : null;
}

/** What has members: the object itself, the item of an array, or the only choice besides null. */
function openable(root, written) {
  const schema = joined(root, resolve(root, written));
  if (schema.properties && Object.keys(schema.properties).length) return schema;
  if (schema.items) return openable(root, schema.items);
  if (typeof schema.additionalProperties === "object") return openable(root, schema.additionalProperties);
  const real = (choices(schema) ?? []).filter((choice) => !isNull(resolve(root, choice)));
  return real.length === 1 ? openable(root, real[0]) : null;
}

/** The members of a schema as a tree; inner objects open on demand, so recursion costs nothing. */
export function tree(root, written) {
  const schema = openable(root, written);
  if (!schema) {
    const several = choices(resolve(root, written));
    if (several) return el("div", {}, several.map((choice) => el("div", {}, el("h4", {}, typeText(root, choice)), tree(root, choice))));
    return el("p", { class: "type" }, typeText(root, written), limits(resolve(root, written)));
  }
  const required = new Set(schema.required ?? []);
  return el("ul", { class: "tree" }, Object.entries(schema.properties).map(([name, member]) => {
    const resolved = resolve(root, member);
    const line = [
      el("code", {}, name), " ", el("span", { class: "type" }, typeText(root, member)), " ",
      required.has(name) ? el("span", { class: "required" }, "required") : null,
      limits(resolved), words(member.description ?? resolved.description),
    ];
    if (!openable(root, member)) return el("li", {}, line);
    const details = el("details", {}, el("summary", {}, line));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(tree(root, member));
    });
    return el("li", {}, details);
  }));
}

const SAMPLES = {
  uuid: "0195f6c2-3b92-70c4-8f5a-2f1c5d7e9a10", "date-time": "2026-01-31T12:00:00Z", date: "2026-01-31",
  email: "ada@example.com", uri: "http://example.com/",
};

/** An example value: the one given, else one made from the types. `inside` names the schemas being written. */
export function example(root, written, inside = []) {
  const name = nameOf(written);
  if (name && inside.includes(name)) return null;
  const within = name ? [...inside, name] : inside;
  const schema = joined(root, resolve(root, written));
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const several = choices(schema);
  if (several) return example(root, several.find((choice) => !isNull(resolve(root, choice))) ?? {}, within);
  const type = [].concat(schema.type ?? (schema.properties ? "object" : "string")).find((name) => name !== "null");
  if (type === "object") {
    const members = Object.entries(schema.properties ?? {}).filter(([, member]) => !resolve(root, member).readOnly);
    const made = members.map(([key, member]) => [key, example(root, member, within)]);
    return Object.fromEntries(made.filter(([key, value]) => value !== null || schema.required?.includes(key)));
  }
  if (type === "array") return [example(root, schema.items ?? {}, within)].filter((item) => item !== null);
  if (type === "integer" || type === "number") return schema.minimum ?? 1;
  if (type === "boolean") return true;
  return SAMPLES[schema.format] ?? "text";
}
