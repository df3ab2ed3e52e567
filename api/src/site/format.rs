//! Dates and money as people read them. Pure: the same value gives the same text at any time on any machine.

use bus_schema::money::{Currency, Money};
use jiff::fmt::strtime;
use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};

const DEFAULT_DATE: &str = "%-d %B %Y";
/// Bytes of a date format, and of a separator in money.
const MAX_FORMAT: usize = 64;
const MAX_SEPARATOR: usize = 4;

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// `value|date(format)`: an RFC 3339 time in UTC. A missing value stays empty.
pub(super) fn date(value: &Value, format: Option<&str>) -> Result<String, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(String::new());
    }
    let format = format.unwrap_or(DEFAULT_DATE);
    // Widths such as %1000000Y would make a text of any size.
    let has_width = format.split('%').skip(1).any(|code| {
        let code = code.trim_start_matches(['-', '_', '0', '^', '#', '.', ':']);
        code.bytes().take_while(u8::is_ascii_digit).count() > 1
    });
    if format.len() > MAX_FORMAT || has_width {
        return Err(invalid("the format of `date` is too long; use strftime codes such as \"%Y-%m-%d\""));
    }
    let text =
        value.as_str().ok_or_else(|| invalid("`date` reads a time in RFC 3339, such as 2026-03-05T14:00:00Z"))?;
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| invalid("`date` reads a time in RFC 3339, such as 2026-03-05T14:00:00Z; this is not one"))?;
    strtime::format(format, &time.to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|_| invalid("`date` does not know this format; use strftime codes such as \"%Y-%m-%d\""))
}

/// `value|money(currency, decimal=".", group=",")`. A missing value stays empty.
pub(super) fn money(value: &Value, currency: Option<&Value>, kwargs: Kwargs) -> Result<String, Error> {
    let decimal: Option<&str> = kwargs.get("decimal")?;
    let group: Option<&str> = kwargs.get("group")?;
    kwargs.assert_all_used()?;
    let (decimal, group) = (decimal.unwrap_or("."), group.unwrap_or(","));
    if decimal.len() > MAX_SEPARATOR || group.len() > MAX_SEPARATOR {
        return Err(invalid("the separators of `money` are single characters"));
    }
    if value.is_undefined() || value.is_none() {
        return Ok(String::new());
    }
    let named = |name: &str| value.get_attr(name).ok().filter(|part| !part.is_undefined());
    let code = currency.cloned().or_else(|| named("currency")).unwrap_or_default();
    let code = code
        .as_str()
        .and_then(|code| Currency::try_new(code).ok())
        .ok_or_else(|| invalid("`money` needs a currency of three capital letters, such as money(\"EUR\")"))?;
    let amount = if value.is_number() { Some(value.clone()) } else { named("amount") };
    let amount = amount
        .filter(Value::is_integer)
        .and_then(|amount| amount.as_i64())
        .ok_or_else(|| invalid("`money` reads whole minor units, such as 1250 for 12.50"))?;
    Ok(Money::new(amount, code).written(decimal, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(amount: i64, code: &str) -> String {
        money(&Value::from(amount), Some(&Value::from(code)), Kwargs::from_iter(Vec::<(String, Value)>::new())).unwrap()
    }

    #[test]
    fn money_is_exact() {
        for (amount, code, text) in [
            (123_450, "EUR", "1,234.50 EUR"),
            (-5, "USD", "-0.05 USD"),
            (1_000_000, "JPY", "1,000,000 JPY"),
            (1_234, "KWD", "1.234 KWD"),
            (i64::MIN, "EUR", "-92,233,720,368,547,758.08 EUR"),
        ] {
            assert_eq!(euros(amount, code), text);
        }
        let separators = Kwargs::from_iter([("decimal", Value::from(",")), ("group", Value::from("."))]);
        assert_eq!(money(&Value::from(123_450), Some(&Value::from("EUR")), separators).unwrap(), "1.234,50 EUR");
    }

    #[test]
    fn dates_are_utc_and_bounded() {
        let at = Value::from("2026-03-05T23:30:00-02:00");
        assert_eq!(date(&at, None).unwrap(), "6 March 2026");
        assert_eq!(date(&at, Some("%Y-%m-%d %H:%M")).unwrap(), "2026-03-06 01:30");
        for format in ["%9999Y", "%-0200Y", "%!", "%"] {
            date(&at, Some(format)).unwrap_err();
        }
        date(&Value::from("yesterday"), None).unwrap_err();
        assert_eq!(date(&Value::UNDEFINED, None).unwrap(), "");
    }
}
