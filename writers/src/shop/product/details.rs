//! The limits of what a product may hold.

use super::ProductRejection as R;
use crate::shop::text;
use bus_schema::{Money, shop::product::ProductDetails};
use std::collections::BTreeSet;

/// Tags of one product.
pub const MAX_TAGS: usize = 100;
/// Characters of a description.
pub const MAX_DESCRIPTION: usize = 20_000;
/// Pieces of one product on hand.
pub const MAX_STOCK: u32 = 1_000_000_000;
/// Minor units of a price. The largest order (100 lines of 10,000 pieces) stays within 64 bits with it.
pub const MAX_PRICE: i64 = 1_000_000_000_000;

/// The form in which two spellings of an SKU are the same: upper case.
pub fn normal_sku(sku: &str) -> Result<String, R> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=64).contains(&sku.len()) && sku.bytes().all(allowed) {
        Ok(sku.to_ascii_uppercase())
    } else {
        Err(R::InvalidSku)
    }
}

/// Trimmed and lower case; tags are matched by every reader, so there is one spelling.
pub fn normal_tag(tag: &str) -> Result<String, R> {
    let tag = tag.trim().to_lowercase();
    let allowed = |c: char| c.is_alphanumeric() || " -_.:".contains(c);
    if (1..=60).contains(&tag.chars().count()) && tag.chars().all(allowed) { Ok(tag) } else { Err(R::InvalidTag) }
}

/// The details trimmed, tags in normal form, every limit kept.
pub fn valid_details(details: &ProductDetails) -> Result<ProductDetails, R> {
    if details.tags.len() > MAX_TAGS {
        return Err(R::TooManyTags);
    }
    let tags: BTreeSet<String> = details.tags.iter().map(|tag| normal_tag(tag)).collect::<Result<_, _>>()?;
    Ok(ProductDetails {
        name: text::required("name", &details.name, 200)?,
        description: text::lines("description", &details.description, MAX_DESCRIPTION)?,
        tags: tags.into_iter().collect(),
        course: details.course,
    })
}

pub(super) fn valid_price(price: Money) -> Result<Money, R> {
    if (0..=MAX_PRICE).contains(&price.amount) { Ok(price) } else { Err(R::InvalidPrice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skus_have_one_form() {
        assert_eq!(normal_sku("Ink-1.b_C"), Ok("INK-1.B_C".into()));
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(normal_sku(bad), Err(R::InvalidSku), "{bad:?}");
        }
    }

    #[test]
    fn details_are_normal_and_limited() {
        let details = |name: &str, tags: &[&str]| ProductDetails {
            name: name.into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..ProductDetails::default()
        };
        assert_eq!(valid_details(&details(" Ink ", &["New", "a", "new "])), Ok(details("Ink", &["a", "new"])));
        assert_eq!(valid_details(&details("", &[])), Err(R::Required { field: "name" }));
        assert_eq!(valid_details(&details("a\tb", &[])), Err(R::InvalidText { field: "name" }));
        assert_eq!(valid_details(&details("a", &["\u{0}"])), Err(R::InvalidTag));
        assert_eq!(valid_details(&details("a", &["t"; 101])), Err(R::TooManyTags));
        let long = ProductDetails { description: "x".repeat(20_001), ..details("a", &[]) };
        assert_eq!(valid_details(&long), Err(R::TooLong { field: "description", max: MAX_DESCRIPTION }));
    }
}
