//! The limits of what an account knows of its person.

use super::AccountRejection as R;
use bus_schema::identity::account::AccountPerson;

/// The form in which two spellings of an address are the same, see [`crate::text::normal_email`].
pub fn normal_email(email: &str) -> Result<String, R> {
    crate::text::normal_email(email).ok_or(R::InvalidEmail)
}

/// Trimmed, with every limit kept.
pub fn valid_person(person: &AccountPerson) -> Result<AccountPerson, R> {
    normal_email(&person.email)?;
    let name = person.name.trim();
    if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(R::InvalidName);
    }
    Ok(AccountPerson { email: person.email.trim().to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_checked() {
        assert_eq!(normal_email(" Ada.L@Example.ORG ").unwrap(), "ada.l@example.org");
        for bad in ["", "a", "a@b", "@b.de", ".a@b.de", "a..b@c.de", "a b@c.de", "a@b.de\r\nBcc: x@y.de", "a@-b.de"] {
            assert_eq!(normal_email(bad), Err(R::InvalidEmail), "{bad:?}");
        }
        let named = |name: &str| valid_person(&AccountPerson { email: " a@b.de".into(), name: name.into() });
        assert_eq!(named(" Ada ").unwrap(), AccountPerson { email: "a@b.de".into(), name: "Ada".into() });
        for bad in ["", "  ", "a\u{0}b", &"x".repeat(101)] {
            assert_eq!(named(bad), Err(R::InvalidName), "{bad:?}");
        }
    }
}
