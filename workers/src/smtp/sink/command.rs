//! The commands of a client (RFC 5321 4.1).

/// A command line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ehlo,
    Helo,
    StartTls,
    /// The mechanism and what came with it.
    Auth(String, Option<String>),
    Mail {
        sender: String,
        size: Option<u64>,
        smtputf8: bool,
    },
    Rcpt(String),
    Data,
    Reset,
    Noop,
    Quit,
    /// Something else; the sink's answer to it.
    Other(&'static str),
}

impl Command {
    pub(crate) fn parse(line: &str) -> Self {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if !rest.is_empty() => Self::Ehlo,
            "HELO" if !rest.is_empty() => Self::Helo,
            "EHLO" | "HELO" => Self::Other("501 5.5.4 say who you are"),
            "STARTTLS" => Self::StartTls,
            "AUTH" => {
                let mut words = rest.split(' ');
                let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
                Self::Auth(mechanism, words.next().map(str::to_owned))
            }
            "MAIL" => mail(rest),
            "RCPT" => match path(rest, "TO:") {
                Some((recipient, "")) if !recipient.is_empty() => Self::Rcpt(recipient.to_owned()),
                _ => Self::Other("501 5.1.3 RCPT TO:<address>, nothing more"),
            },
            "DATA" => Self::Data,
            "RSET" => Self::Reset,
            "NOOP" => Self::Noop,
            "QUIT" => Self::Quit,
            "VRFY" => Self::Other("252 2.5.0 try it"),
            _ => Self::Other("500 5.5.2 not a command here"),
        }
    }
}

fn mail(rest: &str) -> Command {
    let Some((sender, parameters)) = path(rest, "FROM:") else {
        return Command::Other("501 5.1.7 MAIL FROM:<address>");
    };
    let (mut size, mut smtputf8) = (None, false);
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name.to_ascii_uppercase().as_str(), value.to_ascii_uppercase().as_str()) {
            ("SIZE", digits) => match digits.parse() {
                Ok(bytes) => size = Some(bytes),
                Err(_) => return Command::Other("501 5.5.4 SIZE is a number"),
            },
            ("BODY", "8BITMIME" | "7BIT") => {}
            ("SMTPUTF8", "") => smtputf8 = true,
            _ => return Command::Other("555 5.5.4 no such parameter here"),
        }
    }
    Command::Mail { sender: sender.to_owned(), size, smtputf8 }
}

/// The address in its angle brackets and what follows them. A quoted local part may hold brackets of its own.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let head = rest.get(..keyword.len())?;
    let inner = rest.get(keyword.len()..)?.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inner.find(|c| {
        let ends = c == '>' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    head.eq_ignore_ascii_case(keyword).then(|| (&inner[..end], inner[end + 1..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_read_in_any_case_and_their_parameters_checked() {
        let mail = Command::parse("mail from:<a@b.example> SIZE=12 body=8bitmime SMTPUTF8");
        assert_eq!(mail, Command::Mail { sender: "a@b.example".into(), size: Some(12), smtputf8: true });
        assert_eq!(
            Command::parse("MAIL FROM:<>"),
            Command::Mail { sender: String::new(), size: None, smtputf8: false }
        );
        assert_eq!(Command::parse("RCPT TO:<\"a>b\"@c.example>"), Command::Rcpt("\"a>b\"@c.example".into()));
        assert_eq!(Command::parse("AUTH PLAIN abc"), Command::Auth("PLAIN".into(), Some("abc".into())));
        for wrong in [
            "MAIL FROM:a@b",
            "MAIL FROM:<a@b> X=1",
            "MAIL FROM:<a> SIZE=x",
            "RCPT TO:<>",
            "RCPT TO:<a@b> NOTIFY=NEVER",
            "EHLO",
            "X",
            "",
        ] {
            assert!(matches!(Command::parse(wrong), Command::Other(_)), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "(MAIL FROM:<|RCPT TO:<|AUTH |EHLO )?\\PC{0,60}") {
            Command::parse(&line);
        }
    }
}
