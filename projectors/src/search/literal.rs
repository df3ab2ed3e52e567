//! Values in filters and segments: text or JSON turned into the type of the field, with `$NOW`, `$NOW(-7 days)` and `$CURRENT_USER`.

use super::FieldValue;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value as Json;
use uuid::Uuid;

/// The longest text in a filter, in bytes.
pub const MAX_TEXT: usize = 1024;

/// What a filterable field holds; it decides which operators and values are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Words for people: searched in parts.
    Text,
    /// A short exact string: an e-mail address, a code, a currency.
    Keyword,
    /// A UUID.
    Id,
    /// One of the listed words.
    Choice(&'static [&'static str]),
    /// A whole number; money in minor units.
    Integer,
    Bool,
    /// A moment: RFC 3339, a date (midnight UTC), or `$NOW`.
    Time,
}

impl FieldType {
    /// How messages call a value of this type.
    pub fn noun(self) -> &'static str {
        match self {
            FieldType::Text | FieldType::Keyword => "a text",
            FieldType::Id => "a UUID",
            FieldType::Choice(_) => "one of the allowed words",
            FieldType::Integer => "a whole number",
            FieldType::Bool => "true or false",
            FieldType::Time => "an RFC 3339 time such as 2026-01-31T12:00:00Z, a date, or $NOW(-7 days)",
        }
    }
}

/// What the variables in a filter stand for.
#[derive(Debug, Clone, Copy)]
pub struct Variables<'a> {
    /// Microseconds since 1970, UTC. Taken once for a request, so that two uses of `$NOW` are equal.
    pub now: i64,
    /// The id of the caller, if it is a person.
    pub current_user: Option<&'a str>,
}

/// A value as the caller wrote it.
#[derive(Debug, Clone, Copy)]
pub enum Written<'a> {
    /// From a query string, where everything is text.
    Text(&'a str),
    /// From JSON, where the type must be right.
    Json(&'a Json),
}

/// Reads a value as the type of its field. `None`: it is not one.
pub fn read(written: Written<'_>, kind: FieldType, variables: &Variables<'_>) -> Option<FieldValue> {
    let text = match (written, kind) {
        (Written::Json(Json::Bool(value)), FieldType::Bool) => return Some(FieldValue::Bool(*value)),
        (Written::Json(Json::Number(number)), FieldType::Integer) => return number.as_i64().map(FieldValue::I64),
        (Written::Json(_), FieldType::Bool | FieldType::Integer) => return None,
        (Written::Json(Json::String(text)), _) => text,
        (Written::Json(_), _) => return None,
        (Written::Text(text), _) => text,
    };
    if text.len() > MAX_TEXT {
        return None;
    }
    match kind {
        FieldType::Text => Some(FieldValue::Str(text.to_owned())),
        FieldType::Keyword | FieldType::Id if text == "$CURRENT_USER" => {
            variables.current_user.map(|user| FieldValue::Str(user.to_owned()))
        }
        FieldType::Keyword => Some(FieldValue::Str(text.to_owned())),
        FieldType::Id => Uuid::try_parse(text).ok().map(|id| FieldValue::Str(id.to_string())),
        FieldType::Choice(words) => words.contains(&text).then(|| FieldValue::Str(text.to_owned())),
        FieldType::Integer => text.parse().ok().map(FieldValue::I64),
        FieldType::Bool => text.parse().ok().map(FieldValue::Bool),
        FieldType::Time => time(text, variables.now).map(FieldValue::Time),
    }
}

fn time(text: &str, now: i64) -> Option<i64> {
    if let Some(rest) = text.strip_prefix("$NOW") {
        return moved(rest, now);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_microsecond());
    }
    let date: Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// The moment a length of time before now: `30 days`.
pub fn ago(span: &str, now: i64) -> Option<i64> {
    let span = span.trim();
    span.starts_with(|c: char| c.is_ascii_digit()).then(|| moved(&format!("(-{span})"), now)).flatten()
}

/// What follows `$NOW`: nothing, or `(-7 days)`. Months and years follow the calendar in UTC.
fn moved(rest: &str, now: i64) -> Option<i64> {
    if rest.is_empty() {
        return Some(now);
    }
    let inner = rest.strip_prefix('(')?.strip_suffix(')')?.trim();
    let split = inner.find(|c: char| c.is_ascii_alphabetic())?;
    let (amount, unit) = inner.split_at(split);
    // A plus sign arrives as a space when the caller forgot to encode it.
    let amount: i64 = amount.trim().trim_start_matches('+').trim().parse().ok()?;
    if amount.abs() > 100_000 {
        return None;
    }
    let span = Span::new();
    let span = match unit.trim_end_matches('s') {
        "second" => span.try_seconds(amount),
        "minute" => span.try_minutes(amount),
        "hour" => span.try_hours(amount),
        "day" => span.try_days(amount),
        "week" => span.try_weeks(amount),
        "month" => span.try_months(amount),
        "year" => span.try_years(amount),
        _ => return None,
    };
    let zoned = Timestamp::from_microsecond(now).ok()?.to_zoned(TimeZone::UTC).checked_add(span.ok()?).ok()?;
    Some(zoned.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-03-31T12:00:00Z";

    fn variables() -> Variables<'static> {
        Variables { now: NOW.parse::<Timestamp>().unwrap().as_microsecond(), current_user: Some("u1") }
    }

    fn text(text: &str, kind: FieldType) -> Option<FieldValue> {
        read(Written::Text(text), kind, &variables())
    }

    fn at(moment: &str) -> Option<FieldValue> {
        Some(FieldValue::Time(moment.parse::<Timestamp>().unwrap().as_microsecond()))
    }

    #[test]
    fn times_are_absolute_or_relative() {
        for (written, moment) in [
            ("$NOW", NOW),
            ("$NOW(-7 days)", "2026-03-24T12:00:00Z"),
            ("$NOW(+1 hour)", "2026-03-31T13:00:00Z"),
            ("$NOW( 2 weeks )", "2026-04-14T12:00:00Z"),
            ("$NOW(-1 month)", "2026-02-28T12:00:00Z"),
            ("$NOW(-1year)", "2025-03-31T12:00:00Z"),
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("2026-01-02T03:04:05.000006+01:00", "2026-01-02T02:04:05.000006Z"),
        ] {
            assert_eq!(text(written, FieldType::Time), at(moment), "{written}");
        }
        for bad in [
            "",
            "$NOW(",
            "$NOW()",
            "$NOW(7)",
            "$NOW(1 fortnight)",
            "$NOW(-100001 years)",
            "$NOW(-9999999999 s)",
            "$NOW(-99999 years)",
            "$LATER",
            "yesterday",
            "2026-13-01",
            "2026-01-01T00:00:00",
        ] {
            assert_eq!(text(bad, FieldType::Time), None, "{bad}");
        }
    }

    #[test]
    fn a_length_of_time_goes_back_from_now() {
        let now = variables().now;
        let micros = |moment: &str| moment.parse::<Timestamp>().unwrap().as_microsecond();
        for (span, moment) in
            [("30 days", "2026-03-01T12:00:00Z"), (" 1 month ", "2026-02-28T12:00:00Z"), ("0 hours", NOW)]
        {
            assert_eq!(ago(span, now), Some(micros(moment)), "{span}");
        }
        for bad in ["", "days", "90min", "-3 days", "+3 days", "3", "3 days ago", "100001 days", "1) days", "$NOW"] {
            assert_eq!(ago(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn texts_are_read_by_the_type_of_the_field() {
        assert_eq!(text("-5", FieldType::Integer), Some(FieldValue::I64(-5)));
        assert_eq!(text("5.0", FieldType::Integer), None);
        assert_eq!(text("true", FieldType::Bool), Some(FieldValue::Bool(true)));
        assert_eq!(text("yes", FieldType::Bool), None);
        assert_eq!(text("open", FieldType::Choice(&["open"])), Some(FieldValue::Str("open".into())));
        assert_eq!(text("shut", FieldType::Choice(&["open"])), None);
        assert_eq!(text("$CURRENT_USER", FieldType::Keyword), Some(FieldValue::Str("u1".into())));
        assert_eq!(text("$CURRENT_USER", FieldType::Text), Some(FieldValue::Str("$CURRENT_USER".into())));
        let id = "0195F6C2-3B92-70C4-8F5A-000000000001";
        assert_eq!(text(id, FieldType::Id), Some(FieldValue::Str(id.to_lowercase())));
        assert_eq!(text(&"x".repeat(MAX_TEXT + 1), FieldType::Text), None);
    }

    #[test]
    fn json_values_must_have_the_right_type() {
        let json = |value: Json, kind| read(Written::Json(&value), kind, &variables());
        assert_eq!(json(json!(5), FieldType::Integer), Some(FieldValue::I64(5)));
        assert_eq!(json(json!("5"), FieldType::Integer), None);
        assert_eq!(json(json!(5.5), FieldType::Integer), None);
        assert_eq!(json(json!("true"), FieldType::Bool), None);
        assert_eq!(json(json!(5), FieldType::Text), None);
        assert_eq!(json(json!("$NOW"), FieldType::Time), at(NOW));
    }
}
