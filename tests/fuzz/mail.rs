//! What comes back about mails, and the links in them.

use super::mutate::run;
use bus_schema::{
    TenantId,
    keys::TenantKey,
    mail::response::{MailRef, Seat},
};
use uuid::Uuid;
use workers::mail::{Domain, IntentKey, ReturnAddress, Verp, feedback::report, links};
use writers::mail::tracking::{TrackedMail, is_target, label};

const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"--b1\r\n",
    b"--b1--\r\n",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b1\r\n",
    b"Content-Type: multipart/mixed; boundary=\"b1\"\r\n",
    b"Content-Type: message/delivery-status\r\n\r\n",
    b"Content-Type: message/feedback-report\r\n\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Action: failed\r\n",
    b"Status: 5.1.1\r\n",
    b"Feedback-Type: abuse\r\n",
    b"X-Millrace-Mail: ",
    b"X-Failed-Recipients: a\r\n",
    b"=?utf-8?q?",
    b"\x80\xff",
    b"\0",
];

fn verp() -> Verp {
    let token = IntentKey::new([7; 32]).token(&TenantId::try_new("acme").expect("a name"), "spring", "r1", 0);
    Verp::of(&token, Uuid::from_u128(9), Seat { chunk: 1, index: 2 }).expect("a place")
}

#[test]
fn reports() {
    let to = verp().address(&Domain::try_new("bounce.shop.example").expect("a domain"));
    let dsn = format!(
        "From: <>\r\nTo: {to}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; \
         boundary=b1\r\n\r\n--b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nAction: failed\r\n\
         Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 x\r\n\r\n--b1\r\nContent-Type: message/rfc822\r\n\r\nX-Millrace-Mail: \
         {}\r\n\r\nx\r\n--b1--\r\n",
        verp()
    );
    let arf = dsn.replace("delivery-status", "feedback-report").replace("Action: failed", "Feedback-Type: abuse");
    let exim = format!("To: {to}\r\nX-Failed-Recipients: a@b.example\r\n\r\n550 5.1.1 unknown\r\n");
    run("reports about mails", &[dsn.as_bytes(), arf.as_bytes(), exim.as_bytes()], WORDS, |input| {
        let report = report::read(input);
        assert!(report.said != report::Said::Nothing || report.mails.is_empty(), "nothing is said of no mail");
        if let report::Said::Bounced { status: Some(status), .. } = &report.said {
            assert!(writers::mail::feedback::is_status(status), "{status:?}");
        }
        report.said != report::Said::Nothing
    });
}

#[test]
fn addresses_of_bounces() {
    let to = verp().address(&Domain::try_new("bounce.shop.example").expect("a domain")).to_string();
    let words: [&[u8]; 6] = [b"b-", b"@", b"<", b">", b"aaaaaaaa", "ä".as_bytes()];
    run("addresses of bounces", &[to.as_bytes(), b"b-x@y.example"], &words, |input| {
        let text = String::from_utf8_lossy(input);
        let all = ReturnAddress::all_in(&text);
        all.iter().for_each(|found| assert_eq!(ReturnAddress::all_in(&found.to_string()), [*found]));
        ReturnAddress::of_address(&text).is_some()
    });
}

#[test]
fn links_of_mails() {
    let html: &[u8] =
        b"<body><!--[if mso]><v:rect href='https://a.example'><![endif]--><a class=x href=\"https://x.example/?a&amp;\
        b\">y</a><style><a href=x></style><a href=https://z.example data-no-track></a></body>";
    let words: [&[u8]; 16] = [
        b"<a href=\"",
        b"<",
        b">",
        b"\"",
        b"'",
        b"=",
        b"&",
        b"&amp;",
        b"&#x26;",
        b"<!--",
        b"<!--[if",
        b"-->",
        b"</style",
        b"<style>",
        b"https://",
        b"data-no-track",
    ];
    run("links of mails", &[html, b"See (https://x.example/a)."], &words, |input| {
        let text = String::from_utf8_lossy(input);
        assert_eq!(links::in_html(&text, |_| None), text, "nothing changes by itself");
        assert_eq!(links::in_text(&text, |_| None), text);
        let mut found = 0;
        links::in_html(&text, |_| {
            found += 1;
            Some("https://y.example/?a&b\"'<>".to_owned())
        });
        links::in_text(&text, |_| Some("x".to_owned()));
        found > 0
    });
}

#[test]
fn tokens_of_links() {
    let mail = MailRef { campaign: Uuid::from_u128(1), contact: Uuid::from_u128(2), seat: None, generation: 0 };
    let mail = TrackedMail { tenant: TenantId::try_new("acme").expect("a name"), mail };
    let key = TenantKey::fixed([1; 32]);
    let link = mail.link(&key, 7, "https://x.example/?a=b#c").expect("a target");
    let words: [&[u8]; 4] = [b"A", b"_", b"-", b"AQRhY21l"];
    run("tokens of links", &[link.as_bytes(), mail.pixel(&key).as_bytes()], &words, |input| {
        let text = String::from_utf8_lossy(input);
        _ = label(&text);
        let Some(unproven) = TrackedMail::read(&text) else { return false };
        let proven = unproven.proven(&key).is_some();
        assert!(!proven || [&link, &mail.pixel(&key)].contains(&&text.to_string()), "only what was made is proven");
        assert!(!is_target("javascript:x"));
        true
    });
}

#[test]
fn messages_of_sns() {
    use workers::mail::sns::{Envelope, read_event};
    let notification =
        br#"{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"{}",
        "Timestamp":"2026-01-01T00:00:00Z","SignatureVersion":"2","Signature":"AAAA","Token":"t",
        "SigningCertURL":"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        "SubscribeURL":"https://sns.eu-west-1.amazonaws.com/?a"}"#;
    let event = format!(
        "{{\"eventType\":\"Bounce\",\"bounce\":{{\"bounceType\":\"Permanent\",\"bouncedRecipients\":[{{\"status\":\"5.1.1\"}}]}},\
         \"mail\":{{\"tags\":{{\"intent\":[\"{}\"]}}}}}}",
        verp()
    );
    let words: [&[u8]; 8] = [b"\"", b"{", b"}", b"..", b"/", b"@", b"\\u0000", b"https://evil.example"];
    run("messages of SNS", &[&notification[..], event.as_bytes()], &words, |input| {
        let event = read_event(&String::from_utf8_lossy(input)).is_some();
        let Ok(envelope) = Envelope::read(input) else { return event };
        _ = envelope.signed_text();
        if let Ok((host, path)) = envelope.subscribe_url() {
            assert!(host.starts_with("sns.") && path.starts_with("/?"), "{host} {path}");
        }
        if let Ok(path) = envelope.certificate_path() {
            assert!(path.starts_with("/SimpleNotificationService-") && !path.contains(".."), "{path}");
        }
        true
    });
}
