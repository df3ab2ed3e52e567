//! RFC 5322, MIME and the headers of lists.

use super::*;
use mail_parser::{HeaderForm, HeaderValue, MessageParser, MimeHeaders};
use proptest::prelude::*;

/// What holds for every message on the wire (checks 8, 9, 23, 25 to 27).
fn clean(message: &str) {
    for (at, byte) in message.bytes().enumerate() {
        assert!(byte != b'\n' || (at > 0 && message.as_bytes()[at - 1] == b'\r'), "a bare LF at {at}");
        assert!(byte != b'\r' || message.as_bytes().get(at + 1) == Some(&b'\n'), "a bare CR at {at}");
    }
    assert!(message.ends_with("\r\n"));
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    for line in head.split("\r\n") {
        // A URL cannot be folded.
        assert!(line.len() <= 78 || line.contains("https://"), "{line}");
        line.split_whitespace()
            .filter(|word| word.starts_with("=?"))
            .for_each(|word| assert!(word.len() <= 75, "{word}"));
    }
    body.split("\r\n").for_each(|line| assert!(line.len() <= 78, "{line}"));
}

#[test]
fn check_11_to_15_the_headers_stand_once_with_their_form() {
    let desk = Desk::new();
    for letter in [desk.marketing(), desk.transactional()] {
        let message = desk.compose(&letter);
        clean(&message);
        for name in ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"] {
            assert_eq!(header(&message, name).len(), 1, "{name}");
        }
        for name in ["Bcc", "Cc", "Sender", "Return-Path"] {
            assert!(header(&message, name).is_empty(), "{name}");
        }
        assert_eq!(header(&message, "MIME-Version"), ["1.0"]);
        // Check 14: a numeric zone.
        assert_eq!(header(&message, "Date"), ["Sun, 22 Nov 2026 02:50:00 +0000"]);
        assert_eq!(header(&message, "Message-ID"), [format!("<{}@shop.example>", desk.token)]);
        let parsed = MessageParser::new().parse(&message).unwrap();
        let from = parsed.from().unwrap().first().unwrap();
        assert_eq!((from.name(), from.address()), (Some("Acme, the \"Shop\""), Some("news@shop.example")));
        let to = parsed.to().unwrap().first().unwrap();
        assert_eq!((to.name(), to.address()), (Some("Änne Ümläut"), Some("anna@x.example")));
        assert_eq!(parsed.subject(), Some(desk.subject.as_str()));
        assert_eq!(parsed.date().unwrap().to_timestamp(), AT.0 / 1_000_000);
        assert_eq!(parsed.message_id(), Some(desk.token.message_id(&domain("shop.example")).as_str()));
    }
}

#[test]
fn check_15_the_same_letter_gives_the_same_bytes_and_each_recipient_its_own() {
    let desk = Desk::new();
    let one = desk.composer.compose(&desk.marketing()).unwrap();
    assert_eq!(one, desk.composer.compose(&desk.marketing()).unwrap());
    let other = desk.composer.compose(&Letter { token: &token("r2"), ..desk.marketing() }).unwrap();
    assert_ne!(one.envelope.sender, other.envelope.sender);
    let sender = one.envelope.sender.unwrap().to_string();
    // Check 3: the bounce address is the tenant's, and names the mail.
    assert_eq!(sender, format!("b-{}@bounce.shop.example", desk.token));
    assert_eq!(Token::found_in(&sender), Some(desk.token.clone()));
}

#[test]
fn check_17_and_18_nothing_in_a_name_breaks_out_of_its_header() {
    let desk = Desk::new();
    for name in ["<evil@x.example>", "a, b@c.example", "\\\"", "(comment", "=?utf-8?Q?x?=", "a@b", "Group: x;", "  "] {
        let to = mailbox(name, "anna@x.example");
        let message = desk.compose(&Letter { to: &to, ..desk.marketing() });
        clean(&message);
        let parsed = MessageParser::new().parse(&message).unwrap();
        let addresses: Vec<_> =
            parsed.to().unwrap().iter().map(|address| address.address().unwrap().to_owned()).collect();
        assert_eq!(addresses, ["anna@x.example"], "{name:?}");
        assert_eq!(parsed.headers().iter().filter(|header| header.name().eq_ignore_ascii_case("to")).count(), 1);
    }
}

#[test]
fn check_20_to_26_text_comes_first_and_both_parts_come_back() {
    let desk = Desk::new();
    let message = desk.compose(&desk.marketing());
    let parsed = MessageParser::new().parse(&message).unwrap();
    let kind = parsed.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("alternative")));
    let boundary = kind.attribute("boundary").unwrap();
    assert!(boundary.len() <= 70);
    assert_eq!(message.matches(boundary).count(), 4, "once in the header, two parts, one end");
    assert!(message.ends_with(&format!("--{boundary}--\r\n")));
    let kinds: Vec<_> = parsed.parts.iter().skip(1).map(|part| part.content_type().unwrap()).collect();
    assert_eq!(kinds.iter().map(|kind| kind.subtype().unwrap()).collect::<Vec<_>>(), ["plain", "html"]);
    assert!(kinds.iter().all(|kind| kind.attribute("charset") == Some("utf-8")));
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), desk.text);
    assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n"), desk.html);
    assert!(message.is_ascii(), "nothing needs 8BITMIME");
}

#[test]
fn check_21_the_plain_part_is_made_when_it_is_missing() {
    let desk = Desk::new();
    let message = desk.compose(&Letter { text: None, ..desk.marketing() });
    let parsed = MessageParser::new().parse(&message).unwrap();
    let text = parsed.body_text(0).unwrap();
    assert!(text.contains("Grüße") && text.contains(LINK), "{text}");
    for (html, text) in [("", Some("x")), ("<p>x</p>", Some(" \n ")), ("<img src=x>", None)] {
        assert!(desk.composer.compose(&Letter { html, text, ..desk.transactional() }).is_err(), "{html:?} {text:?}");
    }
}

#[test]
fn check_29_a_name_beyond_ascii_asks_for_smtputf8() {
    let desk = Desk::new();
    let to = mailbox("Jörg", "jörg@bücher.example");
    let composed = desk.composer.compose(&Letter { to: &to, ..desk.marketing() }).unwrap();
    assert!(composed.envelope.recipient.needs_smtputf8());
    let message = String::from_utf8(composed.message).unwrap();
    assert!(message.contains("<jörg@xn--bcher-kva.example>"), "{message}");
    let from = mailbox("Jörg", "jörg@shop.example");
    let refused = desk.composer.compose(&Letter { from: &from, ..desk.marketing() });
    assert_eq!(refused, Err(ComposeError::SenderBeyondAscii));
}

#[test]
fn check_30_sizes_are_told_and_bounded() {
    let mut desk = Desk::new();
    assert_eq!(desk.composer.compose(&desk.marketing()).unwrap().warnings, []);
    desk.html += &"<p>more</p>\n".repeat(9_000);
    let bytes = desk.html.len();
    let composed = desk.composer.compose(&desk.marketing()).unwrap();
    assert_eq!(composed.warnings, [Warning::HtmlIsCut { bytes, limit: 102_000 }]);
    let small = Composer::new(domain("bounce.shop.example"), Limits { total: 100_000, ..Limits::default() }, None);
    assert_eq!(small.compose(&desk.marketing()), Err(ComposeError::TooLarge { limit: 100_000 }));
    // Over the limit only once it is encoded.
    let html = "ü".repeat(40_000);
    assert_eq!(
        small.compose(&Letter { html: &html, ..desk.transactional() }),
        Err(ComposeError::TooLarge { limit: 100_000 })
    );
}

#[test]
fn check_38_39_43_44_marketing_says_how_to_leave() {
    let mut desk = Desk::new();
    let message = desk.compose(&desk.marketing());
    assert_eq!(header(&message, "List-Unsubscribe"), ["<https://shop.example/u/abc>"]);
    assert_eq!(header(&message, "List-Unsubscribe-Post"), ["List-Unsubscribe=One-Click"]);
    assert_eq!(header(&message, "List-Id"), ["<news.shop.example>"]);
    assert_eq!(header(&message, "Feedback-ID"), ["spring:acme:marketing:millrace"]);
    let mail = Some(MailAddress::try_new("leave@shop.example").unwrap());
    desk.unsubscribe = Unsubscribe::try_new("https://shop.example/u/abc", LINK, mail).unwrap();
    let message = desk.compose(&desk.marketing());
    let parsed = MessageParser::new().parse(&message).unwrap();
    let HeaderValue::Address(uris) = parsed.header("List-Unsubscribe").unwrap() else { panic!("no list of addresses") };
    let uris: Vec<_> = uris.iter().filter_map(|uri| uri.address()).collect();
    assert_eq!(uris, ["https://shop.example/u/abc", "mailto:leave@shop.example?subject=unsubscribe"]);
}

#[test]
fn check_45_and_46_the_class_rules_hold() {
    let desk = Desk::new();
    let message = desk.compose(&desk.transactional());
    for name in ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"] {
        assert!(header(&message, name).is_empty(), "{name}");
    }
    for (html, text) in [("<p>no link</p>", &desk.text[..]), (&desk.html[..], "no link")] {
        let refused = desk.composer.compose(&Letter { html, text: Some(text), ..desk.marketing() });
        assert_eq!(refused, Err(ComposeError::UnsubscribeNotVisible));
        assert!(desk.composer.compose(&Letter { html, text: Some(text), ..desk.transactional() }).is_ok());
    }
    assert_eq!(
        (desk.marketing().purpose.class(), desk.transactional().purpose.class()),
        (Class::Marketing, Class::Transactional)
    );
}

#[test]
fn check_47_automatic_mail_says_so_and_custom_headers_are_kept() {
    let desk = Desk::new();
    let custom = [(HeaderName::try_new("X-Order").unwrap(), HeaderText::try_new("Nr. 7 für Änne").unwrap())];
    let reply_to = mailbox("", "help@shop.example");
    let message = desk.compose(&Letter { headers: &custom, reply_to: Some(&reply_to), ..desk.transactional() });
    clean(&message);
    assert_eq!(header(&message, "Auto-Submitted"), ["auto-generated"]);
    assert_eq!(header(&message, "Reply-To"), ["<help@shop.example>"]);
    assert!(header(&desk.compose(&desk.marketing()), "Auto-Submitted").is_empty());
    let parsed = MessageParser::new().parse(&message).unwrap();
    assert_eq!(parsed.header_as("X-Order", HeaderForm::Text)[0].as_text(), Some("Nr. 7 für Änne"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever an author and a contact's data hold: the mail is clean, and reads back as it was written.
    #[test]
    fn any_content_comes_back(
        subject in "\\PC{0,60}", name in "[ -~é世\"\\\\<>@,;:]{0,30}",
        lines in prop::collection::vec("[.]{0,2}[ -~é世\t]{0,120}[ \t]{0,2}", 1..12), carriage: bool) {
        let desk = Desk::new();
        let Ok(subject) = HeaderText::try_new(&subject) else { return Ok(()) };
        let end = if carriage { "\r\n" } else { "\n" };
        let body = format!("x{}{end}", lines.join(end));
        let to = mailbox(&name, "anna@x.example");
        let letter = Letter { subject: &subject, to: &to, html: &body, text: Some(&body), ..desk.transactional() };
        let message = desk.compose(&letter);
        clean(&message);
        let parsed = MessageParser::new().parse(&message).unwrap();
        let expected = body.replace("\r\n", "\n");
        prop_assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), &expected[..]);
        prop_assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n"), &expected[..]);
        prop_assert_eq!(parsed.to().unwrap().first().unwrap().address(), Some("anna@x.example"));
        let told: String = parsed.subject().unwrap_or_default().split_whitespace().collect();
        prop_assert_eq!(told, subject.as_str().split_whitespace().collect::<String>());
    }
}
