//! A double of the HTTPS interface of Amazon SES, version 2: SES itself cannot run here. Over plain HTTP on a loopback address it
//! takes `SendEmail`, `GetAccount` and `GetConfigurationSet` as the published interface has them, keeps a mail before it
//! answers, and fails as it is told to. It looks at the access key of a request and not at its signature.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SesFault {
    /// Takes it and says so.
    Takes,
    /// Says no: status, name, words.
    Refuses(u16, &'static str, &'static str),
    /// Closes the connection when the head of the request has come; nothing is taken.
    ClosesBefore,
    /// Takes it and closes the connection without a word.
    ClosesAfter,
    /// Takes it and says nothing any more.
    Hangs,
    /// Takes it and fails all the same.
    FailsAfter,
    /// Takes it and says what nobody understands.
    Babbles,
}

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SesMail {
    pub(crate) recipient: String,
    /// Where bounces go.
    pub(crate) feedback: String,
    pub(crate) configuration_set: String,
    pub(crate) tags: HashMap<String, String>,
    pub(crate) message: Vec<u8>,
}

pub(crate) struct SesDouble {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    access_key: String,
    configuration_set: String,
    act: Box<dyn Fn(usize) -> SesFault + Send + Sync>,
    asked: AtomicUsize,
    taken: Mutex<Vec<SesMail>>,
    suspended: bool,
}

impl SesDouble {
    /// `act` says what happens to which mail, counted from 0.
    pub(crate) async fn start(act: impl Fn(usize) -> SesFault + Send + Sync + 'static) -> Self {
        Self::of(Box::new(act), false).await
    }

    /// One whose account sends nothing any more.
    pub(crate) async fn suspended() -> Self {
        let name = "AccountSuspendedException";
        Self::of(Box::new(move |_| SesFault::Refuses(400, name, "The account is suspended.")), true).await
    }

    async fn of(act: Box<dyn Fn(usize) -> SesFault + Send + Sync>, suspended: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (access_key, configuration_set) = ("AKIDEXAMPLE".to_owned(), "mails".to_owned());
        let (asked, taken) = (AtomicUsize::new(0), Mutex::default());
        let shared = Arc::new(Shared { access_key, configuration_set, act, asked, taken, suspended });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                tokio::spawn(async move { _ = serve(stream, &shared).await });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn taken(&self) -> Vec<SesMail> {
        self.shared.taken.lock().expect("nobody panicked").clone()
    }

    /// How often it was asked to send a mail.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Its entry in the file of providers; the credentials are written beside that.
    pub(crate) fn entry(&self, dir: &Path) -> Value {
        json!({"name": "ses", "kind": "ses", "region": "eu-west-1", "endpoint": self.url(), "configuration_set": "mails",
            "credentials": keys(dir, "AKIDEXAMPLE"), "connections": 4})
    }
}

/// A file with an access key and a secret one.
pub(crate) fn keys(dir: &Path, access_key: &str) -> PathBuf {
    let path = dir.join("ses-keys");
    std::fs::write(&path, format!("{access_key}\nwJalrXUtnFEMI-secret\n")).expect("the file of keys");
    path
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some((line, headers)) = head(&mut stream).await? else { return Ok(()) };
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let sends = line.starts_with("POST /v2/email/outbound-emails ");
        let act = if sends { (shared.act)(shared.asked.fetch_add(1, Ordering::Relaxed)) } else { SesFault::Takes };
        if act == SesFault::ClosesBefore {
            return Ok(());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let known = headers.get("authorization").is_some_and(|authorization| {
            let scope = format!("AWS4-HMAC-SHA256 Credential={}/", shared.access_key);
            authorization.starts_with(&scope) && authorization.contains("/eu-west-1/ses/aws4_request")
        });
        let (status, name, answer) = match (known, line.split(' ').nth(1).unwrap_or_default()) {
            (false, _) => {
                refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
            }
            (_, "/v2/email/account") => {
                let status = if shared.suspended { "SHUTDOWN" } else { "HEALTHY" };
                let quota = json!({"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 0.0});
                (
                    200,
                    "",
                    json!({"SendingEnabled": true, "ProductionAccessEnabled": true, "EnforcementStatus": status,
                    "SendQuota": quota}),
                )
            }
            (_, path) if path.starts_with("/v2/email/configuration-sets/") => {
                if path.rsplit('/').next() == Some(&*shared.configuration_set) {
                    (200, "", json!({"ConfigurationSetName": shared.configuration_set}))
                } else {
                    refusal(404, "NotFoundException", "Configuration set does not exist.")
                }
            }
            _ if !sends => refusal(404, "UnknownOperationException", "What is that?"),
            _ => match act {
                SesFault::Refuses(status, name, words) => refusal(status, name, words),
                _ => {
                    let number = take(shared, &body);
                    match act {
                        SesFault::ClosesAfter => return Ok(()),
                        SesFault::Hangs => {
                            // Until the client gives up.
                            _ = stream.read(&mut [0]).await;
                            return Ok(());
                        }
                        SesFault::FailsAfter => refusal(500, "InternalFailure", "It failed."),
                        SesFault::Babbles => (200, "", json!("no answer of SES")),
                        _ => (200, "", json!({"MessageId": format!("0100018c-{number:06}-000000")})),
                    }
                }
            },
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nx-amzn-ErrorType: {name}\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(format!("{head}{answer}").as_bytes()).await?;
    }
}

fn refusal(status: u16, name: &'static str, words: &str) -> (u16, &'static str, Value) {
    (status, name, json!({"message": words}))
}

/// Request line and headers; `None`: the client is gone.
async fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, HashMap<String, String>)>> {
    let (mut first, mut headers) = (String::new(), HashMap::new());
    if stream.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some((first, headers))) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn take(shared: &Shared, body: &[u8]) -> usize {
    let body: Value = serde_json::from_slice(body).expect("a request is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let to = body["Destination"]["ToAddresses"].as_array().expect("a destination");
    assert_eq!(to.len(), 1, "check 5: one recipient each");
    let tags = body["EmailTags"].as_array().cloned().unwrap_or_default();
    let mail = SesMail {
        recipient: text(&to[0]),
        feedback: text(&body["FeedbackForwardingEmailAddress"]),
        configuration_set: text(&body["ConfigurationSetName"]),
        tags: tags.iter().map(|tag| (text(&tag["Name"]), text(&tag["Value"]))).collect(),
        message: BASE64_STANDARD.decode(text(&body["Content"]["Raw"]["Data"])).expect("base64"),
    };
    let mut taken = shared.taken.lock().expect("nobody panicked");
    taken.push(mail);
    taken.len()
}
