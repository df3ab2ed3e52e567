//! Which column fills which field.
//!
//! Given as `{"E-Mail": "email", "Firma": "company"}`; without it, from the headings. A field takes one column, tags take
//! several. Columns that fill nothing are named, so that the user sees what is left behind.

use super::{
    headings,
    row::{Field, ImportRow, RowError, checked, shortened},
};
use bus_schema::crm::contact::ContactDetails;
use std::collections::BTreeMap;

/// Columns a message names.
const NAMED: usize = 20;

/// The columns of one file and what they fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// By column.
    fields: Vec<Option<Field>>,
    unmapped: Vec<String>,
}

/// Why the columns of a file do not make contacts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("no column holds the e-mail address; the file has {headings}. Say which one: {{\"<column>\": \"email\"}}")]
    NoEmail { headings: String },
    #[error("the file has no column {column:?}; it has {headings}")]
    NoColumn { column: String, headings: String },
    #[error("column {column:?} is to fill {field:?}, which is no field; the fields are {}", Field::ALL.map(Field::name).join(", "))]
    NoField { column: String, field: String },
    #[error("the columns {first:?} and {second:?} both fill {field}; choose one")]
    FieldTwice { field: Field, first: String, second: String },
    #[error("several columns are called {column:?}; give them different names")]
    ColumnTwice { column: String },
}

impl MappingError {
    /// Stable, for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoEmail { .. } => "no_email_column",
            Self::NoColumn { .. } => "no_such_column",
            Self::NoField { .. } => "no_such_field",
            Self::FieldTwice { .. } => "field_mapped_twice",
            Self::ColumnTwice { .. } => "column_named_twice",
        }
    }
}

/// What the headings probably mean: `{"Column": "field"}`, ready to be shown, corrected and given to
/// [`Mapping::try_new`]. Of several columns for one field the one with the clearest name is taken.
pub fn suggest(columns: &[String]) -> BTreeMap<String, String> {
    let mut best: BTreeMap<Field, (usize, &String)> = BTreeMap::new();
    let mut suggested = BTreeMap::new();
    for column in columns {
        let Some((field, rank)) = headings::meant(column) else { continue };
        if field == Field::Tags {
            suggested.insert(column.clone(), field.name().to_owned());
        } else if best.get(&field).is_none_or(|(present, _)| rank < *present) {
            best.insert(field, (rank, column));
        }
    }
    suggested.extend(best.into_iter().map(|(field, (_, column))| (column.clone(), field.name().to_owned())));
    suggested
}

impl Mapping {
    /// Matches a file's columns, as told or as [`suggest`] finds.
    pub fn try_new(columns: &[String], told: Option<&BTreeMap<String, String>>) -> Result<Self, MappingError> {
        let suggested;
        let wanted = match told {
            Some(told) => told,
            None => {
                suggested = suggest(columns);
                &suggested
            }
        };
        let mut fields = vec![None; columns.len()];
        let mut filled: BTreeMap<Field, &String> = BTreeMap::new();
        for (column, name) in wanted {
            let (column, shown) = (column.trim(), shortened(column));
            let field = Field::by_name(name)
                .ok_or_else(|| MappingError::NoField { column: shown.clone(), field: shortened(name) })?;
            let mut places = (0..columns.len()).filter(|place| columns[*place] == column);
            let Some(place) = places.next() else {
                return Err(MappingError::NoColumn { column: shown, headings: listed(columns) });
            };
            if places.next().is_some() {
                return Err(MappingError::ColumnTwice { column: shown });
            }
            if let Some(first) = filled.insert(field, &columns[place])
                && field != Field::Tags
            {
                return Err(MappingError::FieldTwice { field, first: shortened(first), second: shown });
            }
            fields[place] = Some(field);
        }
        if !filled.contains_key(&Field::Email) {
            return Err(MappingError::NoEmail { headings: listed(columns) });
        }
        let unmapped = columns.iter().zip(&fields).filter(|(_, field)| field.is_none());
        let unmapped = unmapped.map(|(column, _)| column.clone()).collect();
        Ok(Self { fields, unmapped })
    }

    /// The columns that fill nothing.
    pub fn unmapped(&self) -> &[String] {
        &self.unmapped
    }

    /// A row's cells as a contact.
    pub fn row(&self, number: u64, line: u64, cells: &[String]) -> Result<ImportRow, RowError> {
        let mut details = ContactDetails::default();
        let mut tags = Vec::new();
        for (field, cell) in self.fields.iter().zip(cells) {
            match field {
                Some(Field::Tags) => {
                    let words = cell.split([',', ';', '|']).map(str::trim);
                    tags.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
                }
                Some(field) => field.set(&mut details, Some(cell.clone())),
                None => {}
            }
        }
        checked(number, line, details, &tags)
    }
}

fn listed(columns: &[String]) -> String {
    let shown: Vec<String> = columns.iter().take(NAMED).map(|column| format!("{:?}", shortened(column))).collect();
    let more = if columns.len() > NAMED { format!(" and {} more", columns.len() - NAMED) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &str) -> Vec<String> {
        names.split('/').map(str::to_owned).collect()
    }

    fn told(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(column, field)| (column.to_string(), field.to_string())).collect()
    }

    #[test]
    fn headings_are_understood_and_the_rest_is_named() {
        let columns = columns("Vorname/Nachname/E-Mail/Firma/Geburtstag/Tags/Gruppe");
        let mapping = Mapping::try_new(&columns, None).unwrap();
        assert_eq!(mapping.unmapped(), ["Geburtstag"]);
        let cells = ["Ada", "Lovelace", " ada@x.org ", "", "1815", "VIP; new|a", "b,vip"].map(str::to_owned);
        let row = mapping.row(7, 9, &cells).unwrap();
        assert_eq!((row.number, row.line, row.details.email.as_str()), (7, 9, "ada@x.org"));
        assert_eq!((row.details.last_name.as_deref(), row.details.company), (Some("Lovelace"), None));
        assert_eq!(row.tags, ["a", "b", "new", "vip"]);
    }

    #[test]
    fn the_clearest_heading_wins() {
        let suggested = suggest(&columns("Mail/Email/Mobile/Phone"));
        assert_eq!(suggested, told(&[("Email", "email"), ("Phone", "phone")]));
    }

    #[test]
    fn what_was_told_is_checked() {
        let columns = columns("A/B/C/C");
        let code = |pairs: &[(&str, &str)]| Mapping::try_new(&columns, Some(&told(pairs))).unwrap_err().code();
        assert_eq!(code(&[]), "no_email_column");
        assert_eq!(code(&[("X", "email")]), "no_such_column");
        assert_eq!(code(&[("A", "mail")]), "no_such_field");
        assert_eq!(code(&[("A", "email"), ("B", "email")]), "field_mapped_twice");
        assert_eq!(code(&[("A", "email"), ("C", "city")]), "column_named_twice");
        let mapping = Mapping::try_new(&columns, Some(&told(&[("B", "email")]))).unwrap();
        assert_eq!(mapping.unmapped(), ["A", "C", "C"]);
        let error = Mapping::try_new(&columns, None).unwrap_err();
        assert!(error.to_string().contains(r#"the file has "A", "B", "C", "C""#), "{error}");
    }
}
