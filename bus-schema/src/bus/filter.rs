//! Filters of subjects, as NATS has them.

/// Whether a subject matches a filter as NATS has it: `*` is one token, `>` is one or more at the end.
pub(super) fn passes(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Whether a filter is for more than one subject.
pub(super) fn is_wild(filter: &str) -> bool {
    filter.split('.').any(|token| token == "*" || token == ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_of_nats() {
        for (filter, subject, does) in [
            ("ev.>", "ev.a.b", true),
            ("ev.>", "ev", false),
            ("ev.*.b", "ev.a.b", true),
            ("ev.*.b", "ev.a.c", false),
            ("ev.*", "ev.a.b", false),
            ("ev.a", "ev.a", true),
            ("ev.a.b", "ev.a", false),
        ] {
            assert_eq!(passes(filter, subject), does, "{filter} {subject}");
        }
    }

    #[test]
    fn one_subject_is_no_pattern() {
        assert!(!is_wild("ev.eu1.a*b.c"));
        assert!(is_wild("ev.*.b") && is_wild("ev.>"));
    }
}
