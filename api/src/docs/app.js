// The reference page: reads /openapi.json and draws it. No library, no other host.
import { el, example, resolve, tree, typeText, words } from "/docs/schema.js";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];

// Light or dark: the system's choice until the reader makes one.
const root = document.documentElement;
const remembered = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;
document.getElementById("theme")?.addEventListener("click", () => {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* private window: not remembered */ }
});

/** All operations in the order of the description, each with its first tag. */
function operations(api) {
  return Object.entries(api.paths ?? {}).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => {
      const operation = item[method];
      const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((p) => resolve(api, p));
      const tag = operation.tags?.[0] ?? "other";
      const id = operation.operationId ?? `${method}${path.replace(/[^a-z0-9]+/gi, "-")}`;
      const summary = operation.summary ?? operation.description?.split("\n")[0] ?? "";
      const text = [method, path, summary, operation.description, id, tag].join(" ").toLowerCase();
      return { path, method, operation, parameters, tag, id, summary, text };
    }));
}

function block(title, ...content) {
  const real = content.filter((node) => node != null);
  return real.length ? [el("h4", {}, title), ...real] : [];
}

function parameterTable(api, parameters) {
  if (!parameters.length) return null;
  const rows = parameters.map((p) => el("tr", {},
    el("td", {}, el("code", {}, p.name), " ", p.required ? el("span", { class: "required" }, "required") : null),
    el("td", {}, p.in), el("td", { class: "type" }, typeText(api, p.schema ?? {})),
    el("td", {}, words(p.description ?? resolve(api, p.schema).description))));
  const head = ["Name", "In", "Type", "Meaning"].map((name) => el("th", { scope: "col" }, name));
  return el("div", { class: "table" }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

/** The first media type of a content map, JSON before others. */
function media(content = {}) {
  const name = Object.keys(content).find((type) => type.includes("json")) ?? Object.keys(content)[0];
  return name ? { name, ...content[name] } : null;
}

function bodyExample(api, content) {
  if (content.example !== undefined) return content.example;
  const named = Object.values(content.examples ?? {})[0];
  return named ? resolve(api, named).value : example(api, content.schema ?? {});
}

const quoted = (text) => `'${String(text).replace(/'/g, `'\\''`)}'`;

function curl(api, { path, method, operation, parameters }) {
  const value = (p) => p.example ?? example(api, p.schema ?? {});
  const filled = path.replace(/\{\*?([^}]+)\}/g, (whole, name) => {
    const parameter = parameters.find((p) => p.in === "path" && p.name === name);
    return parameter ? encodeURIComponent(value(parameter)) : whole;
  });
  const query = parameters.filter((p) => p.in === "query" && p.required)
    .map((p) => `${p.name}=${encodeURIComponent(value(p))}`).join("&");
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quoted(location.origin + filled + (query ? `?${query}` : ""))}`];
  lines.push(`-H "Authorization: Bearer $API_KEY"`);
  if (method === "post") lines.push(`-H "Idempotency-Key: $(uuidgen)"`);
  for (const p of parameters.filter((p) => p.in === "header" && p.name.toLowerCase() === "if-match")) {
    lines.push(`-H ${quoted(`${p.name}: "r1"`)}`);
  }
  const content = media(resolve(api, operation.requestBody ?? {}).content);
  if (content) {
    const json = content.name.includes("json");
    lines.push(`-H ${quoted(`Content-Type: ${content.name}`)}`);
    lines.push(json ? `-d ${quoted(JSON.stringify(bodyExample(api, content), null, 2))}` : "--data-binary @file");
  }
  return lines.join(" \\\n  ");
}

function copyable(text) {
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Without permission the reader copies by hand: the text is selected for that.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return el("div", { class: "example" }, el("pre", { tabindex: "0" }, el("code", {}, text)), button);
}

function responses(api, operation) {
  return Object.entries(operation.responses ?? {}).map(([status, written]) => {
    const response = resolve(api, written);
    const content = media(response.content);
    const head = el("summary", {}, el("span", { class: `status s${status[0]}` }, status), " ", response.description ?? "",
      content ? el("span", { class: "type" }, ` ${content.name}`) : null);
    const headers = Object.entries(response.headers ?? {}).map(([name, header]) =>
      el("p", {}, el("code", {}, name), " ", resolve(api, header).description ?? ""));
    const details = el("details", {}, head, headers);
    details.addEventListener("toggle", () => {
      if (!details.open || !content || details.dataset.drawn) return;
      details.dataset.drawn = "yes";
      details.append(tree(api, content.schema ?? {}));
      if (content.name.includes("json")) details.append(copyable(JSON.stringify(bodyExample(api, content), null, 2)));
    });
    return details;
  });
}

function inside(api, entry) {
  const { operation, parameters, summary } = entry;
  const request = resolve(api, operation.requestBody ?? {});
  const content = media(request.content);
  const scopes = (operation.security ?? api.security ?? []).flatMap((one) =>
    Object.entries(one).map(([scheme, needed]) => needed.length ? `${scheme}: ${needed.join(", ")}` : scheme));
  return el("div", { class: "inside" },
    operation.description && operation.description !== summary ? words(operation.description) : null,
    block("Needs", scopes.length ? el("p", { class: "type" }, scopes.join("; ")) : null),
    block("Parameters", parameterTable(api, parameters)),
    content ? block(`Body: ${content.name}`, words(request.description), tree(api, content.schema ?? {})) : [],
    block("Example", copyable(curl(api, entry))),
    block("Answers", ...responses(api, operation)));
}

function card(api, entry) {
  const { method, path, summary, operation, id } = entry;
  const details = el("details", { class: `operation${operation.deprecated ? " deprecated" : ""}`, id },
    el("summary", {}, el("span", { class: `method ${method}` }, method), el("span", { class: "path" }, path),
      el("span", { class: "hint" }, summary), operation.deprecated ? el("span", { class: "tag" }, "deprecated") : null));
  // Hundreds of operations are drawn when they are opened, not before.
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(inside(api, entry));
  });
  return details;
}

function draw(api) {
  document.title = `${api.info?.title ?? "API"} reference`;
  document.getElementById("title").textContent = `${api.info?.title ?? "API"} ${api.info?.version ?? ""}`;
  const main = document.getElementById("content");
  const nav = document.getElementById("nav");
  const entries = operations(api);
  const known = (api.tags ?? []).map((tag) => tag.name);
  const tags = [...new Set([...known, ...entries.map((entry) => entry.tag)])];
  const groups = [];
  const status = el("p", { id: "status", role: "status", class: "type" }, `${entries.length} operations`);
  main.replaceChildren(words(api.info?.description) ?? "", status);
  for (const tag of tags) {
    const own = entries.filter((entry) => entry.tag === tag);
    if (!own.length) continue;
    const about = (api.tags ?? []).find((one) => one.name === tag)?.description;
    const section = el("section", {}, el("h2", { id: `tag-${tag}` }, tag), words(about));
    const list = el("ul", {});
    const group = el("div", {}, el("h2", {}, tag), list);
    for (const entry of own) {
      entry.card = card(api, entry);
      entry.link = el("li", {}, el("a", { href: `#${entry.id}` }, el("span", { class: `method ${entry.method}` }, entry.method),
        el("span", { class: "label" }, entry.summary || entry.path)));
      section.append(entry.card);
      list.append(entry.link);
    }
    main.append(section);
    nav.append(group);
    groups.push({ own, section, group });
  }
  drawSchemas(api, main);

  const search = document.getElementById("search");
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { own, section, group } of groups) {
      let any = false;
      for (const entry of own) {
        const hit = wanted.every((word) => entry.text.includes(word));
        entry.card.hidden = entry.link.hidden = !hit;
        any ||= hit;
        shown += hit ? 1 : 0;
      }
      section.hidden = group.hidden = !any;
    }
    status.textContent = wanted.length ? `${shown} of ${entries.length} operations` : `${entries.length} operations`;
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "")) {
      event.preventDefault();
      search.focus();
    }
  });
}

function drawSchemas(api, main) {
  const schemas = Object.entries(api.components?.schemas ?? {});
  if (!schemas.length) return;
  main.append(el("h2", { id: "schemas" }, "Schemas"), ...schemas.map(([name, schema]) => {
    const details = el("details", { class: "operation", id: `schema-${name}` },
      el("summary", {}, el("span", { class: "path" }, name), el("span", { class: "hint" }, typeText(api, schema))));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) {
        details.append(el("div", { class: "inside" }, words(schema.description), tree(api, schema)));
      }
    });
    return details;
  }));
}

/** Opens what the address names and marks it in the list. */
function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  for (const link of document.querySelectorAll("nav a[aria-current]")) link.removeAttribute("aria-current");
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  document.querySelector(`nav a[href="#${CSS.escape(id)}"]`)?.setAttribute("aria-current", "true");
  target.scrollIntoView();
}

const nav = document.getElementById("nav");
if (nav) {
  const menu = document.getElementById("menu");
  menu.addEventListener("click", () => menu.setAttribute("aria-expanded", String(nav.classList.toggle("open"))));
  nav.addEventListener("click", (event) => {
    if (event.target.closest("a")) { nav.classList.remove("open"); menu.setAttribute("aria-expanded", "false"); }
  });
  addEventListener("hashchange", follow);
  fetch("/openapi.json")
    .then((answer) => { if (!answer.ok) throw new Error(`status ${answer.status}`); return answer.json(); })
    .then((api) => { draw(api); follow(); })
    .catch((error) => { document.getElementById("status").textContent = `The description could not be read: ${error.message}`; });
}
