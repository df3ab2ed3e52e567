use super::*;
use axum::body::{Body, to_bytes};
use tower::ServiceExt;
use workers::smtp::sink::{Sink, SinkOptions};

const MAIL: &str = "From: Ada <ada@demo.example>\r\nTo: bob@x.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= <b>\r\n\
    X-Trick: <script>alert(1)</script>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nplain <i>text\r\n--b\r\nContent-Type: text/html\r\n\r\n\
    <p>Hello</p><script>alert(2)</script><img src=\"https://x.example/pixel.gif\">\r\n--b--\r\n";

/// Hands a mail to a sink as any program would.
async fn deliver(to: SocketAddr, receiver: &str, message: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let mut answer = vec![0; 1024];
    let dialogue = [
        String::new(),
        "EHLO a.example\r\n".into(),
        "MAIL FROM:<ada@demo.example>\r\n".into(),
        format!("RCPT TO:<{receiver}>\r\n"),
        "DATA\r\n".into(),
        format!("{message}.\r\n"),
        "QUIT\r\n".into(),
    ];
    for line in dialogue {
        stream.write_all(line.as_bytes()).await.unwrap();
        let read = stream.read(&mut answer).await.unwrap();
        assert!(matches!(answer[0], b'2' | b'3'), "{line}: {}", String::from_utf8_lossy(&answer[..read]));
    }
}

async fn ask(router: &Router, request: axum::http::request::Builder) -> (StatusCode, HeaderMap, String) {
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, String::from_utf8_lossy(&body).into_owned())
}

fn from(path: &str) -> axum::http::request::Builder {
    Request::get(path).header("host", "127.0.0.1:8025")
}

#[tokio::test]
async fn mails_are_listed_searched_shown_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path(), SinkOptions::default()).await.unwrap();
    let router = router(sink.mailbox());
    assert!(ask(&router, from("/")).await.2.contains("No mails yet"));
    deliver(sink.address(), "bob@x.example", MAIL).await;
    deliver(sink.address(), "eve@x.example", "Subject: second\r\n\r\nonly text\r\n").await;
    let (_, _, all) = ask(&router, from("/")).await;
    let (second, first) = (all.find("second").unwrap(), all.find("Grüße &lt;b&gt;").unwrap());
    assert!(second < first, "newest first: {all}");
    let (_, _, bobs) = ask(&router, from("/?to=BOB")).await;
    assert!(bobs.contains("bob@x.example") && !bobs.contains("eve@x.example"));
    assert!(ask(&router, from("/?to=%3Cscript%3E")).await.2.contains("value=\"&lt;script&gt;\""));

    let (status, _, shown) = ask(&router, from("/mails/1")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(shown.contains("plain &lt;i&gt;text") && shown.contains("&lt;script&gt;alert(1)"), "{shown}");
    assert!(!shown.contains("<script") && shown.contains("sandbox=\"allow-popups"), "{shown}");
    let own = ask(&router, from("/mails/1")).await.1["content-security-policy"].to_str().unwrap().to_owned();
    assert!(own.contains("style-src 'unsafe-inline'; frame-src 'self'") && !own.contains("script"), "{own}");
    let (_, headers, html) = ask(&router, from("/mails/1/html")).await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("sandbox") && policy.contains("img-src data:;") && !policy.contains("script"),
        "{policy}"
    );
    assert!(html.contains("<p>Hello</p>"));
    let (_, headers, _) = ask(&router, from("/mails/1/html?remote=yes")).await;
    assert!(headers["content-security-policy"].to_str().unwrap().contains("img-src data: https: http:"));
    let (_, headers, raw) = ask(&router, from("/mails/1/raw")).await;
    assert_eq!((headers["content-type"].to_str().unwrap(), raw.as_str()), ("message/rfc822", MAIL));
    assert!(ask(&router, from("/mails/2/text")).await.2.contains("only text"));
    assert_eq!(ask(&router, from("/mails/2/html")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&router, from("/mails/99")).await.0, StatusCode::NOT_FOUND);

    let delete = || Request::post("/delete-all").header("host", "localhost:8025");
    let foreign = delete().header("origin", "https://evil.example");
    assert_eq!(ask(&router, foreign).await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(&router, delete().header("origin", "http://localhost:8025")).await.0, StatusCode::SEE_OTHER);
    assert!(ask(&router, from("/")).await.2.contains("No mails yet"));
    deliver(sink.address(), "bob@x.example", MAIL).await;
    assert!(ask(&router, from("/")).await.2.contains("/mails/3"), "numbers are not used again");
}

#[tokio::test]
async fn only_this_machine_looks() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path(), SinkOptions::default()).await.unwrap();
    let router = router(sink.mailbox());
    for (host, allowed) in [
        ("localhost:1", true),
        ("127.0.0.1", true),
        ("[::1]:8025", true),
        ("evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("localhost.evil.example:8025", false),
        ("192.0.2.7", false),
        ("", false),
    ] {
        let (status, ..) = ask(&router, Request::get("/").header("host", host)).await;
        assert_eq!(status == StatusCode::OK, allowed, "{host}");
    }
    let refused = Inbox::start(folder.path(), "0.0.0.0:0".parse().unwrap()).await.err().expect("refused");
    assert!(refused.to_string().contains("loopback"), "{refused}");
}

#[tokio::test]
async fn many_mails_come_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(folder.path(), SinkOptions::default()).await.unwrap();
    let router = router(sink.mailbox());
    for number in 0..PAGE + 3 {
        deliver(sink.address(), "bob@x.example", &format!("Subject: no {number}.\r\n\r\nx\r\n")).await;
    }
    let (_, _, first) = ask(&router, from("/")).await;
    assert!(first.contains("no 52.") && !first.contains("no 2."), "{first}");
    let (_, _, second) = ask(&router, from("/?to=&before=4")).await;
    assert!(first.contains("before=4") && second.contains("no 2.") && !second.contains("Older mails"), "{second}");
}

#[test]
fn providers_beside_the_inbox_are_refused() {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Both {
        #[command(flatten)]
        inbox: InboxArgs,
        #[command(flatten)]
        mail: crate::mail::MailArgs,
    }
    let with = |more: &[&str]| {
        Both::try_parse_from([&["up", "--local-inbox", "--mail-from-domain", "shop.example"], more].concat())
    };
    let inbox = with(&[]).unwrap();
    assert!(inbox.inbox.local_inbox && inbox.mail.mail_from_domain.as_deref() == Some("shop.example"));
    for provider in [["--mail-host", "smtp.example.com"], ["--mail-providers", "providers.json"]] {
        let both = [&provider[..], &["--public-url", "https://shop.example"]].concat();
        assert!(with(&both).unwrap_err().to_string().contains("--local-inbox"), "{provider:?}");
    }
}
