//! The words of a message with its fields in them.
//!
//! Subject, HTML and plain part are minijinja templates. What comes out of a field is escaped in HTML; a field that is missing
//! and has no fallback (`{{ city | default("your town") }}`) is a fault, so braces are never sent to anybody (spec/EMAIL.md
//! 3.1, check 53). `{{ total | money }}` writes `{"amount": 123450, "currency": "EUR"}` as `1,234.50 EUR`, `{{ at | date }}` an
//! RFC 3339 time as its day. Tenants write templates, so steps and output are bounded.

use crate::mail::campaign::stack;
use bus_schema::{
    mail::message::MessageWords,
    money::{Currency, Money},
};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior,
    value::{Kwargs, Value},
};
use serde_json::{Map, Value as Json};
use std::{collections::BTreeMap, io, sync::Arc};

/// Steps a template may take; a receipt of a hundred lines needs some thousands.
const FUEL: u64 = 200_000;
/// Bytes of what comes out of one part.
const OUTPUT: usize = 2 << 20;
/// Bytes of a separator in money.
const MAX_SEPARATOR: usize = 4;

const SUBJECT: &str = "subject";
const HTML: &str = "html";
const TEXT: &str = "text";

/// Compiled words. Cheap to clone. To be used on a deep stack: templates recurse as deep as they nest.
#[derive(Clone, Debug)]
pub struct Words {
    environment: Arc<Environment<'static>>,
    text: bool,
}

/// One mail's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub subject: String,
    pub html: String,
    /// Absent: to be made from the HTML.
    pub text: Option<String>,
}

/// What is wrong with a template, or with it and these fields. Without what is in the fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}, line {line}: {what}")]
pub struct WordsError {
    /// `subject`, `html`, `text`.
    pub part: &'static str,
    pub line: usize,
    pub what: String,
}

impl WordsError {
    fn of(part: &'static str, error: &Error) -> Self {
        // The detail may hold what a field holds.
        let what = match error.kind() {
            ErrorKind::UndefinedError => "a field is not there, and there is no fallback for it".to_owned(),
            ErrorKind::SyntaxError => error.detail().unwrap_or("it is not understood").chars().take(200).collect(),
            ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownTest => {
                format!("{}: {}", error.kind(), error.detail().unwrap_or_default()).chars().take(200).collect()
            }
            kind => kind.to_string(),
        };
        Self { part, line: error.line().unwrap_or(1), what }
    }
}

impl Words {
    /// Compiles; says what is not understood.
    pub fn try_new(words: &MessageWords) -> Result<Self, WordsError> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_filter("money", money);
        environment.add_filter("date", date);
        environment.set_auto_escape_callback(|name| match name {
            HTML => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        let parts = [(SUBJECT, Some(&words.subject)), (HTML, Some(&words.html)), (TEXT, words.text.as_ref())];
        for (name, source) in parts {
            let Some(source) = source else { continue };
            let added = environment.add_template_owned(name, source.clone());
            added.map_err(|error| WordsError::of(name, &error))?;
        }
        Ok(Self { environment: Arc::new(environment), text: words.text.is_some() })
    }

    pub fn write(&self, fields: &Map<String, Json>) -> Result<Written, WordsError> {
        let fields = object(fields);
        let subject = self.part(SUBJECT, &fields)?;
        // A line break could come out of a field.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = if self.text { Some(self.part(TEXT, &fields)?) } else { None };
        Ok(Written { subject, html: self.part(HTML, &fields)?, text })
    }

    fn part(&self, name: &'static str, fields: &Value) -> Result<String, WordsError> {
        let template = self.environment.get_template(name).map_err(|error| WordsError::of(name, &error))?;
        let written = template.render(fields).map_err(|error| WordsError::of(name, &error))?;
        if written.len() > OUTPUT {
            return Err(WordsError { part: name, line: 1, what: format!("it becomes larger than {OUTPUT} bytes") });
        }
        Ok(written)
    }
}

/// Makes a mail's words on a deep stack.
pub async fn write(words: MessageWords, fields: Map<String, Json>) -> io::Result<Result<Written, WordsError>> {
    stack::run(move || Words::try_new(&words)?.write(&fields)).await
}

/// Whether words are understood, on a deep stack.
pub async fn check(words: MessageWords) -> io::Result<Result<(), WordsError>> {
    stack::run(move || Words::try_new(&words).map(|_| ())).await
}

/// A field as templates see it. An address that means nothing in HTML stays as it is, so that it is the same in both parts;
/// escaped its slashes would be written otherwise. JSON that was parsed nests 127 deep at most.
fn field(value: &Json) -> Value {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$()*+,;=%".contains(&byte);
    match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(value) => match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => Value::from(value),
            (None, Some(value)) => Value::from(value),
            (None, None) => Value::from(value.as_f64().unwrap_or_default()),
        },
        Json::String(url) if url.starts_with("https://") && url.bytes().all(plain) => {
            Value::from_safe_string(url.clone())
        }
        Json::String(text) => Value::from(text.clone()),
        Json::Array(items) => items.iter().map(field).collect(),
        Json::Object(members) => object(members),
    }
}

fn object(members: &Map<String, Json>) -> Value {
    Value::from(members.iter().map(|(name, value)| (name.clone(), field(value))).collect::<BTreeMap<String, Value>>())
}

/// `value | money(decimal=".", group=",")`
fn money(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let wrong = || Error::new(ErrorKind::InvalidOperation, "`money` reads {\"amount\": 1250, \"currency\": \"EUR\"}");
    let (decimal, group): (Option<&str>, Option<&str>) = (kwargs.get("decimal")?, kwargs.get("group")?);
    kwargs.assert_all_used()?;
    let (decimal, group) = (decimal.unwrap_or("."), group.unwrap_or(","));
    if decimal.len() > MAX_SEPARATOR || group.len() > MAX_SEPARATOR {
        return Err(wrong());
    }
    let amount = value.get_attr("amount").ok().filter(Value::is_integer).and_then(|amount| amount.as_i64());
    let currency = value.get_attr("currency").ok();
    let currency = currency.as_ref().and_then(Value::as_str).and_then(|code| Currency::try_new(code).ok());
    let (amount, currency) = amount.zip(currency).ok_or_else(wrong)?;
    Ok(Money::new(amount, currency).written(decimal, group))
}

/// `value | date`: the day of an RFC 3339 time, in UTC: `2026-03-05`.
fn date(value: &Value) -> Result<String, Error> {
    let at = value.as_str().and_then(bus_schema::Micros::parse);
    let at = at.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "`date` reads a time in RFC 3339"))?;
    Ok(at.date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(html: &str) -> MessageWords {
        MessageWords { subject: "Hello {{ name }}".into(), html: html.into(), text: None }
    }

    fn fields() -> Map<String, Json> {
        let fields = json!({"name": "<Ada>\r\nBcc: b@c.example", "total": {"amount": 123_450, "currency": "EUR"},
            "at": "2026-03-05T14:00:00Z"});
        fields.as_object().cloned().unwrap_or_default()
    }

    fn write(html: &str) -> Result<Written, WordsError> {
        Words::try_new(&words(html))?.write(&fields())
    }

    #[test]
    fn check_53_fields_are_escaped_and_a_missing_one_is_a_fault() {
        let written = write("<p>{{ name }} {{ city | default('?') }}</p>").unwrap();
        assert_eq!(written.subject, "Hello <Ada> Bcc: b@c.example", "one line");
        assert!(written.html.starts_with("<p>&lt;Ada&gt;") && written.html.ends_with(" ?</p>"), "{written:?}");
        let fault = write("<p>\n{{ city }}</p>").unwrap_err();
        assert_eq!((fault.part, fault.line), ("html", 2));
        for bad in ["{{ name ", "{% if %}", "{% include 'x' %}", "{{ name | nothing }}", "{{ name | money }}"] {
            let fault = write(bad).unwrap_err();
            assert!(!fault.to_string().contains("Ada"), "{fault}");
        }
    }

    #[test]
    fn money_and_days_are_written_for_people() {
        let written = write("{{ total | money }} {{ total | money(decimal=',', group='.') }} {{ at | date }}").unwrap();
        assert_eq!(written.html, "1,234.50 EUR 1.234,50 EUR 2026-03-05");
        assert!(write("{{ at | money }}").is_err() && write("{{ total | date }}").is_err());
    }

    #[test]
    fn an_endless_template_is_stopped() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
        assert!(write(endless).is_err());
    }
}
