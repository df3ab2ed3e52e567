//! The document around a page whose source is only its content.

use std::fmt::Write;

use minijinja::HtmlEscape;

use super::render::PageContext;

/// Readable on a phone and on paper, in the reader's own colours and font.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0 auto;padding:1.5rem;max-width:44rem;font:1.0625rem/1.6 system-ui,sans-serif;overflow-wrap:break-word}\
header,footer{margin-block:1rem;opacity:.85}\
img,video,iframe,table{max-width:100%}img,video{height:auto}\
h1,h2,h3{line-height:1.25}pre{overflow:auto}\
.skip{position:absolute;inset-inline-start:-100vw}.skip:focus{position:static}";

/// Whether this is a whole document: `<!doctype` or `<html` comes first, spaces and comments aside.
pub fn is_document(html: &str) -> bool {
    let mut rest = html.trim_start_matches('\u{feff}').trim_start();
    while let Some(comment) = rest.strip_prefix("<!--") {
        let Some((_, tail)) = comment.split_once("-->") else { return false };
        rest = tail.trim_start();
    }
    let starts = |tag: &str| rest.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    starts("<!doctype") || starts("<html")
}

/// The default layout around a fragment.
pub fn wrap(body: &str, context: &PageContext) -> String {
    let (page, site) = (&context.page, &context.site);
    let title = if page.title.is_empty() { &site.name } else { &page.title };
    let mut head = String::new();
    if !page.title.is_empty() && !site.name.is_empty() && page.title != site.name {
        write_infallibly(
            &mut head,
            format_args!("<title>{} – {}</title>\n", HtmlEscape(title), HtmlEscape(&site.name)),
        );
    } else {
        write_infallibly(&mut head, format_args!("<title>{}</title>\n", HtmlEscape(title)));
    }
    if !page.description.is_empty() {
        let description = HtmlEscape(&page.description);
        write_infallibly(&mut head, format_args!("<meta name=\"description\" content=\"{description}\">\n"));
    }
    if !site.host.is_empty() && page.path.starts_with('/') {
        let (host, path) = (HtmlEscape(&site.host), HtmlEscape(&page.path));
        write_infallibly(&mut head, format_args!("<link rel=\"canonical\" href=\"https://{host}{path}\">\n"));
    }
    document(page.language(), &head, &site.name, body)
}

/// A whole document. `head` and `body` are HTML already; `site` is text.
pub(super) fn document(language: &str, head: &str, site: &str, body: &str) -> String {
    let mut html = String::with_capacity(body.len() + head.len() + STYLE.len() + 512);
    let language = HtmlEscape(language);
    write_infallibly(
        &mut html,
        format_args!(
            "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{head}<style>{STYLE}</style>\n\
             </head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to content</a>\n"
        ),
    );
    if !site.is_empty() {
        write_infallibly(&mut html, format_args!("<header><a href=\"/\">{}</a></header>\n", HtmlEscape(site)));
    }
    write_infallibly(&mut html, format_args!("<main id=\"content\">\n{body}\n</main>\n</body>\n</html>\n"));
    html
}

fn write_infallibly(text: &mut String, parts: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(parts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_recognised_at_their_start() {
        for document in
            ["<!DOCTYPE html><p>", "\n <html lang=en>", "<!-- made by hand -->\n<!doctype html>", "\u{feff}<html>"]
        {
            assert!(is_document(document), "{document}");
        }
        for fragment in ["", "<p><html", "<pre>&lt;html", "<!-- <html> ", "<h", "<!doctyp é"] {
            assert!(!is_document(fragment), "{fragment}");
        }
    }
}
