//! The inbox as HTML: plain, readable without scripts, by keyboard and by programs that read aloud.

use super::letter::Letter;
use std::fmt::Write;

const STYLE: &str = "<style>
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:70rem;padding:1rem}
header,form,nav{display:flex;flex-wrap:wrap;gap:.75rem;align-items:end;margin-block:.75rem}
h1{margin:0;font-size:1.5rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:start;padding:.4rem .6rem;border-bottom:1px solid #8886;vertical-align:top;overflow-wrap:anywhere}
tbody tr:hover{background:#8882}
input,button{font:inherit;padding:.35rem .6rem;min-height:2.2rem}
iframe{width:100%;height:60vh;border:1px solid #8886;background:#fff}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #8886;padding:.75rem}
:focus-visible{outline:3px solid #2f6fde;outline-offset:2px}
</style>";

/// What stands for itself in HTML, in text as in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title>{STYLE}</head><body>{body}</body></html>",
        escape(title)
    )
}

pub(super) fn message(title: &str, text: &str) -> String {
    let body = format!("<h1>{}</h1><p>{}</p><p><a href=\"/\">All mails</a></p>", escape(title), escape(text));
    document(title, &body)
}

/// `to`: what was searched for. `more`: the last of this page, when older ones follow.
pub(super) fn list(kept: usize, mails: &[Letter], to: &str, more: Option<u64>) -> String {
    let mut body = format!(
        "<header><h1>Local inbox</h1><p role=\"status\">{kept} mails, newest first. Nothing here has left this machine.</p></header>\
         <form role=\"search\"><label>Receiver<br><input type=\"search\" name=\"to\" value=\"{}\"></label>\
         <button>Search</button></form>",
        escape(to)
    );
    if mails.is_empty() {
        let none = if to.is_empty() { "No mails yet." } else { "No mail to such a receiver." };
        body += &format!("<p>{none} <a href=\"/\">Look again</a></p>");
    } else {
        body += "<table><thead><tr><th scope=\"col\">Taken</th><th scope=\"col\">To</th><th scope=\"col\">From</th>\
                 <th scope=\"col\">Subject</th><th scope=\"col\">Bytes</th></tr></thead><tbody>";
        for mail in mails {
            let subject = if mail.subject.is_empty() { "(no subject)" } else { &mail.subject };
            // Writing into a text cannot fail.
            _ = write!(
                body,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td><a href=\"/mails/{}\">{}</a></td><td>{}</td></tr>",
                escape(mail.at.get(..19).unwrap_or(&mail.at)).replace('T', " "),
                escape(&mail.receivers.join(", ")),
                escape(&mail.from),
                mail.number,
                escape(subject),
                mail.bytes
            );
        }
        body += "</tbody></table>";
    }
    if let Some(before) = more {
        let to = escape(&to.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace('#', "%23"));
        body += &format!("<nav aria-label=\"Pages\"><a href=\"/?to={to}&amp;before={before}\">Older mails</a></nav>");
    }
    if kept > 0 {
        body += "<form method=\"post\" action=\"/delete-all\"><button>Delete all mails</button></form>";
    }
    document("Local inbox", &body)
}

pub(super) fn mail(letter: &Letter, remote: bool) -> String {
    let number = letter.number;
    let subject = if letter.subject.is_empty() { "(no subject)" } else { &letter.subject };
    let mut body = format!(
        "<nav aria-label=\"Inbox\"><a href=\"/\">All mails</a></nav><h1>{}</h1><table><tbody>\
         <tr><th scope=\"row\">To</th><td>{}</td></tr><tr><th scope=\"row\">From</th><td>{}</td></tr>\
         <tr><th scope=\"row\">Taken</th><td>{}</td></tr></tbody></table>",
        escape(subject),
        escape(&letter.receivers.join(", ")),
        escape(&letter.from),
        escape(&letter.at)
    );
    let mut links = format!("<a href=\"/mails/{number}/raw\">Download as it came</a>");
    if letter.html.is_some() {
        links += if remote {
            " <a href=\"?\">Without pictures from elsewhere</a>"
        } else {
            " <a href=\"?remote=yes\">Load pictures from elsewhere</a>"
        };
    }
    body += &format!("<nav aria-label=\"This mail\">{links}</nav>");
    if letter.html.is_some() {
        let query = if remote { "?remote=yes" } else { "" };
        body += &format!(
            "<h2>HTML part</h2><iframe title=\"The mail as its receiver sees it\" \
             sandbox=\"allow-popups allow-popups-to-escape-sandbox\" referrerpolicy=\"no-referrer\" \
             src=\"/mails/{number}/html{query}\"></iframe>"
        );
    }
    if let Some(text) = &letter.text {
        body += &format!("<h2>Text part</h2><pre tabindex=\"0\">{}</pre>", escape(text));
    }
    if !letter.attachments.is_empty() {
        body += &format!("<p>Attachments: {} (in the download).</p>", letter.attachments.len());
    }
    body += "<details><summary>All headers</summary><table><tbody>";
    for (name, value) in &letter.headers {
        _ = write!(body, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    body += "</tbody></table></details>";
    document(subject, &body)
}
