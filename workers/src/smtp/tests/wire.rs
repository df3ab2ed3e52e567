//! What goes over the wire, and that it comes out the same.

use super::*;
use proptest::prelude::*;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

#[tokio::test]
async fn commands_go_together_only_where_pipelining_is_offered() {
    for pipelining in [true, false] {
        let (sink, _folder) = sink(SinkOptions { pipelining, ..SinkOptions::default() }).await;
        let mut connection = open(plain(&sink)).await.unwrap();
        let accepted = connection.send(&envelope("anna@x.example"), &message("a")).await.unwrap();
        assert_eq!(accepted.provider_id.as_deref(), Some("1"));
        assert_eq!(accepted.reply.code, 250);
        connection.quit().await;
        let plus = if pipelining { "+" } else { "" };
        let size = message("a").len();
        let expected = [
            "EHLO worker.millrace.example".to_owned(),
            format!("MAIL FROM:<b-token@bounce.shop.example> SIZE={size}"),
            format!("{plus}RCPT TO:<anna@x.example>"),
            format!("{plus}DATA"),
            "QUIT".to_owned(),
        ];
        assert_eq!(commands(&sink), expected);
        assert_eq!(sink.counts().violations, 0);
        let taken = sink.taken().unwrap();
        assert_eq!((taken[0].message_id.as_str(), taken[0].recipient.as_str()), ("a@shop.example", "anna@x.example"));
        assert_eq!(sink.mailbox().read(1).unwrap().unwrap().message, message("a"));
    }
}

#[tokio::test]
async fn after_a_refusal_the_connection_sends_the_next_mail() {
    for pipelining in [true, false] {
        for point in [Point::Mail, Point::Rcpt, Point::Data, Point::Dot] {
            // By chance, so that both ways are met on one connection.
            let faults = Faults::new(
                3,
                vec![crate::smtp::sink::Fault { at: point, percent: 50.0, act: say("550 5.1.1 nobody") }],
            );
            let (sink, _folder) = sink(SinkOptions { faults, pipelining, ..SinkOptions::default() }).await;
            let mut connection = open(plain(&sink)).await.unwrap();
            let mut sent = Vec::new();
            // A refused command does not count as a mail at the sink, so its chance stays the same until a mail passed.
            for number in 0..40 {
                let id = format!("{number}@shop.example");
                match connection.send(&envelope("anna@x.example"), &message(&number.to_string())).await {
                    Ok(_) => sent.push(id),
                    Err(failure) => {
                        assert_eq!((failure.kind, connection.is_broken()), (Kind::Refused, false), "{failure}")
                    }
                }
            }
            let taken: Vec<String> = sink.taken().unwrap().into_iter().map(|taken| taken.message_id).collect();
            assert_eq!(taken, sent, "{point:?} {pipelining}");
            assert_eq!(sink.counts().violations, 0, "{:?}", sink.transcript());
            assert_eq!(sink.counts().connections, 1);
            assert!(sent.len() < 40, "{point:?}: nothing was refused");
        }
    }
}

#[tokio::test]
async fn check_6_extensions_are_used_only_when_needed_and_offered() {
    let utf8 = "Subject: grüße\r\n\r\nbody\r\n".as_bytes();
    let eight = "Subject: a\r\n\r\ngrüße\r\n".as_bytes();
    let (full, _folder) = sink(SinkOptions::default()).await;
    let mut connection = open(plain(&full)).await.unwrap();
    connection.send(&envelope("anna@x.example"), eight).await.unwrap();
    connection.send(&envelope("anna@x.example"), utf8).await.unwrap();
    connection.send(&envelope("jörg@bücher.example"), &message("a")).await.unwrap();
    connection.send(&Envelope { sender: None, ..envelope("anna@x.example") }, &message("a")).await.unwrap();
    let said = commands(&full);
    let mails: Vec<&String> = said.iter().filter(|command| command.starts_with("MAIL")).collect();
    assert!(mails[0].ends_with(" BODY=8BITMIME") && mails[1].ends_with(" BODY=8BITMIME SMTPUTF8"), "{mails:?}");
    assert!(mails[2].ends_with(" SMTPUTF8") && mails[3].starts_with("MAIL FROM:<> SIZE="), "{mails:?}");
    assert!(said.contains(&"+RCPT TO:<jörg@xn--bcher-kva.example>".to_owned()), "{said:?}");

    let (old, _folder) =
        sink(SinkOptions { smtputf8: false, eight_bit: false, message_bytes: 100, ..SinkOptions::default() }).await;
    let mut connection = open(plain(&old)).await.unwrap();
    let long = [message("a"), b"x\r\n".repeat(100)].concat();
    for (recipient, message, kind) in [
        ("jörg@x.example", &message("a")[..], Kind::NotOffered),
        ("anna@x.example", utf8, Kind::NotOffered),
        ("anna@x.example", eight, Kind::NotOffered),
        ("anna@x.example", &long, Kind::NotOffered),
        ("anna@x.example", b"bare\nline", Kind::Unfit),
    ] {
        let failure = connection.send(&envelope(recipient), message).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Message, kind), "{failure}");
    }
    nothing_was_sent(&old);
    connection.send(&envelope("anna@x.example"), &message("fits")).await.unwrap();
}

/// A provider that says these lines, one for each line it hears.
async fn scripted(lines: &'static [&'static str]) -> (SmtpOptions, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sink, _folder) = sink(SinkOptions::default()).await;
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut reader, mut heard) = (BufReader::new(read), Vec::new());
        for line in lines {
            write.write_all(line.as_bytes()).await.unwrap();
            let mut command = String::new();
            if reader.read_line(&mut command).await.unwrap_or(0) == 0 {
                break;
            }
            heard.push(command.trim_end().to_owned());
        }
        let mut rest = String::new();
        while reader.read_line(&mut rest).await.unwrap_or(0) > 0 {}
        heard.extend(rest.lines().map(str::to_owned));
        heard
    });
    (SmtpOptions { port, ..plain(&sink) }, heard)
}

#[tokio::test]
async fn a_provider_that_wants_a_message_without_a_recipient_gets_none() {
    let (options, heard) = scripted(&[
        "220 hello\r\n",
        "250-hello\r\n250 PIPELINING\r\n",
        "250 ok\r\n",
        "550 5.1.1 nobody\r\n",
        "354 go on\r\n",
    ])
    .await;
    let mut connection = open(options).await.unwrap();
    let failure = connection.send(&envelope("anna@x.example"), &message("a")).await.unwrap_err();
    assert_eq!((failure.stage, failure.kind), (Stage::Rcpt, Kind::Refused));
    assert!(connection.is_broken());
    drop(connection);
    assert_eq!(heard.await.unwrap().last().unwrap(), "DATA", "no dot, which would send an empty mail");
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    for (greeting, kind) in [
        ("HTTP/1.1 400 Bad Request\r\n", Kind::Malformed),
        ("220 a\n", Kind::Malformed),
        ("554 go away\r\n", Kind::Refused),
    ] {
        let (options, _heard) = scripted(match greeting.as_bytes()[0] {
            b'H' => &["HTTP/1.1 400 Bad Request\r\n"],
            b'2' => &["220 a\n"],
            _ => &["554 go away\r\n"],
        })
        .await;
        let failure = open(options).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (Stage::Greeting, kind), "{greeting:?} {failure}");
    }
    // After the dot, an answer that is no answer leaves the mail unknown.
    let (options, _heard) =
        scripted(&["220 a\r\n", "250 a\r\n", "250 b\r\n", "250 c\r\n", "354 d\r\n", "354 what\r\n"]).await;
    let failure = open(options).await.unwrap().send(&envelope("anna@x.example"), b"x\r\n").await.unwrap_err();
    assert_eq!((failure.stage, failure.kind, permits(&failure).unknown), (Stage::Dot, Kind::Malformed, true));
}

#[tokio::test]
async fn a_send_that_is_dropped_breaks_its_connection() {
    let (sink, _folder) = faulty(Faults::always(Point::Dot, Act::Wait(Duration::from_secs(3600)))).await;
    let mut connection = open(plain(&sink)).await.unwrap();
    let message = message("a");
    let envelope = envelope("anna@x.example");
    tokio::time::timeout(Duration::from_millis(100), connection.send(&envelope, &message)).await.unwrap_err();
    assert!(connection.is_broken());
    assert_eq!(connection.send(&envelope, &message).await.unwrap_err().stage, Stage::Connect);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Nonsense from a client ends its connection at most; the next client is served.
    #[test]
    fn any_bytes_leave_the_sink_standing(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"EHLO x\r\n".to_vec()), Just(b"MAIL FROM:<a@b.example>\r\n".to_vec()), Just(b"RCPT TO:<a@b.example>\r\n".to_vec()),
            Just(b"DATA\r\n".to_vec()), Just(b"\r\n.\r\n".to_vec()), Just(b"AUTH PLAIN\r\n".to_vec()), Just(b"STARTTLS\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..200)], 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sink, _folder) = sink(SinkOptions { message_bytes: 500, ..SinkOptions::default() }).await;
            let mut stream = tokio::net::TcpStream::connect(sink.address()).await.unwrap();
            // It may close before everything is written.
            _ = stream.write_all(&pieces.concat()).await;
            _ = stream.shutdown().await;
            _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            open(plain(&sink)).await.unwrap().send(&envelope("anna@x.example"), &message("a")).await.unwrap();
        });
    }

    /// Messages of any lines come out of a real connection as they went in, dots and all.
    #[test]
    fn check_8_messages_round_trip(
        messages in prop::collection::vec(prop::collection::vec("[.]{0,2}[ -~é]{0,70}", 1..60), 1..6), pipelining: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sink, _folder) = sink(SinkOptions { pipelining, ..SinkOptions::default() }).await;
            let mut connection = open(plain(&sink)).await.unwrap();
            for (number, lines) in messages.iter().enumerate() {
                let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                connection.send(&envelope("anna@x.example"), message.as_bytes()).await.unwrap();
                let kept = sink.mailbox().read(number as u64 + 1).unwrap().unwrap();
                assert_eq!(String::from_utf8(kept.message).unwrap(), message);
            }
            assert_eq!(sink.counts().violations, 0);
        });
    }
}
