//! Mails as they are composed, read back and verified by other implementations (mail-parser, mail-auth).

mod form;
mod signed;

use super::*;
use bus_schema::{Micros, TenantId};

/// 2026-11-22T02:50:00Z.
const AT: Micros = Micros(1_795_315_800_000_000);
const LINK: &str = "https://shop.example/leave?t=abc&l=news";

struct Desk {
    composer: Composer,
    token: Token,
    from: Mailbox,
    to: Mailbox,
    subject: HeaderText,
    unsubscribe: Unsubscribe,
    list: ListId,
    feedback: FeedbackId,
    html: String,
    text: String,
}

fn domain(name: &str) -> Domain {
    Domain::try_new(name).unwrap()
}

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox::new(HeaderText::try_new(name).unwrap(), MailAddress::try_new(address).unwrap())
}

fn token(recipient: &str) -> Token {
    IntentKey::new([7; 32]).token(&TenantId::try_new("acme").unwrap(), "spring", recipient, 0)
}

impl Desk {
    fn new() -> Self {
        let html = format!("<h1>Grüße</h1>\n<p>.dots and <a href=\"{}\">leave</a></p>\n", LINK.replace('&', "&amp;"));
        let text = format!("Grüße\n\n.dots\n.\nleave: {LINK}\nAcme, 1 Road, Town\n");
        Self {
            composer: Composer::new(domain("bounce.shop.example"), Limits::default(), None),
            token: token("r1"),
            from: mailbox("Acme, the \"Shop\"", "news@shop.example"),
            to: mailbox("Änne Ümläut", "anna@x.example"),
            subject: HeaderText::try_new("Spring sale: 50 % off — 春の大セール, only until Sunday, for everything")
                .unwrap(),
            unsubscribe: Unsubscribe::try_new("https://shop.example/u/abc", LINK, None).unwrap(),
            list: ListId::try_new("news", &domain("shop.example")).unwrap(),
            feedback: FeedbackId::try_new("spring", "acme", Class::Marketing, "millrace").unwrap(),
            html,
            text,
        }
    }

    fn marketing(&self) -> Letter<'_> {
        let purpose = Purpose::Marketing { unsubscribe: &self.unsubscribe, list: &self.list };
        Letter {
            token: &self.token,
            from: &self.from,
            to: &self.to,
            reply_to: None,
            subject: &self.subject,
            html: &self.html,
            text: Some(&self.text),
            purpose,
            feedback: Some(&self.feedback),
            automatic: false,
            headers: &[],
            at: AT,
        }
    }

    fn transactional(&self) -> Letter<'_> {
        Letter { purpose: Purpose::Transactional, automatic: true, ..self.marketing() }
    }

    fn compose(&self, letter: &Letter<'_>) -> String {
        String::from_utf8(self.composer.compose(letter).unwrap().message).unwrap()
    }
}

/// The value of a header of the first level, as it stands there.
fn header<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}
