//! Money: integer minor units and an ISO 4217 code. No floats anywhere.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An ISO 4217 alphabetic code, three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    pub const EUR: Self = Self(*b"EUR");

    pub fn try_new(code: &str) -> Result<Self, InvalidCurrency> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(InvalidCurrency),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only upper-case ASCII letters pass `try_new`")
    }

    /// Digits after the decimal point (ISO 4217).
    pub fn minor_digits(&self) -> usize {
        match self.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
            | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            "CLF" | "UYW" => 4,
            _ => 2,
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;
    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::try_new(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three upper-case letters of ISO 4217, for example EUR")]
pub struct InvalidCurrency;

/// An amount in minor units (cents) of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    pub amount: i64,
    pub currency: Currency,
}

impl Money {
    pub fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// `None` when the result does not fit.
    pub fn times(self, quantity: u32) -> Option<Self> {
        Some(Self::new(self.amount.checked_mul(i64::from(quantity))?, self.currency))
    }

    /// As people read it: `1,234.50 EUR`.
    pub fn written(self, decimal: &str, group: &str) -> String {
        let digits = self.currency.minor_digits();
        let scale = 10u64.pow(digits as u32);
        let (whole, minor) = (self.amount.unsigned_abs() / scale, self.amount.unsigned_abs() % scale);
        let mut text = String::from(if self.amount < 0 { "-" } else { "" });
        let figures = whole.to_string();
        for (index, figure) in figures.char_indices() {
            if index > 0 && (figures.len() - index).is_multiple_of(3) {
                text.push_str(group);
            }
            text.push(figure);
        }
        if digits > 0 {
            text.push_str(decimal);
            text.push_str(&format!("{minor:0digits$}"));
        }
        text + " " + self.currency.as_str()
    }

    /// `None` for two currencies or when the result does not fit.
    pub fn plus(self, other: Self) -> Option<Self> {
        (self.currency == other.currency).then_some(())?;
        Some(Self::new(self.amount.checked_add(other.amount)?, self.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_never_mix_currencies_nor_overflow() {
        let usd = Currency::try_new("USD").unwrap();
        assert_eq!(Money::new(1, Currency::EUR).plus(Money::new(1, usd)), None);
        assert_eq!(Money::new(i64::MAX, usd).plus(Money::new(1, usd)), None);
        assert_eq!(Money::new(250, usd).times(4), Some(Money::new(1000, usd)));
        assert!(Currency::try_new("eur").is_err());
    }
}
