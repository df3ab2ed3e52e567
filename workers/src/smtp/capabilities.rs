//! What a provider offers, from its answer to EHLO (RFC 5321 4.1.1.1).

use super::Reply;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) pipelining: bool,
    pub(super) starttls: bool,
    pub(super) eight_bit: bool,
    pub(super) smtputf8: bool,
    /// Offered, and the most bytes a message may have; 0 is no fixed limit (RFC 1870).
    pub(super) size: Option<u64>,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
}

impl Capabilities {
    /// The first line is a greeting. What is not known is passed over.
    pub(super) fn of(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.text.split('\n').skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => found.pipelining = true,
                "STARTTLS" => found.starttls = true,
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "SIZE" => found.size = Some(words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0)),
                "AUTH" => words.for_each(|mechanism| {
                    found.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                    found.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                }),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_are_found_and_others_passed_over() {
        let text = "PIPELINING is no offer here\npipelining\nSIZE 1000\nAUTH CRAM-MD5 LOGIN\nX-OTHER a b\n\n8BITMIME";
        let found = Capabilities::of(&Reply { code: 250, text: text.into() });
        let expected = Capabilities {
            pipelining: true,
            size: Some(1000),
            auth_login: true,
            eight_bit: true,
            ..Default::default()
        };
        assert_eq!(found, expected);
        assert_eq!(Capabilities::of(&Reply { code: 250, text: "x\nSIZE".into() }).size, Some(0));
    }
}
