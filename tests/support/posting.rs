//! Messages to one person through our own sink: requesting them, waiting for their end, reading what came.

use super::{Client, mailing};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use uuid::Uuid;
use workers::smtp::sink::{Kept, Sink};

/// The settings of a platform whose provider is a sink, with so many connections for messages.
pub(crate) fn outlet(sink: SocketAddr, connections: usize) -> Vec<(&'static str, String)> {
    let mut environment = mailing::outlet(sink, 2);
    environment.push(("MILLRACE_MAIL_MESSAGE_CONNECTIONS", connections.to_string()));
    environment
}

/// Requests a message in own words; gives its id.
pub(crate) async fn send(client: &Client, contact: Uuid, subject: &str) -> Uuid {
    let words = json!({"to": contact, "subject": subject, "html": "<p>Hello {{ name }}</p>"});
    client.make("/v1/messages", &words).await
}

/// Waits until a message is in a state; gives it.
pub(crate) async fn in_state(client: &Client, message: Uuid, state: &str, seconds: u64) -> Value {
    until(client, message, state, seconds, |shown| shown["state"] == state).await
}

/// Waits until a message is shown as it should be; gives it.
pub(crate) async fn until(
    client: &Client,
    message: Uuid,
    what: &str,
    seconds: u64,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let path = format!("/v1/messages/{message}");
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let shown = client.get(&path).send().await.json();
        if holds(&shown) {
            return shown;
        }
        assert!(Instant::now() < end, "not within {seconds} s: the message is {what}; it is {shown}");
    }
}

/// The mails a sink took for an address, oldest first.
pub(crate) fn mails(sink: &Sink, address: &str) -> Vec<Kept> {
    let mailbox = sink.mailbox();
    let numbers = mailbox.numbers().expect("messages");
    let kept = numbers.into_iter().filter_map(|number| mailbox.read(number).expect("a message"));
    let mut mails: Vec<Kept> =
        kept.filter(|kept| kept.envelope.iter().any(|taken| taken.recipient == address)).collect();
    mails.sort_by_key(|kept| kept.number);
    mails
}

/// A mail's text with its folded headers unfolded and its parts decoded from quoted-printable.
pub(crate) fn text(kept: &Kept) -> String {
    let raw = String::from_utf8_lossy(&kept.message).replace("\r\n ", " ").replace("\r\n\t", " ");
    let raw = raw.replace("=\r\n", "");
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| *first == b'=').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
