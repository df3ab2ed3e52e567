//! The words of a campaign with each receiver's own in them.
//!
//! Subject, HTML and plain part are minijinja templates over the receiver's fields: `{{ first_name }}`. A field that is
//! missing and has no fallback (`{{ first_name | default("you") }}`, `{% if first_name %}`) is a fault of that one mail, which is not sent; never
//! are braces sent to anybody (spec/EMAIL.md 3.1, check 53). What comes out of a field is escaped in HTML.

use super::footer;
use bus_schema::{crm::contact::ContactDetails, mail::campaign::CampaignContent};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, HtmlEscape, UndefinedBehavior, value::Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Steps a template may take; a letter needs some hundreds.
const FUEL: u64 = 100_000;
/// Bytes of what comes out of one part.
const OUTPUT: usize = 4 << 20;

pub(super) const SUBJECT: &str = "subject";
pub(super) const PREHEADER: &str = "preheader";
pub(super) const HTML: &str = "html";
pub(super) const TEXT: &str = "text";

/// A campaign's words, compiled. Cheap to clone. To be used on a deep stack: see [`stack`](super::stack).
#[derive(Clone, Debug)]
pub struct Words {
    environment: Arc<Environment<'static>>,
    preheader: bool,
    text: bool,
}

/// What the platform adds to the words of every mail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Where the receiver leaves; marketing mail has it.
    pub unsubscribe: Option<&'a str>,
    /// Where the receiver chooses what to get.
    pub preferences: Option<&'a str>,
    /// The tenant, as people call it.
    pub sender: &'a str,
    /// Lines as on a letter.
    pub postal_address: &'a [String],
}

/// One mail's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub subject: String,
    /// Empty when there is none.
    pub preheader: String,
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
    /// A field that is not there, and nothing else.
    pub missing: bool,
}

impl MergeError {
    fn of(part: &str, error: &Error) -> Self {
        // The detail may hold what a field holds.
        let what = match error.kind() {
            ErrorKind::UndefinedError => "a field that this receiver does not have, without a fallback".to_owned(),
            ErrorKind::SyntaxError => error.detail().unwrap_or("it is not understood").chars().take(200).collect(),
            kind => kind.to_string(),
        };
        let missing = error.kind() == ErrorKind::UndefinedError;
        Self { part: part.to_owned(), line: error.line().unwrap_or(1), what, missing }
    }
}

impl Words {
    /// Compiles; says what is not understood.
    pub fn try_new(content: &CampaignContent) -> Result<Self, MergeError> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
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

    /// The words for one receiver. Both parts show where to leave and whose mail it is: where the template says so, else
    /// at their end (check 45).
    pub fn merge(&self, details: &ContactDetails, around: &Around<'_>) -> Result<Merged, MergeError> {
        let (fields, address) = (fields(details, around), footer::Address::of(around));
        let of_html = Value::from_safe_string(address.html.clone());
        let mut html = self.part(HTML, &with_places(fields.clone(), around, of_html))?;
        let fields = with_places(fields, around, Value::from(&*address.text));
        let mut preheader = String::new();
        if self.preheader {
            preheader = one_line(&self.part(PREHEADER, &fields)?);
            insert_preheader(&mut html, &preheader);
        }
        let html = footer::below_html(html, around, &address);
        let text = if self.text { Some(footer::below_text(self.part(TEXT, &fields)?, around, &address)) } else { None };
        // A line break could come out of a field.
        let subject = one_line(&self.part(SUBJECT, &fields)?);
        Ok(Merged { subject, preheader, html, text })
    }

    /// The names a part asks for that it does not give values itself: `first_name`, `contact.city`.
    pub(super) fn asked_for(&self, part: &str) -> BTreeSet<String> {
        let Ok(template) = self.environment.get_template(part) else { return BTreeSet::new() };
        let given: BTreeSet<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let asked = template.undeclared_variables(true).into_iter();
        asked.filter(|name| !given.contains(name.split('.').next().unwrap_or_default())).collect()
    }

    fn part(&self, name: &str, fields: &Value) -> Result<String, MergeError> {
        let template = self.environment.get_template(name).map_err(|error| MergeError::of(name, &error))?;
        let rendered = template.render(fields).map_err(|error| MergeError::of(name, &error))?;
        if rendered.len() > OUTPUT {
            let what = format!("it becomes larger than {OUTPUT} bytes");
            return Err(MergeError { part: name.to_owned(), line: 1, what, missing: false });
        }
        Ok(rendered)
    }
}

/// The fields that a receiver may lack.
pub(super) const OPTIONAL: [&str; 5] = ["first_name", "last_name", "company", "city", "country"];
/// Those that are always there.
pub(super) const ALWAYS: [&str; 4] = ["email", "preferences_url", "postal_address", "sender_name"];
/// Marketing mail has it.
pub(super) const WAY_OUT: &str = "unsubscribe_url";

/// The fields of a receiver that are there, by themselves and in `contact`.
fn fields(details: &ContactDetails, around: &Around<'_>) -> BTreeMap<String, Value> {
    let ContactDetails { email, first_name, last_name, company, city, country, phone: _, notes: _ } = details;
    let optional = OPTIONAL.into_iter().zip([first_name, last_name, company, city, country]);
    let there = |value: &Option<String>| Some(Value::from(value.as_deref().filter(|value| !value.trim().is_empty())?));
    let optional = optional.filter_map(|(name, value)| Some((name.to_owned(), there(value)?)));
    let mut fields: BTreeMap<String, Value> = optional.collect();
    fields.insert("email".to_owned(), Value::from(&**email));
    fields.insert("contact".to_owned(), Value::from(fields.clone()));
    fields.insert("sender_name".to_owned(), Value::from(around.sender));
    fields
}

/// The same with the platform's own: links (plain URL characters only) and the postal address, ready for HTML or as text.
fn with_places(mut fields: BTreeMap<String, Value>, around: &Around<'_>, address: Value) -> Value {
    // Ours, and without anything that means something in HTML; escaped they would not be found again as they are.
    let links = [(WAY_OUT, around.unsubscribe), ("preferences_url", around.preferences)];
    for (name, url) in links {
        fields.extend(url.map(|url| (name.to_owned(), Value::from_safe_string(url.to_owned()))));
    }
    fields.insert("postal_address".to_owned(), address);
    Value::from(fields)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line a mailbox shows after the subject: the first words of the body, which nobody sees there.
fn insert_preheader(html: &mut String, preheader: &str) {
    let hidden =
        format!("<div style=\"display:none;max-height:0;overflow:hidden\">{}</div>", HtmlEscape(preheader.trim()));
    html.insert_str(footer::begin_of_body(html).unwrap_or(0), &hidden);
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://x.example/v1/unsubscribe/abc-_1";

    fn content(html: &str) -> CampaignContent {
        CampaignContent { subject: "Hello {{ first_name }}".into(), html: html.into(), ..CampaignContent::default() }
    }

    fn around() -> Around<'static> {
        Around { unsubscribe: Some(URL), ..Around::default() }
    }

    fn ada() -> ContactDetails {
        let first_name = Some("<Ada>\r\nBcc: b@c.example".to_owned());
        ContactDetails { email: "ada@x.example".into(), first_name, ..ContactDetails::default() }
    }

    #[test]
    fn check_53_fields_are_escaped_and_a_missing_one_is_a_fault() {
        let words = Words::try_new(&content("<p>{{ first_name }} {{ contact.email }} {{ city | default('?') }}</p>"));
        let merged = words.unwrap().merge(&ada(), &Around::default()).unwrap();
        assert_eq!(merged.subject, "Hello <Ada> Bcc: b@c.example");
        assert!(
            merged.html.starts_with("<p>&lt;Ada&gt;") && merged.html.ends_with("ada@x.example ?</p>"),
            "{merged:?}"
        );
        let words = Words::try_new(&content("<p>\n{{ city }}</p>")).unwrap();
        let fault = words.merge(&ada(), &Around::default()).unwrap_err();
        assert_eq!((fault.part.as_str(), fault.line), ("html", 2));
        assert!(!fault.to_string().contains("Ada"), "{fault}");
        for unknown in
            ["{{ fist_name }}", "{{ contact.nothing }}", "{{ notes }}", "{% include 'x' %}", "{{ email | nothing }}"]
        {
            assert!(Words::try_new(&content(unknown)).unwrap().merge(&ada(), &Around::default()).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_template_is_understood_when_it_is_compiled_or_never() {
        for bad in ["{{ first_name ", "{% if %}", "{% for a in %}"] {
            assert!(Words::try_new(&content(bad)).is_err(), "{bad}");
        }
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
        assert!(Words::try_new(&content(endless)).unwrap().merge(&ada(), &Around::default()).is_err());
    }

    #[test]
    fn check_45_the_way_out_is_in_both_parts_once() {
        let own = CampaignContent {
            text: Some("Hi {{ unsubscribe_url }}".into()),
            ..content("<a href='{{ unsubscribe_url }}'>x</a>")
        };
        let merged = Words::try_new(&own).unwrap().merge(&ada(), &around()).unwrap();
        assert_eq!(merged.text.unwrap().matches(URL).count(), 1);
        assert_eq!(merged.html.matches(URL).count(), 1, "{}", merged.html);
        let none = CampaignContent { text: Some("Hi".into()), ..content("<html><BODY><p>Hi</p></BODY></html>") };
        let merged = Words::try_new(&none).unwrap().merge(&ada(), &around()).unwrap();
        assert!(merged.text.unwrap().contains(URL));
        assert!(merged.html.ends_with("</p></BODY></html>") && merged.html.contains("Unsubscribe"), "{}", merged.html);
    }

    #[test]
    fn the_preheader_is_hidden_in_front() {
        let shown = CampaignContent {
            preheader: "For <you>".into(),
            ..content("<html><body class=\"a\"><p>Hi</p></body></html>")
        };
        let merged = Words::try_new(&shown).unwrap().merge(&ada(), &Around::default()).unwrap();
        assert!(merged.html.contains("<body class=\"a\"><div style=\"display:none"), "{}", merged.html);
        assert!(merged.html.contains("For &lt;you&gt;</div><p>Hi"), "{}", merged.html);
    }
}
