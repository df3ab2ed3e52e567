//! Whether a server answers on a port, and whether it is ours: the first line that a NATS server sends is `INFO {...}`.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

/// The greeting is about 400 bytes; more than this is no NATS server.
const MAX_GREETING: u64 = 64 << 10;

/// The part of the greeting that says who answers.
#[derive(Debug, Deserialize)]
pub(super) struct Greeting {
    pub(super) server_name: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) jetstream: bool,
}

/// Connects to loopback and reads the greeting, each step within `patience`.
pub(super) fn greeting(port: u16, patience: Duration) -> io::Result<Greeting> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_GREETING)).read_line(&mut line)?;
    parse(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no greeting of a NATS server"))
}

fn parse(line: &str) -> Option<Greeting> {
    serde_json::from_str(line.strip_prefix("INFO ")?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_greeting_and_nothing_else() {
        let greeting =
            parse("INFO {\"server_id\":\"N\",\"server_name\":\"m\",\"version\":\"2.15.1\",\"jetstream\":true}\r\n");
        let greeting = greeting.unwrap();
        assert_eq!(
            (greeting.server_name.as_str(), greeting.version.as_str(), greeting.jetstream),
            ("m", "2.15.1", true)
        );
        for other in ["", "INFO", "INFO {", "HTTP/1.1 400 Bad Request\r\n", "INFO []"] {
            assert!(parse(other).is_none(), "{other}");
        }
    }
}
