//! What a password must be. One rule for every way a password enters the platform.
//!
//! The floor is what was promised (an upper-case letter and a number); length does the rest. Letters and numbers are
//! those of Unicode, so that people can think in their own script.

use crate::rejections;

/// Characters at least.
pub const MIN_CHARS: usize = 10;
/// Bytes at most: a longer text is refused before it costs anything.
pub const MAX_BYTES: usize = 128;

rejections! {
    /// Why a password is not accepted.
    pub enum PasswordRejection {
        TooShort: Invalid, "password_too_short", "/password", "a password has at least 10 characters";
        TooLong: Invalid, "password_too_long", "/password", "a password has at most 128 bytes";
        NoUpperCase: Invalid, "password_no_upper_case", "/password", "a password has at least one upper-case letter";
        NoNumber: Invalid, "password_no_number", "/password", "a password has at least one number";
        Common: Invalid, "password_common", "/password", "this password is among the first that are tried; take another one";
        ContainsEmail: Invalid, "password_contains_email", "/password", "a password does not contain the name before the @ of the e-mail address";
    }
}

/// Checks a password somebody wants to use with an e-mail address.
pub fn check_password(password: &str, email: &str) -> Result<(), PasswordRejection> {
    use PasswordRejection as R;
    if password.len() > MAX_BYTES {
        return Err(R::TooLong);
    }
    if password.chars().count() < MIN_CHARS {
        return Err(R::TooShort);
    }
    if !password.chars().any(char::is_uppercase) {
        return Err(R::NoUpperCase);
    }
    if !password.chars().any(char::is_numeric) {
        return Err(R::NoNumber);
    }
    if is_common(password) {
        return Err(R::Common);
    }
    let local = email.trim().rsplit_once('@').map_or("", |(local, _)| local).to_lowercase();
    // A name of one or two letters is in every second password by chance.
    if local.chars().count() >= 3 && password.to_lowercase().contains(&local) {
        return Err(R::ContainsEmail);
    }
    Ok(())
}

/// Whether a password is one of the well-known ones, also when it was only dressed up: letters in another case, digits
/// in place of letters, digits and signs around it.
fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let plain: String = lower.chars().map(undressed).collect();
    let core = |text: &str| text.trim_matches(|c: char| !c.is_alphabetic()).to_owned();
    // The core is taken before digits become letters too, or `password2025` would end in letters.
    let cores = [core(&plain), core(&lower), core(&lower).chars().map(undressed).collect()];
    let mut chars = lower.chars();
    let first = chars.next();
    COMMON.contains(&lower.as_str())
        || cores.iter().any(|core| WORDS.contains(&core.as_str()))
        || chars.all(|c| Some(c) == first)
}

fn undressed(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// Words that are no password however they are dressed up.
const WORDS: &[&str] = &[
    "abc",
    "abcd",
    "abcdef",
    "abcdefgh",
    "abcdefghi",
    "abcdefghij",
    "access",
    "admin",
    "administrator",
    "baseball",
    "batman",
    "changeme",
    "charlie",
    "computer",
    "default",
    "dragon",
    "dubsmash",
    "flower",
    "football",
    "freedom",
    "geheim",
    "hallo",
    "hello",
    "helloworld",
    "hottie",
    "iloveyou",
    "internet",
    "killer",
    "letmein",
    "login",
    "lovely",
    "loveme",
    "master",
    "michael",
    "millrace",
    "monkey",
    "mustang",
    "ninja",
    "passw",
    "passwd",
    "password",
    "passwordpassword",
    "passwort",
    "pokemon",
    "princess",
    "qazwsx",
    "qazwsxedc",
    "qwer",
    "qwert",
    "qwerty",
    "qwertyui",
    "qwertyuiop",
    "qwertz",
    "qwertzuiop",
    "root",
    "secret",
    "shadow",
    "solo",
    "starwars",
    "summer",
    "sunshine",
    "superman",
    "test",
    "testtest",
    "trustno",
    "user",
    "welcome",
    "welcomehome",
    "whatever",
    "willkommen",
    "winter",
    "spring",
    "autumn",
    "herbst",
    "sommer",
    "zaq",
    "zaqwsx",
    "zxcvbn",
    "zxcvbnm",
    "motdepasse",
    "contraseña",
    "azertyuiop",
    "asdfgh",
    "asdfghjkl",
    "yxcvbnm",
];

/// Whole passwords, lower case, that hold no such word.
const COMMON: &[&str] = &[
    "1q2w3e4r5t",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "1qazxsw23edc",
    "q1w2e3r4t5",
    "q1w2e3r4t5y6",
    "a1b2c3d4e5",
    "a123456789",
    "1234567890a",
    "123456789a",
    "abc1234567",
    "abcd123456",
    "abcde12345",
    "12345abcde",
    "123456abcd",
    "1a2b3c4d5e",
    "zaq12wsxcde3",
    "zaq1xsw2cde3",
    "qwer1234asdf",
    "asdf1234qwer",
    "123qwe123qwe",
    "qwe123qwe123",
    "123qweasdzxc",
    "1234qwerasdf",
    "qweasd123zxc",
    "aa12345678",
    "aa123456789",
    "q123456789",
    "p@ssw0rd123",
];

#[cfg(test)]
mod tests {
    use super::*;
    use PasswordRejection as R;

    #[test]
    fn the_rules_one_by_one() {
        let table = [
            ("Tulip-3-bridge", Ok(())),
            ("Äpfel und ٣ Birnen", Ok(())),
            ("Ünïcödé٤٤", Err(R::TooShort)),
            ("Abcde1", Err(R::TooShort)),
            ("Short1234", Err(R::TooShort)),
            ("tulip-3-bridge", Err(R::NoUpperCase)),
            ("Tulip-bridge", Err(R::NoNumber)),
            ("Password123", Err(R::Common)),
            ("P@ssw0rd!2025", Err(R::Common)),
            ("Passwort12345", Err(R::Common)),
            ("1Q2W3E4R5T", Err(R::Common)),
            ("Qwertyuiop1", Err(R::Common)),
            ("123456789A", Err(R::Common)),
            ("Ada.Lovelace-1815", Err(R::ContainsEmail)),
        ];
        for (password, expected) in table {
            assert_eq!(check_password(password, "ada.lovelace@example.org"), expected, "{password}");
        }
    }

    #[test]
    fn length_is_counted_in_characters_below_and_bytes_above() {
        let email = "x@y.org";
        assert_eq!(check_password("Ää1äüöäüöä", email), Ok(()));
        assert_eq!(check_password(&format!("A1{}", "xy".repeat(63)), email), Ok(()));
        assert_eq!(check_password(&format!("A1{}z", "xy".repeat(63)), email), Err(R::TooLong));
        assert_eq!(check_password(&format!("A1{}", "ä".repeat(64)), email), Err(R::TooLong));
        assert_eq!(check_password("", ""), Err(R::TooShort));
    }

    #[test]
    fn every_word_of_the_lists_is_met() {
        for word in WORDS {
            assert!(is_common(&format!("{}2025!", word.to_uppercase())), "{word}");
        }
        assert!(COMMON.iter().all(|common| is_common(&common.to_uppercase())));
        assert!(!is_common("Masterful-Plan-7"));
    }
}
