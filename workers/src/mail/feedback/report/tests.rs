//! Reports as mail servers of several kinds write them; every one of these was written for these tests.

use super::*;
use crate::mail::{Domain, IntentKey, Verp};
use bus_schema::{TenantId, mail::response::Seat};
use uuid::Uuid;

fn verp() -> ReturnAddress {
    let token = IntentKey::new([7; 32]).token(&TenantId::try_new("acme").unwrap(), "spring", "r1", 0);
    Verp::of(&token, Uuid::from_u128(9), Seat { chunk: 1, index: 2 }).unwrap().into()
}

fn address() -> String {
    verp().address(&Domain::try_new("bounce.shop.example").unwrap()).to_string()
}

/// A report of delivery with these fields for its recipient.
fn dsn(to: &str, recipient: &str, returned: &str) -> Vec<u8> {
    format!(
        "Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example>\r\nTo: {to}\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"b1\"\r\n\r\n\
         This is a MIME-encapsulated message.\r\n\r\n--b1\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         I'm sorry to have to inform you.\r\n\r\n--b1\r\nContent-Description: Delivery report\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\
         Arrival-Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n\r\n{recipient}\r\n\r\n--b1\r\n{returned}\r\n--b1--\r\n"
    )
    .into_bytes()
}

fn returned() -> String {
    format!(
        "Content-Type: text/rfc822-headers\r\n\r\nReturn-Path: <{}>\r\nFrom: Garden <news@shop.example>\r\n\
         To: ada@x.example\r\nSubject: Spring\r\n{MAIL_HEADER}: {}\r\n",
        address(),
        verp()
    )
}

fn said(recipient: &str) -> Said {
    read(&dsn(&address(), recipient, &returned())).said
}

fn bounced(kind: BounceKind, status: &str) -> Said {
    Said::Bounced { kind, status: Some(status.into()) }
}

#[test]
fn check_54_statuses_of_several_servers_are_read() {
    use BounceKind::{Permanent, Transient, Undetermined};
    let table = [
        // In the manner of Postfix.
        (
            "Final-Recipient: rfc822; ada@x.example\r\nOriginal-Recipient: rfc822;ada@x.example\r\nAction: failed\r\n\
             Status: 5.1.1\r\nRemote-MTA: dns; mx.x.example\r\nDiagnostic-Code: smtp; 550 5.1.1 <ada@x.example>: unknown",
            bounced(Permanent, "5.1.1"),
        ),
        // In the manner of Exchange: the detail is in the answer.
        (
            "Final-Recipient: rfc822;ada@x.example\r\nAction: failed\r\nStatus: 5.0.0\r\n\
             Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found",
            bounced(Permanent, "5.1.10"),
        ),
        // In the manner of Exim: `Action` in its own way, the status is the class only.
        (
            "Action: failed\r\nFinal-Recipient: rfc822;ada@x.example\r\nStatus: 5.0.0\r\nRemote-MTA: dns; mx.x.example\r\n\
             Diagnostic-Code: smtp; 550 no such person here",
            bounced(Undetermined, "5.0.0"),
        ),
        // In the manner of Sendmail: folded, given up after five days.
        (
            "Final-Recipient: RFC822; ada@x.example\r\nAction: failed\r\nStatus: 4.4.7\r\nDiagnostic-Code: SMTP; 451\r\n\
             \t4.7.1 come again\r\nLast-Attempt-Date: Sun, 22 Nov 2026 10:00:00 GMT",
            bounced(Transient, "4.4.7"),
        ),
        ("Action: failed (bad destination mailbox)\r\nStatus: 5.2.2 (mailbox full)", bounced(Transient, "5.2.2")),
        (
            "Action: Failed\r\nStatus: 5.7.1\r\nDiagnostic-Code: smtp; 554 5.7.1 looks like spam",
            bounced(Undetermined, "5.7.1"),
        ),
        ("Action: failed\r\nStatus: 5.4.4", bounced(Permanent, "5.4.4")),
        // Two recipients: the gravest counts.
        ("Action: failed\r\nStatus: 4.2.2\r\n\r\nAction: failed\r\nStatus: 5.1.2", bounced(Permanent, "5.1.2")),
        ("Action: failed", Said::Bounced { kind: Undetermined, status: None }),
        ("Action: delivered\r\nStatus: 2.1.5", Said::Delivered),
        ("Action: delayed\r\nStatus: 4.4.1\r\nWill-Retry-Until: Wed, 25 Nov 2026 10:00:00 +0000", Said::Nothing),
        ("Action: relayed\r\nStatus: 2.1.9", Said::Nothing),
        ("Action: expanded\r\nStatus: 2.1.5", Said::Nothing),
        ("", Said::Nothing),
    ];
    for (recipient, expected) in table {
        assert_eq!(said(recipient), expected, "{recipient}");
    }
}

#[test]
fn check_54_a_report_names_the_mail_by_its_address_or_by_what_came_back() {
    let failed = "Action: failed\r\nStatus: 5.1.1";
    assert_eq!(read(&dsn(&address(), failed, "Content-Type: text/plain\r\n\r\nnothing")).mails, [verp()]);
    assert_eq!(read(&dsn("postmaster@shop.example", failed, &returned())).mails, [verp()]);
    let whole = format!(
        "Content-Type: message/rfc822\r\n\r\nFrom: a@shop.example\r\n{MAIL_HEADER}: {}\r\nSubject: x\r\n\r\nHello",
        verp().to_string().to_uppercase()
    );
    assert_eq!(read(&dsn("postmaster@shop.example", failed, &whole)).mails, [verp()]);
    assert_eq!(read(&dsn("postmaster@shop.example", failed, "Content-Type: text/plain\r\n\r\nx")).mails, []);
}

#[test]
fn check_54_forms_older_than_the_rfc_are_read() {
    let exim = format!(
        "From: Mail Delivery System <Mailer-Daemon@mx.example>\r\nTo: {}\r\nX-Failed-Recipients: ada@x.example\r\n\
         Subject: Mail delivery failed\r\n\r\nA message that you sent could not be delivered:\r\n\r\n  ada@x.example\r\n    \
         host mx.x.example: 550 5.1.1 unknown user\r\n",
        address()
    );
    let read_exim = read(exim.as_bytes());
    assert_eq!((read_exim.said, read_exim.mails), (bounced(BounceKind::Permanent, "5.1.1"), vec![verp()]));
    let qmail = "From: MAILER-DAEMON@mx.example\r\nTo: a@shop.example\r\nSubject: failure notice\r\n\r\nHi. This is the \
                 qmail-send program at mx.example.\r\nI'm afraid I wasn't able to deliver your message. This is a permanent \
                 error; I've given up.\r\n\r\n<ada@x.example>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n--- \
                 Below this line is a copy of the message.\r\n\r\nReturn-Path: <";
    let qmail = format!("{qmail}{}>\r\nSubject: Spring\r\n", address());
    let read_qmail = read(qmail.as_bytes());
    assert_eq!((read_qmail.said, read_qmail.mails), (bounced(BounceKind::Permanent, "5.1.1"), vec![verp()]));
}

/// A report of a mailbox with these fields.
fn arf(fields: &str) -> Report {
    let report = format!(
        "From: <fbl@mailbox.example>\r\nTo: <fbl@shop.example>\r\nSubject: FW: Spring\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b2\"\r\n\r\n--b2\r\n\
         Content-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n\r\n--b2\r\n\
         Content-Type: message/feedback-report\r\n\r\n{fields}\r\nUser-Agent: Mailbox/1.0\r\nVersion: 1\r\n\r\n--b2\r\n\
         Content-Type: message/rfc822\r\n\r\nFrom: <news@shop.example>\r\nTo: <redacted>\r\n{MAIL_HEADER}: {}\r\n\
         Subject: Spring\r\n\r\nHello\r\n--b2--\r\n",
        verp()
    );
    read(report.as_bytes())
}

#[test]
fn check_55_complaints_are_read_without_the_address() {
    let complained = |kind: &str| Said::Complained { kind: kind.into() };
    for (kind, expected) in [
        ("abuse", complained("abuse")),
        ("Fraud", complained("fraud")),
        ("other", complained("other")),
        ("opt-out", complained("opt-out")),
        ("not-spam", Said::NotSpam),
        ("virus", Said::Nothing),
        ("auth-failure", Said::Nothing),
        ("", Said::Nothing),
    ] {
        let report = arf(&format!("Feedback-Type: {kind}"));
        assert_eq!(report.said, expected, "{kind}");
        assert!(report.said == Said::Nothing || report.mails == [verp()], "{report:?}");
    }
    let only_sender = arf(&format!("Feedback-Type: abuse\r\nOriginal-Mail-From: <{}>", address()));
    assert_eq!(only_sender.mails, [verp()]);
}

#[test]
fn check_54_what_is_no_report_says_nothing() {
    let mail = |headers: &str, body: &str| {
        let to = address();
        format!("From: ada@x.example\r\nTo: {to}\r\nMIME-Version: 1.0\r\n{headers}\r\n\r\n{body}\r\n").into_bytes()
    };
    let disposition = "Content-Type: multipart/report; report-type=disposition-notification; boundary=b3";
    let read_receipt =
        "--b3\r\nContent-Type: message/disposition-notification\r\n\r\nDisposition: manual-action; displayed\r\n--b3--";
    for (headers, body) in [
        ("Auto-Submitted: auto-replied\r\nSubject: Out of office", "I am away until 5.1.2027. Status: 5.1.1"),
        ("X-Autoreply: yes\r\nPrecedence: auto_reply\r\nSubject: Holidays", "550 5.1.1 is not what this is"),
        (
            "Subject: Please confirm that you are a person",
            "Follow https://challenge.example/ to have your mail delivered",
        ),
        ("Subject: Re: Spring", "Thank you! Action: failed\r\nStatus: 5.1.1"),
        (disposition, read_receipt),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=b4", "--b4\r\n\r\nno status\r\n--b4--"),
        ("Subject: Undeliverable", "Your message to ada@x.example could not be delivered."),
    ] {
        assert_eq!(read(&mail(headers, body)).said, Said::Nothing, "{headers}");
    }
    for nothing in [&b""[..], b"\r\n\r\n", b"\xff\xfe", &b"a".repeat(MAX_MESSAGE + 5)] {
        assert_eq!(read(nothing), Report::nothing());
    }
}
