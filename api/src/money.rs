//! Money in requests and answers.

use crate::http::{
    codes::field,
    problem::{FieldError, Problem},
};
use bus_schema::{Currency, Money};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;
use utoipa::ToSchema;

/// An amount in minor units (cents) of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = Money)]
pub struct MoneyJson {
    #[schema(example = 1999)]
    pub amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
}

impl MoneyJson {
    /// The money meant; `pointer` is where it stands in the body.
    pub fn money(&self, pointer: &str) -> Result<Money, Problem> {
        Ok(Money::new(self.amount, currency(&self.currency, &format!("{pointer}/currency"))?))
    }
}

impl From<Money> for MoneyJson {
    fn from(money: Money) -> Self {
        Self { amount: money.amount, currency: money.currency.to_string() }
    }
}

/// An amount in a request: money, or minor units of the currency that stands beside it. Described as money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmountJson {
    Money(MoneyJson),
    Minor(i64),
}

impl Default for AmountJson {
    fn default() -> Self {
        Self::Minor(0)
    }
}

impl AmountJson {
    /// The money meant. The fields are `/amount` and `/currency` of the body.
    pub fn money(&self, beside: Option<&str>) -> Result<Money, Problem> {
        match (self, beside) {
            (Self::Money(money), None) => money.money("/amount"),
            (Self::Money(money), Some(code)) if money.currency == code => money.money("/amount"),
            (Self::Money(_), Some(_)) => Err(refused("/currency", "currency_mismatch", "the amount names another one")),
            (Self::Minor(amount), Some(code)) => Ok(Money::new(*amount, currency(code, "/currency")?)),
            (Self::Minor(_), None) => {
                Err(refused("/currency", field::REQUIRED, "say which currency, or send {\"amount\", \"currency\"}"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for AmountJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl<'de> Visitor<'de> for AmountVisitor {
    type Value = AmountJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of minor units or an object of amount and currency")
    }

    fn visit_i64<E>(self, amount: i64) -> Result<AmountJson, E> {
        Ok(AmountJson::Minor(amount))
    }

    fn visit_u64<E: serde::de::Error>(self, amount: u64) -> Result<AmountJson, E> {
        i64::try_from(amount).map(AmountJson::Minor).map_err(|_| E::custom("the amount is larger than 64 bits hold"))
    }

    // Passes the map on, so that unknown fields in it are found where they stand.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AmountJson, A::Error> {
        MoneyJson::deserialize(MapAccessDeserializer::new(map)).map(AmountJson::Money)
    }
}

/// A currency out of a body.
pub fn currency(code: &str, pointer: &str) -> Result<Currency, Problem> {
    Currency::try_new(code).map_err(|error| refused(pointer, "invalid_currency", &error.to_string()))
}

fn refused(pointer: &str, code: &'static str, message: &str) -> Problem {
    Problem::validation(vec![FieldError::new(pointer, code, message)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::decode;

    #[derive(Debug, Deserialize)]
    struct Payment {
        amount: AmountJson,
        currency: Option<String>,
    }

    fn read(body: &str) -> Result<Money, (String, String)> {
        let refusal = |problem: Problem| {
            let error = &problem.errors()[0];
            (error.pointer.to_string(), error.code.to_string())
        };
        let payment: Payment = decode(body.as_bytes()).map_err(refusal)?;
        payment.amount.money(payment.currency.as_deref()).map_err(refusal)
    }

    #[test]
    fn both_forms_of_an_amount_are_read() {
        let euros = Money::new(1_999, Currency::EUR);
        assert_eq!(read(r#"{"amount":{"amount":1999,"currency":"EUR"}}"#), Ok(euros));
        assert_eq!(read(r#"{"amount":1999,"currency":"EUR"}"#), Ok(euros));
        assert_eq!(read(r#"{"amount":{"amount":1999,"currency":"EUR"},"currency":"EUR"}"#), Ok(euros));
        assert_eq!(MoneyJson::from(euros).money("/price").unwrap(), euros);
    }

    #[test]
    fn what_is_no_money_is_named_by_its_place() {
        for (body, pointer, code) in [
            (r#"{"amount":5}"#, "/currency", field::REQUIRED),
            (r#"{"amount":5,"currency":"eur"}"#, "/currency", "invalid_currency"),
            (r#"{"amount":{"amount":5,"currency":"E"}}"#, "/amount/currency", "invalid_currency"),
            (r#"{"amount":{"amount":5,"currency":"EUR"},"currency":"USD"}"#, "/currency", "currency_mismatch"),
            (r#"{"amount":{"amount":5,"currency":"EUR","x":1}}"#, "/amount/x", field::UNKNOWN_FIELD),
        ] {
            assert_eq!(read(body), Err((pointer.to_owned(), code.to_owned())), "{body}");
        }
        for bad in [r#"{"amount":1.5,"currency":"EUR"}"#, r#"{"amount":"5"}"#, r#"{"amount":18446744073709551615}"#] {
            assert_eq!(read(bad).unwrap_err().0, "/amount", "{bad}");
        }
    }
}
