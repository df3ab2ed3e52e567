//! The limits of what an import may be asked to do.

use super::ImportRejection as R;
use crate::crm::contact::{MAX_TAGS, normal_tag};
use bus_schema::crm::import::ImportPlan;
use std::collections::BTreeSet;

/// Columns that can be mapped.
pub const MAX_COLUMNS: usize = 100;
/// The fields a column can be mapped to; `tags` takes several columns, and several tags in each, separated by commas.
pub const FIELDS: [&str; 9] =
    ["email", "first_name", "last_name", "company", "phone", "city", "country", "notes", "tags"];

/// The plan in its normal form, with every limit kept. A file without a header row has its columns named by number, so
/// that no person's data becomes the name of a column.
pub fn valid_plan(plan: &ImportPlan) -> Result<ImportPlan, R> {
    let label = line(&plan.label, 100).ok_or(R::InvalidLabel)?;
    if plan.mapping.len() > MAX_COLUMNS {
        return Err(R::TooManyColumns);
    }
    let mut fields = BTreeSet::new();
    for (column, field) in &plan.mapping {
        if line(column, 200).is_none() {
            return Err(R::InvalidColumn);
        }
        let named = || field.chars().take(60).collect();
        if !FIELDS.contains(&field.as_str()) {
            return Err(R::UnknownField { field: named() });
        }
        if !fields.insert(field.as_str()) && field != "tags" {
            return Err(R::FieldTwice { field: named() });
        }
    }
    if !fields.contains("email") {
        return Err(R::NoEmail);
    }
    let encoding = plan.encoding.trim().to_ascii_lowercase();
    let encoding_ok = encoding.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_:".contains(&b));
    if !(1..=40).contains(&encoding.len()) || !encoding_ok {
        return Err(R::InvalidEncoding);
    }
    if plan.blob.len() != 64 || !plan.blob.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(R::InvalidBlob);
    }
    if plan.tags.len() > MAX_TAGS {
        return Err(R::TooManyTags);
    }
    let tag = |(index, tag): (usize, &String)| normal_tag(tag).map_err(|_| R::InvalidTag { index });
    let tags: BTreeSet<String> = plan.tags.iter().enumerate().map(tag).collect::<Result<_, _>>()?;
    Ok(ImportPlan { label, encoding, tags: tags.into_iter().collect(), ..plan.clone() })
}

/// A line of text, trimmed, neither empty nor longer than `max` characters.
fn line(text: &str, max: usize) -> Option<String> {
    let text = text.trim();
    let fits = (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
