//! How files name the columns, in English and German. A heading is compared without case, spaces and punctuation.

use super::row::Field;

const NAMES: &[(Field, &[&str])] = &[
    (
        Field::Email,
        &[
            "email",
            "mail",
            "emailaddress",
            "mailaddress",
            "emailadresse",
            "mailadresse",
            "elektronischepost",
            "primaryemail",
            "email1",
            "email1value",
            "workemail",
            "emailwork",
            "emailgeschäftlich",
            "emailprivat",
        ],
    ),
    (Field::FirstName, &["firstname", "first", "givenname", "forename", "vorname", "rufname"]),
    (Field::LastName, &["lastname", "last", "surname", "familyname", "nachname", "name", "familienname", "zuname"]),
    (
        Field::Company,
        &[
            "company",
            "companyname",
            "organisation",
            "organization",
            "organisationname",
            "organizationname",
            "employer",
            "firma",
            "firmenname",
            "unternehmen",
            "unternehmensname",
            "betrieb",
        ],
    ),
    (
        Field::Phone,
        &[
            "phone",
            "phonenumber",
            "telephone",
            "telephonenumber",
            "tel",
            "mobile",
            "mobilephone",
            "cell",
            "telefon",
            "telefonnummer",
            "telefonnr",
            "telnr",
            "rufnummer",
            "handy",
            "handynummer",
            "mobil",
            "mobiltelefon",
            "mobilnummer",
        ],
    ),
    (Field::City, &["city", "town", "place", "locality", "ort", "stadt", "wohnort"]),
    (Field::Country, &["country", "countrycode", "land", "ländercode", "laendercode", "länderkennzeichen", "staat"]),
    (
        Field::Notes,
        &[
            "notes",
            "note",
            "comment",
            "comments",
            "remark",
            "remarks",
            "notiz",
            "notizen",
            "bemerkung",
            "bemerkungen",
            "kommentar",
            "kommentare",
            "anmerkung",
            "anmerkungen",
        ],
    ),
    (
        Field::Tags,
        &[
            "tags",
            "tag",
            "labels",
            "label",
            "groups",
            "group",
            "keywords",
            "schlagwort",
            "schlagworte",
            "schlagwörter",
            "schlagwoerter",
            "stichwort",
            "stichworte",
            "stichwörter",
            "gruppe",
            "gruppen",
        ],
    ),
];

/// The field a heading probably means, and how probable: the lower the better among several for one field.
pub(super) fn meant(heading: &str) -> Option<(Field, usize)> {
    let plain: String = heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    NAMES.iter().find_map(|(field, names)| Some((*field, names.iter().position(|name| *name == plain)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_headings_are_known() {
        for (heading, field) in [
            ("E-Mail", Field::Email),
            ("E-Mail-Adresse", Field::Email),
            ("email_address", Field::Email),
            ("Vorname", Field::FirstName),
            ("First Name", Field::FirstName),
            ("NACHNAME", Field::LastName),
            ("Firma", Field::Company),
            ("Telefon-Nr.", Field::Phone),
            ("Ort", Field::City),
            ("Land", Field::Country),
            ("Bemerkungen", Field::Notes),
            ("Schlagwörter", Field::Tags),
        ] {
            assert_eq!(meant(heading).map(|(field, _)| field), Some(field), "{heading}");
        }
        assert_eq!(meant("Geburtstag"), None);
        assert_eq!(meant(""), None);
    }
}
