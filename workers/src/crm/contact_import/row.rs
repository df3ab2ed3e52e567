//! One row of an import: the fields it can have, what it becomes, and what can be wrong with it.

use bus_schema::crm::contact::ContactDetails;
use serde::{Deserialize, Serialize};
use std::fmt;
use writers::{
    Rejection,
    crm::contact::{ContactRejection, MAX_TAGS, normal_tag, valid_details},
};

/// Characters of a faulty value that its error repeats.
const VALUE_SHOWN: usize = 80;

/// A field of a contact that a file can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Email,
    FirstName,
    LastName,
    Company,
    Phone,
    City,
    Country,
    Notes,
    Tags,
}

impl Field {
    pub const ALL: [Self; 9] = [
        Self::Email,
        Self::FirstName,
        Self::LastName,
        Self::Company,
        Self::Phone,
        Self::City,
        Self::Country,
        Self::Notes,
        Self::Tags,
    ];

    /// The details a merge may fill: all but the e-mail address, by which contacts are matched, and the tags.
    pub const MERGED: [Self; 7] =
        [Self::FirstName, Self::LastName, Self::Company, Self::Phone, Self::City, Self::Country, Self::Notes];

    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Company => "company",
            Self::Phone => "phone",
            Self::City => "city",
            Self::Country => "country",
            Self::Notes => "notes",
            Self::Tags => "tags",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The value of this field; `None` also for the tags, which are no detail.
    pub fn of(self, details: &ContactDetails) -> Option<&str> {
        match self {
            Self::Email => Some(&details.email),
            Self::FirstName => details.first_name.as_deref(),
            Self::LastName => details.last_name.as_deref(),
            Self::Company => details.company.as_deref(),
            Self::Phone => details.phone.as_deref(),
            Self::City => details.city.as_deref(),
            Self::Country => details.country.as_deref(),
            Self::Notes => details.notes.as_deref(),
            Self::Tags => None,
        }
    }

    /// Sets this field. The e-mail address is never absent, so `None` leaves it; tags are no detail.
    pub fn set(self, details: &mut ContactDetails, value: Option<String>) {
        match (self, value) {
            (Self::Email, Some(email)) => details.email = email,
            (Self::Email, None) | (Self::Tags, _) => {}
            (Self::FirstName, value) => details.first_name = value,
            (Self::LastName, value) => details.last_name = value,
            (Self::Company, value) => details.company = value,
            (Self::Phone, value) => details.phone = value,
            (Self::City, value) => details.city = value,
            (Self::Country, value) => details.country = value,
            (Self::Notes, value) => details.notes = value,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A row that can be carried out: details and tags keep every limit of a contact.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportRow {
    /// The first row after the heading is 1; empty rows are not counted.
    pub number: u64,
    /// The line of the file on which the row begins; the first is 1.
    pub line: u64,
    pub details: ContactDetails,
    /// In normal form, without repetition.
    pub tags: Vec<String>,
}

/// A row that cannot be carried out. The rows after it are not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    pub number: u64,
    pub line: u64,
    pub field: Option<Field>,
    /// Stable: `invalid_email`, `invalid_encoding`, `too_many_cells`, `unknown_field`...
    pub code: &'static str,
    pub message: String,
    /// The beginning of the faulty value, at most 80 characters.
    pub value: Option<String>,
}

impl RowError {
    pub fn new(number: u64, line: u64, code: &'static str, message: impl Into<String>) -> Self {
        Self { number, line, field: None, code, message: message.into(), value: None }
    }

    fn rejected(number: u64, line: u64, field: Option<Field>, rejection: &ContactRejection, value: &str) -> Self {
        // A note is long and about a person: which row it stands in says enough.
        let shown = field != Some(Field::Notes) && !value.is_empty();
        Self {
            number,
            line,
            field,
            code: rejection.code(),
            message: rejection.to_string(),
            value: shown.then(|| shortened(value)),
        }
    }
}

/// The beginning of a text from outside.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(VALUE_SHOWN).collect()
}

/// Checks what a row says. The country may be written in lower case; tags are brought to their normal form.
pub(super) fn checked(
    number: u64,
    line: u64,
    mut details: ContactDetails,
    tags: &[String],
) -> Result<ImportRow, RowError> {
    if let Some(country) = details.country.as_mut() {
        *country = country.trim().to_uppercase();
        if !country.is_empty() && country.chars().count() != 2 {
            let rejection = ContactRejection::InvalidCountry;
            return Err(RowError::rejected(number, line, Some(Field::Country), &rejection, country));
        }
    }
    let details = valid_details(&details).map_err(|rejection| {
        let field = Field::by_name(rejection.pointer().trim_start_matches('/'));
        let value = field.and_then(|field| field.of(&details)).unwrap_or_default();
        RowError::rejected(number, line, field, &rejection, value)
    })?;
    let mut normal = std::collections::BTreeSet::new();
    for tag in tags {
        let tag = normal_tag(tag)
            .map_err(|rejection| RowError::rejected(number, line, Some(Field::Tags), &rejection, tag))?;
        normal.insert(tag);
        if normal.len() > MAX_TAGS {
            return Err(RowError::rejected(number, line, Some(Field::Tags), &ContactRejection::TooManyTags, ""));
        }
    }
    Ok(ImportRow { number, line, details, tags: normal.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> ContactDetails {
        ContactDetails { email: "ada@example.org".into(), ..ContactDetails::default() }
    }

    #[test]
    fn a_fault_names_its_field_and_shows_little_of_the_value() {
        let long = ContactDetails { first_name: Some("x".repeat(500)), ..ada() };
        let error = checked(3, 4, long, &[]).unwrap_err();
        assert_eq!((error.number, error.line, error.field), (3, 4, Some(Field::FirstName)));
        assert_eq!((error.code, error.value.unwrap().len()), ("too_long", VALUE_SHOWN));
        let notes = ContactDetails { notes: Some("x".repeat(20_000)), ..ada() };
        assert_eq!(checked(1, 2, notes, &[]).unwrap_err().value, None);
    }

    #[test]
    fn countries_and_tags_are_brought_to_their_form() {
        let row =
            checked(1, 2, ContactDetails { country: Some(" de ".into()), ..ada() }, &["VIP".into(), "vip ".into()]);
        let row = row.unwrap();
        assert_eq!((row.details.country.as_deref(), row.tags), (Some("DE"), vec!["vip".to_owned()]));
        let error = checked(1, 2, ContactDetails { country: Some("Germany".into()), ..ada() }, &[]).unwrap_err();
        assert_eq!((error.code, error.field), ("invalid_country", Some(Field::Country)));
        assert_eq!(checked(1, 2, ada(), &["a\u{0}".into()]).unwrap_err().code, "invalid_tag");
        let many: Vec<String> = (0..101).map(|n| format!("t{n}")).collect();
        assert_eq!(checked(1, 2, ada(), &many).unwrap_err().code, "too_many_tags");
    }

    #[test]
    fn every_field_has_a_name_and_a_place() {
        for field in Field::ALL {
            assert_eq!(Field::by_name(field.name()), Some(field));
            let mut details = ada();
            field.set(&mut details, Some("X".into()));
            assert_eq!(field.of(&details), (field != Field::Tags).then_some("X"));
        }
    }
}
