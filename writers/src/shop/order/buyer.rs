//! The limits of what an order may hold of its buyer.

use super::OrderRejection as R;
use crate::shop::{card::holds_card_number, text};
use bus_schema::shop::order::BuyerDetails;

/// Lines of an address.
const MAX_ADDRESS_LINES: usize = 8;

/// The buyer trimmed, empty fields absent, every limit kept, and no card number in what they wrote.
pub fn valid_buyer(buyer: &BuyerDetails) -> Result<BuyerDetails, R> {
    if buyer.address.len() > MAX_ADDRESS_LINES {
        return Err(R::TooManyAddressLines { max: MAX_ADDRESS_LINES });
    }
    let address = buyer.address.iter().map(|line| text::line("buyer/address", line, 200));
    let address: Vec<String> = address.collect::<Result<_, _>>()?;
    let phone = text::line("buyer/phone", buyer.phone.as_deref().unwrap_or_default(), 40)?;
    let note = text::lines("buyer/note", buyer.note.as_deref().unwrap_or_default(), 2_000)?;
    let valid = BuyerDetails {
        name: text::required("buyer/name", &buyer.name, 200)?,
        email: valid_email(&buyer.email)?,
        address: address.into_iter().filter(|line| !line.is_empty()).collect(),
        phone: Some(phone).filter(|phone| !phone.is_empty()),
        note: Some(note).filter(|note| !note.is_empty()),
    };
    if holds_card_number(&valid.name) {
        return Err(R::CardNumber { field: "buyer/name" });
    }
    if valid.note.as_deref().is_some_and(holds_card_number) {
        return Err(R::CardNumber { field: "buyer/note" });
    }
    Ok(valid)
}

/// An address mail can be sent to; what else is wrong with it shows when mail is sent.
fn valid_email(email: &str) -> Result<String, R> {
    let email = email.trim();
    let (local, domain) = email.rsplit_once('@').ok_or(R::InvalidEmail)?;
    let fits = email.len() <= 254 && (1..=64).contains(&local.len()) && domain.contains('.');
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>(),;:\\\"[]".contains(c);
    let label = |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    if fits && email.chars().all(plain) && domain.split('.').all(label) && !local.contains('@') {
        Ok(email.to_owned())
    } else {
        Err(R::InvalidEmail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> BuyerDetails {
        BuyerDetails { name: " Ada ".into(), email: " ada@example.org ".into(), ..BuyerDetails::default() }
    }

    #[test]
    fn a_buyer_is_trimmed_and_limited() {
        let buyer = BuyerDetails { address: vec!["1 Road".into(), " ".into()], note: Some(" ".into()), ..ada() };
        let valid = valid_buyer(&buyer).unwrap();
        assert_eq!((valid.name.as_str(), valid.email.as_str()), ("Ada", "ada@example.org"));
        assert_eq!((valid.address, valid.note), (vec!["1 Road".to_owned()], None));
        let bad = BuyerDetails { name: " ".into(), ..ada() };
        assert_eq!(valid_buyer(&bad), Err(R::Required { field: "buyer/name" }));
        let bad = BuyerDetails { address: vec![String::new(); 9], ..ada() };
        assert_eq!(valid_buyer(&bad), Err(R::TooManyAddressLines { max: 8 }));
        let bad = BuyerDetails { phone: Some("1".repeat(41)), ..ada() };
        assert_eq!(valid_buyer(&bad), Err(R::TooLong { field: "buyer/phone", max: 40 }));
        let bad = BuyerDetails { note: Some("card 4111 1111 1111 1111".into()), ..ada() };
        assert_eq!(valid_buyer(&bad), Err(R::CardNumber { field: "buyer/note" }));
        for email in ["", "a", "a@b", "@b.de", "a b@c.de", "a@b.de\r\nBcc: x@y.de", "a@b..de", "a@-b.de", "a@b@c.de"] {
            let bad = BuyerDetails { email: email.into(), ..ada() };
            assert_eq!(valid_buyer(&bad), Err(R::InvalidEmail), "{email:?}");
        }
    }
}
