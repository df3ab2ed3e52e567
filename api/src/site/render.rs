//! The rendering of one page: deterministic, so that the page as of an earlier time is equal byte for byte.

use minijinja::value::Value;

use super::error::RenderError;
use super::{engine, layout};

/// What one rendering may use. The defaults fit a page of some thousand elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the source.
    pub source_bytes: usize,
    /// Bytes of the rendered page, without the default layout around it.
    pub output_bytes: usize,
    /// Instructions of the template engine.
    pub fuel: u64,
    /// Levels of recursion, at most 500; a call of a macro costs five or six.
    pub recursion: usize,
    /// Bytes of text and weight of lists that all filters and operators together may touch.
    pub work_bytes: u64,
    /// Weight of one value: its bytes, and 32 for each of its elements.
    pub value_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: writers::cms::page::MAX_BODY,
            output_bytes: 2 * 1024 * 1024,
            fuel: 200_000,
            recursion: 400,
            work_bytes: 64 * 1024 * 1024,
            value_bytes: 2 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// All bytes written, also those captured by macros and `set` blocks and written again.
    pub(super) fn emit_bytes(&self) -> u64 {
        (self.output_bytes as u64).saturating_mul(4)
    }
}

/// `page` in a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFields {
    pub title: String,
    pub description: String,
    pub slug: String,
    /// From the root of the site, starting with `/`.
    pub path: String,
    /// The name of the site's aggregate, as the API speaks of it.
    pub site: String,
    /// BCP 47, such as `en` or `de-CH`; empty means English.
    pub language: String,
    /// RFC 3339.
    pub published_at: Option<String>,
    pub revision: u64,
}

/// `site` in a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteFields {
    pub name: String,
    pub tenant: String,
    /// Without a scheme, with a port only if it is not the usual one.
    pub host: String,
}

/// Everything a template can read. Nothing else reaches it: no clock, no request, no file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PageContext {
    pub page: PageFields,
    pub site: SiteFields,
    /// `data` in a template: what the page's components show.
    pub data: serde_json::Value,
}

impl PageContext {
    fn value(&self) -> Value {
        let (page, site) = (&self.page, &self.site);
        let text = |text: &String| Value::from(text.as_str());
        let page = Value::from_pairs([
            ("title", text(&page.title)),
            ("description", text(&page.description)),
            ("slug", text(&page.slug)),
            ("path", text(&page.path)),
            ("site", text(&page.site)),
            ("language", Value::from(page.language())),
            ("published_at", page.published_at.as_ref().map_or(Value::UNDEFINED, text)),
            ("revision", Value::from(page.revision)),
        ]);
        let site =
            Value::from_pairs([("name", text(&site.name)), ("tenant", text(&site.tenant)), ("host", text(&site.host))]);
        Value::from_pairs([("page", page), ("site", site), ("data", from_json(&self.data))])
    }
}

impl PageFields {
    /// The language, English if none is given or it is not a language tag.
    pub fn language(&self) -> &str {
        let is_tag = |tag: &str| tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let language = self.language.as_str();
        if language.is_empty() || language.len() > 35 || !is_tag(language) { "en" } else { language }
    }
}

fn from_json(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(fields) => Value::from_pairs(fields.iter().map(|(name, field)| (name.as_str(), from_json(field)))),
    }
}

/// A page ready to be packed and cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// A whole HTML document.
    pub html: String,
    /// Whether the source was a fragment and the default layout stands around it.
    pub wrapped: bool,
}

/// Turns sources into pages. Holds no state: nothing leaks from one tenant's page into another's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Renderer;

impl Renderer {
    /// Blocks for as long as the template runs (milliseconds, bounded by the limits): call it off the async threads.
    pub fn render(&self, source: &str, page: &PageContext, limits: &Limits) -> Result<Rendered, RenderError> {
        check_size(source, limits)?;
        let body = engine::run(source, page.value(), limits)?;
        if layout::is_document(&body) {
            return Ok(Rendered { html: body, wrapped: false });
        }
        Ok(Rendered { html: layout::wrap(&body, page), wrapped: true })
    }

    /// Whether a source can be saved: it parses, and uses only what exists. Runs nothing.
    pub fn check(&self, source: &str, limits: &Limits) -> Result<(), RenderError> {
        check_size(source, limits)?;
        engine::check(source)
    }
}

fn check_size(source: &str, limits: &Limits) -> Result<(), RenderError> {
    let (size, limit) = (source.len(), limits.source_bytes);
    if size > limit { Err(RenderError::SourceTooLarge { size, limit }) } else { Ok(()) }
}
