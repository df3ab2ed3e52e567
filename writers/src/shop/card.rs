//! Tells a payment card's number from other text, so that the log never receives one.
//!
//! A card number has 13 to 19 digits, in one piece or in groups, and its last digit is a Luhn check digit. One in ten
//! other numbers passes that check too, so what cannot be a card is let through: none begins with 0, and of those that
//! begin with 1 only 15 digits are in use (an identifier that is a time in milliseconds has 13).

/// Whether a card number stands anywhere in a text.
pub(super) fn holds_card_number(text: &str) -> bool {
    glued(text) || grouped(text)
}

/// A run of digits of a card's length, whatever stands around it.
fn glued(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|run| is_card_number(run.as_bytes()))
}

/// Neighbouring words of nothing but digits, such as `4111 1111 1111 1111`.
fn grouped(text: &str) -> bool {
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_number = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_digit());
    (0..words.len()).any(|start| {
        let mut digits = Vec::new();
        words[start..].iter().take_while(is_number).take(MOST).any(|word| {
            digits.extend(word.bytes());
            is_card_number(&digits)
        })
    })
}

const LEAST: usize = 13;
const MOST: usize = 19;

fn is_card_number(digits: &[u8]) -> bool {
    let begins_well = match digits.first() {
        None | Some(b'0') => false,
        Some(b'1') => digits.len() == 15,
        Some(_) => true,
    };
    (LEAST..=MOST).contains(&digits.len()) && begins_well && passes_luhn(digits)
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') << (place % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_seen_however_they_are_written() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111 - 1111 - 1111.1111",
            "paid by card 5500 0000 0000 0004, thanks",
            "ref4222222222222x",
            "3782 822463 10005",
            "12 4111 1111 1111 1111 12/27",
            "6304000000000000000",
        ] {
            assert!(holds_card_number(card), "{card:?} must be seen");
        }
    }

    #[test]
    fn identifiers_are_let_through() {
        for id in [
            "",
            "pi_3MtwBwLkdIwHu7ix28a3tqPa",
            "550e8400-e29b-41d4-a716-446655440000",
            "4111111111111112",
            "411111111111",
            "00000000000000000",
            "41111111111111110000000",
            "INV-2026-000123",
        ] {
            assert!(!holds_card_number(id), "{id:?} must be let through");
        }
        assert!((0..1_000_u64).all(|n| !holds_card_number(&(1_767_225_600_000 + n).to_string())), "milliseconds");
    }
}
