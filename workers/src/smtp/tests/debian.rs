//! The client against another sink than ours: `smtp-sink` of Debian's `postfix` package, when it is installed; `ops/test` installs it.

use super::*;
use crate::smtp::Pool;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

struct SmtpSink(Child);

impl Drop for SmtpSink {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Nothing when this machine has none. As root it must run as somebody else.
async fn start(port: u16, extra: &[&str]) -> Option<SmtpSink> {
    let binary = ["/usr/sbin/smtp-sink", "/usr/bin/smtp-sink"].into_iter().find(|path| Path::new(path).exists())?;
    let mut command = Command::new(binary);
    if rustix::process::geteuid().is_root() {
        command.args(["-u", "nobody"]);
    }
    command.args(extra).arg(format!("127.0.0.1:{port}")).arg("100");
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let sink = SmtpSink(child);
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Some(sink);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("smtp-sink does not listen");
}

/// A port that was free a moment ago.
async fn options() -> SmtpOptions {
    let (sink, _folder) = sink(SinkOptions::default()).await;
    let options = plain(&sink);
    sink.stop().await;
    options
}

#[tokio::test]
async fn debian_smtp_sink_takes_mails_from_a_pool() {
    let options = options().await;
    let Some(_sink) = start(options.port, &[]).await else { return println!("no smtp-sink here: skipped") };
    // One after the other each waits for its answers; at once each is opened behind the one before, which must not be slower,
    // as it is when an acknowledgement is put off.
    let begun = std::time::Instant::now();
    let pool = Pool::new(options.clone(), 1);
    for number in 0..200 {
        pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await.unwrap();
    }
    let alone = begun.elapsed();
    let (begun, pool) = (std::time::Instant::now(), Pool::new(options, 1));
    let sends = (0..200).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.send(&envelope("anna@x.example"), &message(&number.to_string())).await })
    });
    for sent in futures::future::join_all(sends).await {
        assert_eq!(sent.unwrap().unwrap().reply.code, 250);
    }
    let together = begun.elapsed();
    println!("200 mails, one after the other {alone:?}, at once {together:?}");
    assert!(together < alone * 3 + Duration::from_millis(500), "{together:?} against {alone:?}");
}

#[tokio::test]
async fn debian_smtp_sink_fails_at_each_stage_as_the_table_says() {
    for (extra, stage, kind, unknown) in [
        // Taken, and the connection closed without an answer: the case nobody can tell.
        (["-q", "."], Stage::Dot, Kind::Lost, true),
        (["-Q", "."], Stage::Dot, Kind::Refused, false),
        (["-r", "RCPT"], Stage::Rcpt, Kind::Refused, false),
        (["-f", "RCPT"], Stage::Rcpt, Kind::Refused, false),
        (["-f", "DATA"], Stage::Data, Kind::Refused, false),
        (["-q", "MAIL"], Stage::Mail, Kind::Lost, false),
        (["-f", "EHLO"], Stage::Ehlo, Kind::Refused, false),
    ] {
        let options = options().await;
        let Some(_sink) = start(options.port, &extra).await else { return println!("no smtp-sink here: skipped") };
        let failure = match open(options).await {
            Ok(mut connection) => connection.send(&envelope("anna@x.example"), &message("a")).await.unwrap_err(),
            Err(failure) => failure,
        };
        println!("{extra:?}: {failure}");
        assert_eq!(
            (failure.stage, failure.kind, permits(&failure).unknown),
            (stage, kind, unknown),
            "{extra:?} {failure}"
        );
    }
}

/// The sink against another client than ours: it counts what `smtp-source` sent.
#[tokio::test(flavor = "multi_thread")]
async fn debian_smtp_source_sends_to_our_sink() {
    let binary = ["/usr/sbin/smtp-source", "/usr/bin/smtp-source"].into_iter().find(|path| Path::new(path).exists());
    let Some(binary) = binary else { return println!("no smtp-source here: skipped") };
    let (sink, _folder) = sink(SinkOptions { keep: (0, 0), ..SinkOptions::default() }).await;
    let port = sink.address().port();
    let arguments = ["-s", "4", "-m", "300", "-l", "5000", "-f", "a@shop.example", "-t", "anna@x.example"];
    let begun = std::time::Instant::now();
    let mut command = tokio::process::Command::new(binary);
    let output = command.args(arguments).arg(format!("127.0.0.1:{port}")).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("300 mails of 5000 bytes, each in the ledger, in {:?}", begun.elapsed());
    let taken = sink.taken().unwrap();
    assert_eq!((taken.len(), sink.counts().violations), (300, 0));
    assert!(
        taken
            .iter()
            .all(|taken| taken.recipient == "anna@x.example" && taken.bytes > 5000 && !taken.message_id.is_empty())
    );
}
