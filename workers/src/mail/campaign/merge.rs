//! The words of a campaign with each receiver's own in them.
//!
//! Subject, HTML and plain part are minijinja templates over the receiver's fields: `{{ first_name }}`. A field that is
//! missing and has no fallback (`{{ first_name | default("you") }}`) is a fault of that one mail, which is not sent; never
//! are braces sent to anybody (spec/EMAIL.md 3.1, check 53). What comes out of a field is escaped in HTML.

use bus_schema::{crm::contact::ContactDetails, mail::campaign::CampaignContent};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, HtmlEscape, UndefinedBehavior, value::Value};
use std::{collections::BTreeMap, sync::Arc};

/// Steps a template may take; a letter needs some hundreds.
const FUEL: u64 = 100_000;
/// Bytes of what comes out of one part.
const OUTPUT: usize = 4 << 20;

const SUBJECT: &str = "subject";
const PREHEADER: &str = "preheader";
const HTML: &str = "html";
const TEXT: &str = "text";

/// A campaign's words, compiled. Cheap to clone. To be used on a deep stack: see [`stack`](super::stack).
#[derive(Clone, Debug)]
pub struct Words {
    environment: Arc<Environment<'static>>,
    preheader: bool,
    text: bool,
}

/// One mail's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub subject: String,
    pub html: String,
    /// Absent: to be made from the HTML.
    pub text: Option<String>,
}

/// What is wrong with a template, or with it and this receiver. Without the receiver's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}, line {line}: {what}")]
pub struct MergeError {
    /// `subject`, `html`, `text`, `preheader`.
    pub part: String,
    pub line: usize,
    pub what: String,
}

impl MergeError {
    fn of(part: &str, error: &Error) -> Self {
        // The detail may hold what a field holds.
        let what = match error.kind() {
            ErrorKind::UndefinedError => "a field that this receiver does not have, without a fallback".to_owned(),
            ErrorKind::SyntaxError => error.detail().unwrap_or("it is not understood").chars().take(200).collect(),
            kind => kind.to_string(),
        };
        Self { part: part.to_owned(), line: error.line().unwrap_or(1), what }
    }
}

impl Words {
    /// Compiles; says what is not understood.
    pub fn try_new(content: &CampaignContent) -> Result<Self, MergeError> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| match name {
            HTML => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        let parts = [
            (SUBJECT, Some(&content.subject)),
            (PREHEADER, Some(&content.preheader)),
            (HTML, Some(&content.html)),
            (TEXT, content.text.as_ref()),
        ];
        for (name, source) in parts {
            let Some(source) = source else { continue };
            let added = environment.add_template_owned(name, source.clone());
            added.map_err(|error| MergeError::of(name, &error))?;
        }
        let (preheader, text) = (!content.preheader.trim().is_empty(), content.text.is_some());
        Ok(Self { environment: Arc::new(environment), preheader, text })
    }

    /// The words for one receiver. With an address to leave at (plain URL characters only), both parts show it: where the template says
    /// `{{ unsubscribe_url }}`, else at their end.
    pub fn merge(&self, details: &ContactDetails, unsubscribe: Option<&str>) -> Result<Merged, MergeError> {
        let fields = fields(details, unsubscribe);
        let mut html = self.part(HTML, &fields)?;
        if self.preheader {
            html = with_preheader(&html, &self.part(PREHEADER, &fields)?);
        }
        let mut text = if self.text { Some(self.part(TEXT, &fields)?) } else { None };
        if let Some(url) = unsubscribe {
            html = with_way_out(html, url);
            if let Some(text) = text.as_mut().filter(|text| !text.contains(url)) {
                text.push_str(&format!("\n\n-- \nUnsubscribe: {url}\n"));
            }
        }
        let subject = self.part(SUBJECT, &fields)?;
        // A line break could come out of a field.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Merged { subject, html, text })
    }

    fn part(&self, name: &str, fields: &Value) -> Result<String, MergeError> {
        let template = self.environment.get_template(name).map_err(|error| MergeError::of(name, &error))?;
        let rendered = template.render(fields).map_err(|error| MergeError::of(name, &error))?;
        if rendered.len() > OUTPUT {
            let what = format!("it becomes larger than {OUTPUT} bytes");
            return Err(MergeError { part: name.to_owned(), line: 1, what });
        }
        Ok(rendered)
    }
}

/// The fields of a receiver that are there, by themselves and in `contact`.
fn fields(details: &ContactDetails, unsubscribe: Option<&str>) -> Value {
    let ContactDetails { email, first_name, last_name, company, city, country, phone: _, notes: _ } = details;
    let optional = [
        ("first_name", first_name),
        ("last_name", last_name),
        ("company", company),
        ("city", city),
        ("country", country),
    ];
    let there = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(there(value)?))));
    let mut fields: BTreeMap<String, Value> = optional.collect();
    fields.insert("email".to_owned(), Value::from(email.clone()));
    fields.insert("contact".to_owned(), Value::from(fields.clone()));
    if let Some(url) = unsubscribe {
        // Ours, and without anything that means something in HTML; escaped it would not be found again as it is.
        fields.insert("unsubscribe_url".to_owned(), Value::from_safe_string(url.to_owned()));
    }
    Value::from(fields)
}

/// The line a mailbox shows after the subject: the first words of the body, which nobody sees there.
fn with_preheader(html: &str, preheader: &str) -> String {
    let hidden =
        format!("<div style=\"display:none;max-height:0;overflow:hidden\">{}</div>", HtmlEscape(preheader.trim()));
    insert(html, after_tag(html, "<body").unwrap_or(0), &hidden)
}

/// A line with the link to leave, unless there is one.
fn with_way_out(html: String, url: &str) -> String {
    if html.contains(url) {
        return html;
    }
    let line = format!("<p style=\"font-size:12px\"><a href=\"{url}\">Unsubscribe</a>: {url}</p>");
    let end = html.to_ascii_lowercase().rfind("</body").unwrap_or(html.len());
    insert(&html, end, &line)
}

/// Behind the first tag that begins so.
fn after_tag(html: &str, tag: &str) -> Option<usize> {
    let begin = html.to_ascii_lowercase().find(tag)?;
    Some(begin + html[begin..].find('>')? + 1)
}

fn insert(text: &str, at: usize, what: &str) -> String {
    [&text[..at], what, &text[at..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://x.example/v1/unsubscribe/abc-_1";

    fn content(html: &str) -> CampaignContent {
        CampaignContent { subject: "Hello {{ first_name }}".into(), html: html.into(), ..CampaignContent::default() }
    }

    fn ada() -> ContactDetails {
        let first_name = Some("<Ada>\r\nBcc: b@c.example".to_owned());
        ContactDetails { email: "ada@x.example".into(), first_name, ..ContactDetails::default() }
    }

    #[test]
    fn check_53_fields_are_escaped_and_a_missing_one_is_a_fault() {
        let words = Words::try_new(&content("<p>{{ first_name }} {{ contact.email }} {{ city | default('?') }}</p>"));
        let merged = words.unwrap().merge(&ada(), None).unwrap();
        assert_eq!(merged.subject, "Hello <Ada> Bcc: b@c.example");
        assert!(
            merged.html.starts_with("<p>&lt;Ada&gt;") && merged.html.ends_with("ada@x.example ?</p>"),
            "{merged:?}"
        );
        let words = Words::try_new(&content("<p>\n{{ city }}</p>")).unwrap();
        let fault = words.merge(&ada(), None).unwrap_err();
        assert_eq!((fault.part.as_str(), fault.line), ("html", 2));
        assert!(!fault.to_string().contains("Ada"), "{fault}");
        for unknown in
            ["{{ fist_name }}", "{{ contact.nothing }}", "{{ notes }}", "{% include 'x' %}", "{{ email | nothing }}"]
        {
            assert!(Words::try_new(&content(unknown)).unwrap().merge(&ada(), None).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_template_is_understood_when_it_is_compiled_or_never() {
        for bad in ["{{ first_name ", "{% if %}", "{% for a in %}"] {
            assert!(Words::try_new(&content(bad)).is_err(), "{bad}");
        }
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
        assert!(Words::try_new(&content(endless)).unwrap().merge(&ada(), None).is_err());
    }

    #[test]
    fn check_45_the_way_out_is_in_both_parts_once() {
        let own = CampaignContent {
            text: Some("Hi {{ unsubscribe_url }}".into()),
            ..content("<a href='{{ unsubscribe_url }}'>x</a>")
        };
        let merged = Words::try_new(&own).unwrap().merge(&ada(), Some(URL)).unwrap();
        assert_eq!(merged.text.unwrap().matches(URL).count(), 1);
        assert_eq!(merged.html.matches(URL).count(), 1, "{}", merged.html);
        let none = CampaignContent { text: Some("Hi".into()), ..content("<html><BODY><p>Hi</p></BODY></html>") };
        let merged = Words::try_new(&none).unwrap().merge(&ada(), Some(URL)).unwrap();
        assert!(merged.text.unwrap().contains(URL));
        assert!(merged.html.ends_with("</p></BODY></html>") && merged.html.contains("Unsubscribe"), "{}", merged.html);
    }

    #[test]
    fn the_preheader_is_hidden_in_front() {
        let shown = CampaignContent {
            preheader: "For <you>".into(),
            ..content("<html><body class=\"a\"><p>Hi</p></body></html>")
        };
        let merged = Words::try_new(&shown).unwrap().merge(&ada(), None).unwrap();
        assert!(merged.html.contains("<body class=\"a\"><div style=\"display:none"), "{}", merged.html);
        assert!(merged.html.contains("For &lt;you&gt;</div><p>Hi"), "{}", merged.html);
    }
}
