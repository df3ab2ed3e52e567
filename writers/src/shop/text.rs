//! Text from outside: trimmed, within its limit, without control characters.

/// A text that is refused, and in which field. Each aggregate makes its own rejection of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadText {
    Missing { field: &'static str },
    TooLong { field: &'static str, max: usize },
    Control { field: &'static str },
}

/// One line, which may be empty. `max` counts characters.
pub(super) fn line(field: &'static str, value: &str, max: usize) -> Result<String, BadText> {
    checked(field, value, max, false)
}

/// One line with something in it.
pub(super) fn required(field: &'static str, value: &str, max: usize) -> Result<String, BadText> {
    let value = line(field, value, max)?;
    if value.is_empty() { Err(BadText::Missing { field }) } else { Ok(value) }
}

/// Several lines, which may be empty.
pub(super) fn lines(field: &'static str, value: &str, max: usize) -> Result<String, BadText> {
    checked(field, value, max, true)
}

fn checked(field: &'static str, value: &str, max: usize, many_lines: bool) -> Result<String, BadText> {
    let value = value.trim();
    if value.chars().count() > max {
        return Err(BadText::TooLong { field, max });
    }
    let allowed = |c: char| !c.is_control() || (many_lines && matches!(c, '\n' | '\r' | '\t'));
    if value.chars().all(allowed) { Ok(value.to_owned()) } else { Err(BadText::Control { field }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_the_field() {
        assert_eq!(line("name", " Ink ", 3), Ok("Ink".into()));
        assert_eq!(line("name", "Inks", 3), Err(BadText::TooLong { field: "name", max: 3 }));
        assert_eq!(line("name", "a\nb", 9), Err(BadText::Control { field: "name" }));
        assert_eq!(lines("note", "a\nb", 9), Ok("a\nb".into()));
        assert_eq!(required("name", "  ", 9), Err(BadText::Missing { field: "name" }));
    }
}
