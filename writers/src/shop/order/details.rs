//! The limits of an order's lines, money and texts.

use super::OrderRejection as R;
use crate::shop::{card::holds_card_number, text};
use bus_schema::{Currency, Money, shop::order::OrderLine};
use std::collections::HashMap;
use uuid::Uuid;

/// Lines of one order.
pub const MAX_LINES: usize = 100;
/// Pieces of one line.
pub const MAX_QUANTITY: u32 = 10_000;
/// Payments of one order, and as many refunds.
pub const MAX_PAYMENTS: usize = 100;

/// Products and quantities an order may have: some lines, not too many, each product once.
pub fn check_quantities(lines: impl ExactSizeIterator<Item = (Uuid, u32)>) -> Result<(), R> {
    if lines.len() == 0 || lines.len() > MAX_LINES {
        return Err(R::InvalidLines);
    }
    let mut seen = HashMap::new();
    for (line, (product, quantity)) in lines.enumerate() {
        if !(1..=MAX_QUANTITY).contains(&quantity) {
            return Err(R::LineQuantity { line });
        }
        if let Some(first) = seen.insert(product, line) {
            return Err(R::ProductTwice { line, first });
        }
    }
    Ok(())
}

/// The sum of the lines, every limit kept and all in the order's currency.
pub(super) fn total(lines: &[OrderLine], currency: Currency) -> Result<Money, R> {
    check_quantities(lines.iter().map(|line| (line.product, line.quantity)))?;
    let mut total = Money::new(0, currency);
    for (index, line) in lines.iter().enumerate() {
        let price = line.unit_price;
        if price.currency != currency {
            return Err(R::LineCurrency { line: index, currency, found: price.currency });
        }
        if price.amount < 0 {
            return Err(R::LinePrice { line: index });
        }
        total = price.times(line.quantity).and_then(|sum| total.plus(sum)).ok_or(R::TotalTooLarge)?;
    }
    Ok(total)
}

/// The name of a way to pay.
pub(super) fn valid_method(method: &str) -> Result<String, R> {
    if holds_card_number(method) {
        return Err(R::CardNumber { field: "method" });
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let fits = (1..=40).contains(&method.len()) && method.bytes().all(allowed);
    if fits { Ok(method.to_owned()) } else { Err(R::InvalidMethod) }
}

/// The id of a payment or refund at whoever carried it out.
pub(super) fn valid_reference(reference: &str) -> Result<String, R> {
    let reference = reference.trim();
    if holds_card_number(reference) {
        return Err(R::CardNumber { field: "reference" });
    }
    let fits = (1..=200).contains(&reference.len()) && reference.bytes().all(|b| (b' '..=b'~').contains(&b));
    if fits { Ok(reference.to_owned()) } else { Err(R::InvalidReference) }
}

pub(super) fn valid_reason(reason: &str) -> Result<String, R> {
    let reason = text::line("reason", reason, 500)?;
    if holds_card_number(&reason) { Err(R::CardNumber { field: "reason" }) } else { Ok(reason) }
}

/// Carrier and tracking number; a tracking number may well pass for a card's and is not one.
pub(super) fn valid_parcel(carrier: &str, tracking: &str) -> Result<(String, String), R> {
    Ok((text::line("carrier", carrier, 100)?, text::line("tracking", tracking, 200)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: u128, quantity: u32, amount: i64) -> OrderLine {
        let unit_price = Money::new(amount, Currency::EUR);
        let (sku, name) = ("S".into(), "N".into());
        OrderLine { product: Uuid::from_u128(product), sku, name, quantity, unit_price, course: None }
    }

    #[test]
    fn totals_are_exact_or_refused() {
        let eur = Currency::EUR;
        assert_eq!(total(&[line(1, 3, 250), line(2, 1, 0)], eur), Ok(Money::new(750, eur)));
        assert_eq!(total(&[], eur), Err(R::InvalidLines));
        assert_eq!(total(&vec![line(1, 1, 1); 101], eur), Err(R::InvalidLines));
        assert_eq!(total(&[line(1, 0, 1)], eur), Err(R::LineQuantity { line: 0 }));
        assert_eq!(total(&[line(1, 10_001, 1)], eur), Err(R::LineQuantity { line: 0 }));
        assert_eq!(total(&[line(1, 1, 1), line(1, 1, 1)], eur), Err(R::ProductTwice { line: 1, first: 0 }));
        assert_eq!(total(&[line(1, 1, -1)], eur), Err(R::LinePrice { line: 0 }));
        assert_eq!(total(&[line(1, 2, i64::MAX)], eur), Err(R::TotalTooLarge));
        assert_eq!(total(&[line(1, 1, i64::MAX), line(2, 1, 1)], eur), Err(R::TotalTooLarge));
        let usd = Currency::try_new("USD").unwrap();
        assert_eq!(total(&[line(1, 1, 1)], usd), Err(R::LineCurrency { line: 0, currency: usd, found: eur }));
    }

    #[test]
    fn payments_are_named_without_card_numbers() {
        assert_eq!(valid_reference(" pi_1 "), Ok("pi_1".into()));
        assert_eq!(valid_reference("4111 1111 1111 1111"), Err(R::CardNumber { field: "reference" }));
        assert_eq!(valid_reference(""), Err(R::InvalidReference));
        assert_eq!(valid_reference("ä"), Err(R::InvalidReference));
        assert_eq!(valid_method("bank-transfer"), Ok("bank-transfer".into()));
        assert_eq!(valid_method("4111111111111111"), Err(R::CardNumber { field: "method" }));
        assert_eq!(valid_method("Card"), Err(R::InvalidMethod));
        assert_eq!(valid_reason("to card 4111111111111111"), Err(R::CardNumber { field: "reason" }));
        assert!(valid_parcel("Carrier", "4111111111111111").is_ok());
    }
}
