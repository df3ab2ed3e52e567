//! What the S3 backend makes of answers, from a server that gives any answer asked for, over a real socket.

use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use workers::archive::{
    ObjectError, ObjectStorePort,
    backend::s3::{S3Objects, S3Options},
    object_store::{Put, Replace},
};

/// What the server does with each request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16, &'static str),
    /// Takes the request and says nothing.
    Hang,
    /// Takes the request and closes the connection.
    Close,
    /// Promises more bytes than it sends.
    CutOff,
}

async fn client(answer: Answer) -> S3Objects {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 64 << 10];
                let mut read = 0;
                // Head and the few bytes of body that these tests send.
                while !request[..read].windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut request[read..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(more) => read += more,
                    }
                }
                match answer {
                    Answer::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
                    Answer::Close => {}
                    Answer::CutOff => {
                        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: \"x\"\r\n\r\nonly this";
                        _ = stream.write_all(head).await;
                    }
                    Answer::Status(status, code) => {
                        let body = format!("<Error><Code>{code}</Code><Message>as asked for</Message></Error>");
                        let head = format!(
                            "HTTP/1.1 {status} Answer\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                        _ = stream.flush().await;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            });
        }
    });
    let options = S3Options::parse("stub", &format!("http://127.0.0.1:{port}/bucket"), "id", "secret");
    let options = S3Options { timeout: Duration::from_millis(700), ..options.expect("an address") };
    S3Objects::try_new(options).expect("a client")
}

async fn put(answer: Answer) -> Result<Put, ObjectError> {
    client(answer).await.put_new("k", "x".into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_says_what_the_caller_may_do_next() {
    let unknown = [
        Answer::Status(500, "InternalError"),
        Answer::Status(503, "SlowDown"),
        Answer::Status(429, "TooManyRequests"),
        Answer::Hang,
        Answer::Close,
    ];
    for answer in unknown {
        let error = put(answer).await.expect_err("no clear outcome");
        assert!(matches!(error, ObjectError::Unknown { .. }) && error.is_transient(), "{error}");
    }
    let conflict = put(Answer::Status(409, "ConditionalRequestConflict")).await.expect_err("conflict");
    assert!(matches!(conflict, ObjectError::Conflict { .. }), "{conflict}");
    assert_eq!(put(Answer::Status(412, "PreconditionFailed")).await.expect("an answer"), Put::AlreadyThere);
    for (status, code) in
        [(403, "AccessDenied"), (400, "InvalidRequest"), (404, "NoSuchBucket"), (501, "NotImplemented")]
    {
        let error = put(Answer::Status(status, code)).await.expect_err("refused");
        let text = error.to_string();
        assert!(matches!(error, ObjectError::Refused { .. }) && text.contains("stub"), "{text}");
        assert!(text.contains(&format!("{status} {code}: as asked for")), "{text}");
    }
    let torn = put(Answer::Status(400, "BadDigest")).await.expect_err("other bytes came");
    assert!(matches!(torn, ObjectError::Unknown { .. }), "{torn}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replace_of_what_is_gone_is_a_change() {
    let Ok(Put::Created(tag)) = ({
        use workers::archive::{ObjectStore, backend::memory::MemoryObjects};
        ObjectStore::memory(MemoryObjects::new("m")).put_new("k", "x".into()).await
    }) else {
        panic!("created")
    };
    for (status, code) in [(412, "PreconditionFailed"), (404, "NoSuchKey")] {
        let client = client(Answer::Status(status, code)).await;
        assert_eq!(client.replace("k", "y".into(), &tag).await.expect("an answer"), Replace::Changed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_early_or_never_is_not_taken_for_whole() {
    let error = client(Answer::CutOff).await.get("k", 1_000).await.expect_err("cut off");
    assert!(matches!(error, ObjectError::Unknown { .. }), "{error}");
    let error = client(Answer::CutOff).await.get("k", 99).await.expect_err("more than allowed");
    assert!(matches!(error, ObjectError::TooLarge { length: 100, .. }), "{error}");
    let begun = Instant::now();
    let error = client(Answer::Hang).await.get("k", 1_000).await.expect_err("no answer");
    assert!(matches!(error, ObjectError::Unknown { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "it ends by itself");
    let error = client(Answer::Status(404, "NoSuchKey")).await.get("k", 9).await.expect_err("absent");
    assert!(error.is_not_found(), "{error}");
}

/// The SDK must not retry by itself: a second attempt would find the first one's object and call it somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_is_one_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let counting = tokio::spawn(async move {
        let mut requests = 0;
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_secs(2), listener.accept()).await {
            let mut request = [0; 4096];
            _ = stream.read(&mut request).await;
            _ = stream.write_all(b"HTTP/1.1 503 Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            requests += 1;
        }
        requests
    });
    let options = S3Options::parse("stub", &format!("http://127.0.0.1:{port}/bucket"), "id", "secret");
    let client = S3Objects::try_new(options.expect("an address")).expect("a client");
    client.put_new("k", "x".into()).await.expect_err("503");
    assert_eq!(counting.await.expect("counted"), 1);
}
